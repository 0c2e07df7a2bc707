/**
 * A saga and the aggregate it coordinates, decided together: one pure fold that ends in one commit.
 *
 * The saga's local steps are answered by the aggregate at once, in a loop, so that a state change and what follows from
 * it are never apart. Nothing is sent: messages and timers are returned.
 */
import { Result } from "effect";
import type { Decider } from "../Decider.ts";
import { fold } from "../Decider.ts";
import type * as Message from "../Message.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { Definition } from "./SagaDefinition.ts";
import * as SagaDecider from "./SagaDecider.ts";

export type State<D, S> = Together<SagaDecider.Instance<D>, S>;

/** A saga's state, whichever kind of saga it is, and the aggregate's. */
export interface Together<G, S> {
  readonly saga: G | null;
  readonly aggregate: S;
}

export type TimerRequest =
  | { readonly _tag: "Schedule"; readonly name: string; readonly token: string; readonly at: Timestamp }
  | { readonly _tag: "Unschedule"; readonly name: string };

export type Decision<D, S, E> = Decided<SagaDecider.Instance<D>, S, E>;

export interface Decided<G, S, E> {
  readonly state: Together<G, S>;
  readonly events: ReadonlyArray<E>;
  readonly drafts: ReadonlyArray<Message.Draft>;
  readonly timers: ReadonlyArray<TimerRequest>;
}

/** The aggregate in a saga's transaction, and how the saga's local commands become the aggregate's at a time. */
export interface Beside<L, S, C, E, R> {
  readonly decider: Decider<S, C, E, R>;
  readonly command: (local: L, now: Timestamp) => C;
}

export interface Coordination<D, L, S, C, E, R> extends Beside<L, S, C, E, R> {
  readonly definition: Definition<D, L>;
}

/** Folds one saga input, and every local answer that follows from it. */
export const drive = <D, L, S, C, E, R>(
  coordination: Coordination<D, L, S, C, E, R>,
  state: State<D, S>,
  input: SagaDecider.Input<D>,
): Decision<D, S, E> => driveBy((saga, next) => SagaDecider.transition(coordination.definition, saga, next), coordination, state, input);

type LocalReply = Extract<SagaDecider.Input<unknown>, { readonly _tag: "LocalReply" }>;

/** The same for whatever decides what a saga does next. */
export const driveBy = <G, I extends { readonly now: Timestamp }, L, S, C, E, R>(
  transition: (saga: G | null, input: I | LocalReply) => readonly [next: G | null, send: ReadonlyArray<SagaDecider.Send<L>>],
  { decider, command }: Beside<L, S, C, E, R>,
  state: Together<G, S>,
  input: I | LocalReply,
): Decided<G, S, E> => {
  const events: Array<E> = [];
  const drafts: Array<Message.Draft> = [];
  const timers: Array<TimerRequest> = [];
  let { saga, aggregate } = state;
  const inputs: Array<I | LocalReply> = [input];
  for (let next = inputs.shift(); next !== undefined; next = inputs.shift()) {
    const [moved, sends] = transition(saga, next);
    saga = moved;
    for (const send of sends) {
      switch (send._tag) {
        case "Message":
          drafts.push(send.draft);
          break;
        case "Schedule":
        case "Unschedule":
          timers.push(send);
          break;
        case "Local": {
          const decided = decider.decide(aggregate, command(send.command, next.now));
          if (Result.isSuccess(decided)) {
            aggregate = fold(decider, decided.success, aggregate);
            events.push(...decided.success);
          }
          if (send.step !== null) inputs.push({ _tag: "LocalReply", step: send.step, accepted: Result.isSuccess(decided), now: next.now });
          break;
        }
      }
    }
  }
  return { state: { saga, aggregate }, events, drafts, timers };
};
