/**
 * A service's part in a choreographed saga, beside what it does for a living: it hears events, and its row of the instance, the
 * commands that follow and its timers are one commit.
 *
 * A command goes to the service itself, through its outbox and its own command topic: the same handler, the same inbox, the
 * same order per key as under a coordinator. So a crash in between loses nothing, and a busy participant holds up no reaction.
 *
 * At home, where instances start, `ChoreographyHome` does this and takes requests, and for orders `ChoreographyRunner`, which has
 * the order in the same commit.
 */
import { Effect, Layer } from "effect";
import type * as Message from "../domain/Message.ts";
import * as Choreography from "../domain/saga/choreography/Choreography.ts";
import type { Projection } from "../domain/saga/choreography/Choreography.ts";
import * as Reactions from "../domain/saga/choreography/Reactions.ts";
import type { TimerRequest } from "../domain/saga/Coordinator.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import type { DeadLetters } from "../ports/DeadLetters.ts";
import type { MessageBus } from "../ports/MessageBus.ts";
import type { SagaStore } from "../ports/SagaStore.ts";
import type { Timers } from "../ports/Timers.ts";
import type { UnitOfWork } from "../ports/UnitOfWork.ts";
import * as Aggregate from "./Aggregate.ts";
import * as ChoreographyRows from "./ChoreographyRows.ts";
import * as CommandHandler from "./CommandHandler.ts";
import * as Mailbox from "./Mailbox.ts";
import * as MessageConsumer from "./MessageConsumer.ts";
import * as TimerPump from "./TimerPump.ts";

type Input = Aggregate.Input<never>;
type Handled = CommandHandler.Handled<null>;

/** Rows behind the ports. Nobody asks them anything: messages and timers only. `older`: as in `Options`. */
export const aggregate = <D, C>(
  newest: Projection<D, C>,
  older: ReadonlyArray<Projection<D, C>> = [],
): Aggregate.Aggregate<ChoreographyRows.Kept<D>, never, null, SagaStore> => {
  const { load, save, projectionFor } = ChoreographyRows.make(newest, older);
  return {
    name: newest.definition.name,
    initial: ChoreographyRows.NOTHING,
    load,
    save,
    decide: (kept, input, now) => {
      if (input._tag === "Request") return { state: kept, drafts: [], timers: [], answer: null };
      return { ...reacted(projectionFor(kept, input), kept, Aggregate.keyOf(input), inputOf(input, now)), answer: null };
    },
    encodeAnswer: () => null,
    decodeAnswer: () => null,
  };
};

/** A row after an input, and what is to be sent and scheduled with it. */
export const reacted = <D, C>(
  projection: Projection<D, C>,
  kept: ChoreographyRows.Kept<D>,
  key: string,
  input: Reactions.Input<D>,
): Omit<Aggregate.Decision<ChoreographyRows.Kept<D>, null>, "answer"> => {
  const [row, sends] = Reactions.react(projection, kept.row, key, input);
  const drafts: Array<Message.Draft> = [];
  const timers: Array<TimerRequest> = [];
  for (const send of sends) {
    if (send._tag === "Message") drafts.push(send.draft);
    else if (send._tag !== "Local") timers.push(send);
  }
  return { state: row === kept.row ? kept : { ...kept, row, version: projection.definition.version }, drafts, timers };
};

/** What a message or a timer is to the saga. */
export const inputOf = (input: Aggregate.MessageInput | Aggregate.TimerInput, now: Timestamp): Reactions.Input<never> =>
  input._tag === "Message"
    ? { _tag: "Heard", envelope: input.envelope, now }
    : { _tag: "Timer", name: input.timer.name, token: input.timer.token, now };

export interface Options<D = never, C = never> {
  /** Versions before the newest, whose instances end in them. */
  readonly older?: ReadonlyArray<Projection<D, C>>;
  /** What of it runs here. */
  readonly roles: ReadonlyArray<"consumer" | "worker">;
  /** Inputs of one commit: `Mailbox.BATCH_MAX` unless it is said. */
  readonly mailbox?: Partial<Pick<Mailbox.Options<Input, Handled, never>, "batchMax">>;
  /** Messages of one partition handed over at once: `MessageConsumer.CONSUMER_BATCH_MAX` unless it is said. */
  readonly batchMax?: number;
  /** Timers claimed at once: `TimerPump.PUMP_BATCH_MAX` unless it is said. */
  readonly timersMax?: number;
}

/** Hears events and fires timers, for as long as the layer lives. */
export const layer = <D, C>(
  projection: Projection<D, C>,
  options: Options<D, C>,
): Layer.Layer<never, never, CommandHandler.Ports | SagaStore | DeadLetters | UnitOfWork | MessageBus> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const mailbox = yield* Mailbox.make<Input, Handled, CommandHandler.Ports | SagaStore>({
        name: `${projection.definition.name}-reactions`,
        key: Aggregate.keyOf,
        run: CommandHandler.runBatch(aggregate(projection, options.older)),
        ...options.mailbox,
      });
      return into(mailbox, projection, options);
    }),
  );

/** What hears events and fires timers hands them to `mailbox`. */
export const into = <D, C, A>(
  mailbox: Mailbox.Mailbox<Aggregate.MessageInput | Aggregate.TimerInput, A>,
  projection: Projection<D, C>,
  { older = [], roles, batchMax, timersMax }: Options<D, C>,
): Layer.Layer<never, never, Timers | DeadLetters | UnitOfWork | MessageBus> => {
  const { name } = projection.definition;
  const { hears, catalogue } = Choreography.listens([projection, ...older]);
  const consumer = MessageConsumer.layer({
    group: `${projection.service}-${name}`,
    catalogue,
    types: hears,
    handle: (envelopes) => mailbox.submitAll(envelopes.map((envelope) => ({ _tag: "Message", envelope }))),
    ...(batchMax === undefined ? {} : { batchMax }),
  });
  const timers = TimerPump.layer(name, TimerPump.into(mailbox), TimerPump.LEASE_MS, timersMax);
  return Layer.mergeAll(Layer.empty, ...roles.map((role) => (role === "consumer" ? consumer : timers)));
};
