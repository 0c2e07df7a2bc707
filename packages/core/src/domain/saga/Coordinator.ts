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

export interface State<D, S> {
  readonly saga: SagaDecider.Instance<D> | null;
  readonly aggregate: S;
}

export type TimerRequest =
  | { readonly _tag: "Schedule"; readonly name: string; readonly token: string; readonly at: Timestamp }
  | { readonly _tag: "Unschedule"; readonly name: string };

export interface Decision<D, S, E> {
  readonly state: State<D, S>;
  readonly events: ReadonlyArray<E>;
  readonly drafts: ReadonlyArray<Message.Draft>;
  readonly timers: ReadonlyArray<TimerRequest>;
}

/** A saga, the aggregate in its transaction, and how the saga's local commands become the aggregate's at a time. */
export interface Coordination<D, L, S, C, E, R> {
  readonly definition: Definition<D, L>;
  readonly decider: Decider<S, C, E, R>;
  readonly command: (local: L, now: Timestamp) => C;
}

/** Folds one saga input, and every local answer that follows from it. */
export const drive = <D, L, S, C, E, R>(
  { definition, decider, command }: Coordination<D, L, S, C, E, R>,
  state: State<D, S>,
  input: SagaDecider.Input<D>,
): Decision<D, S, E> => {
  const events: Array<E> = [];
  const drafts: Array<Message.Draft> = [];
  const timers: Array<TimerRequest> = [];
  let { saga, aggregate } = state;
  const inputs: Array<SagaDecider.Input<D>> = [input];
  for (let next = inputs.shift(); next !== undefined; next = inputs.shift()) {
    const [moved, sends] = SagaDecider.transition(definition, saga, next);
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
