/**
 * Deciders, sagas and the outbox behind promises, for a service without Effect.
 *
 *     const client = await SagaClient.connect({ database: PgDatabase.server({ url, schema: "shop" }), bus: KafkaBus.layer({ brokers }), messages })
 *     const orders = await client.decider({ name: "order", … })
 *     const answer = await orders.submit(id, command, { idempotencyKey })     // { _tag: "Accepted", state } | { _tag: "Rejected", rejection } | …
 *     const trips = await client.saga({ definition: Trip, steps: [step(HoldSeat, async ({ seat }, key) => outcome(SeatHeld, …))] })
 *     await client.close()
 *
 * It is the same runtime: group commit, outbox, inbox, timers, the same tables. Refusals are answers; everything else that goes
 * wrong rejects with a `SagaError`.
 */
import { Duration, Effect, Exit, Layer, ManagedRuntime } from "effect";
import * as Message from "../domain/Message.ts";
import * as OutboxRelay from "../flow/OutboxRelay.ts";
import * as Retention from "../flow/Retention.ts";
import * as MemoryBus from "../memory/MemoryBus.ts";
import { MessageBus } from "../ports/MessageBus.ts";
import { UnitOfWork } from "../ports/UnitOfWork.ts";
import type { Bus, Database } from "./Database.ts";
import * as PlainDecider from "./PlainDecider.ts";
import * as PlainHandler from "./PlainHandler.ts";
import * as PlainSaga from "./PlainSaga.ts";
import { ofCause, SagaError } from "./SagaError.ts";
import * as Session from "./Session.ts";
import * as Tx from "./Tx.ts";

export interface ConnectOptions<Sql, Own> {
  /** `PgDatabase.server({ url, schema })`, `PgDatabase.embedded()`, or `memory()`. */
  readonly database: Database<Sql, Own>;
  /**
   * `KafkaBus.layer({ brokers })`. Without one, messages go to the handlers of this very process, and what is published and not yet
   * handled is lost when it ends.
   */
  readonly bus?: Bus;
  /** Every message type that this service sends or reads. */
  readonly messages: ReadonlyArray<Message.AnyType>;
  /** How long `close` waits for what is in flight, and then for the outbox: 10 seconds each unless it is said. */
  readonly closeWithin?: Duration.Input;
  /** How long a transaction, or a handler, may take before it is rolled back: a minute unless it is said. */
  readonly transactionWithin?: Duration.Input;
}

export interface SagaClient<Sql> {
  /** A decider's commands. One of each name a process. */
  readonly decider: <State, Command, Event, Rejection>(
    options: PlainDecider.DeciderOptions<State, Command, Event, Rejection>,
  ) => Promise<PlainDecider.PlainDecider<State, Command, Rejection>>;
  /** A saga; goes on at once with instances whose time has come. */
  readonly saga: <D, B = never, O extends ReadonlyArray<unknown> = readonly []>(
    options: PlainSaga.SagaOptions<D, B, O>,
  ) => Promise<PlainSaga.PlainSaga<D, O[number]>>;
  /** Handles messages, from now on. One of each group a process. */
  readonly on: (options: PlainHandler.HandlerOptions<Sql>) => Promise<void>;
  /**
   * Statements of one's own and messages in one transaction. What `run` throws rolls back, and is what this rejects with. It is
   * not run again by itself: do so after a `Contention`.
   *
   * Inside, use `tx` and nothing else of the client: another call needs another connection, and an embedded database has one.
   * What is still open after `transactionWithin` is rolled back, and rejects with a `Misuse`.
   */
  readonly transaction: <A>(run: (tx: Tx.Tx<Sql>) => Promise<A>) => Promise<A>;
  /** Refuses new calls, stops taking messages and timers, waits for what is in flight, publishes the outbox, disconnects. */
  readonly close: () => Promise<void>;
}

/** Resolves when the database is there and migrated and the topics exist. */
export const connect = async <Sql, Own = never>(options: ConnectOptions<Sql, Own>): Promise<SagaClient<Sql>> => {
  const { database, bus = MemoryBus.layer, closeWithin = Session.CLOSE_WITHIN, transactionWithin = Session.TRANSACTION_WITHIN } = options;
  const catalogue = Message.catalogue(options.messages);
  const runtime = ManagedRuntime.make(Layer.merge(database.layer, bus));
  const session = Session.make<Own>(runtime, closeWithin, transactionWithin);
  const started = await runtime.runPromiseExit(
    Effect.gen(function* () {
      yield* (yield* MessageBus).ensureTopics(catalogue.topics);
      yield* session.source(Layer.mergeAll(OutboxRelay.layer, Retention.layer));
    }),
  );
  if (Exit.isFailure(started)) {
    await runtime.dispose();
    throw ofCause(started.cause);
  }
  const names = new Set<string>();
  /** A second one of a name would take its messages from the first. */
  const once = Effect.fnUntraced(function* <A, E, R>(name: string, made: Effect.Effect<A, E, R>) {
    if (names.has(name)) return yield* Effect.fail(new SagaError("Misuse", `there is a ${name} already`));
    names.add(name);
    return yield* Effect.onError(made, () => Effect.sync(() => names.delete(name)));
  });
  return {
    decider: (decider) => session.call(once(`decider ${decider.name}`, PlainDecider.make(session, decider))),
    saga: (saga) => session.call(once(`saga ${saga.definition.name}`, PlainSaga.make(session, catalogue, saga))),
    on: (handlers) => session.call(once(`group ${handlers.group}`, PlainHandler.make(session, database, catalogue, handlers))),
    transaction: (run) =>
      session.call(Effect.flatMap(UnitOfWork, (unitOfWork) => unitOfWork.commit(Tx.within(session, database, null, run)))),
    close: session.close,
  };
};
