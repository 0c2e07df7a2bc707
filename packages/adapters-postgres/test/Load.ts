/**
 * A service under load, in one process: callers of tallies, orders and stock, the relay and the timers. What each caller
 * was told is remembered, for `Audit`. Callers pause a little between calls, so that a fault meets them in every phase.
 */
import {
  Aggregate,
  Checkout,
  CheckoutMessages,
  CommandHandler,
  CustomerId,
  DocumentStore,
  Mailbox,
  MemoryBus,
  MessageBus,
  Money,
  OrderId,
  OrderStore,
  Outbox,
  OutboxRelay,
  Quantity,
  SagaRunner,
  SagaStore,
  Sku,
  StockReservation,
  StoreError,
  TimerPump,
} from "@org/saga-core";
import { Cause, Effect, Exit, Layer, Result, Schedule } from "effect";
import type * as PgClient from "../src/PgClient.ts";
import type { PgOptions } from "../src/PgConfig.ts";
import * as PgStock from "../src/PgStock.ts";
import * as PgStores from "../src/PgStores.ts";
import * as Tally from "./Tally.ts";

export const SKUS = ["red", "green", "blue"].map((name) => Sku.make(name));
/** Of each SKU: fewer than the callers ask for, so that there are refusals. */
export const ON_HAND = 400;

const TALLIES = 24;
const TALLY_CALLERS = 12;
const ORDER_CALLERS = 4;
const STOCK_CALLERS = 4;
const PAUSE_MS = 4;
/** Between two looks at a condition. */
const LOOK_EVERY_MS = 20;

/** What the callers of one kind were told, by the command's id. */
export class Told {
  readonly accepted = new Set<string>();
  /** Refused by a decision, or failed with nothing done. */
  readonly refused = new Set<string>();
  readonly unknown = new Set<string>();
}

export class Load {
  readonly tallies = new Told();
  readonly orders = new Told();
  readonly stock = new Told();
  readonly cancels = new Told();
  /** Every failure that a caller was told of. */
  readonly failures: Array<StoreError | Mailbox.MailboxFull> = [];
  /** Never expected: an outage that was blamed on an item, or a defect. */
  readonly poisoned: Array<string> = [];
  readonly broker = new MemoryBus.Broker({ keepsPublished: true });
  /** What the bus does before it takes messages. */
  beforePublish: Effect.Effect<void> = Effect.void;
  isEnding = false;
  #serial = 0;

  next(prefix: string): string {
    this.#serial += 1;
    return `${prefix}-${this.#serial}`;
  }
}

export type Ports = PgStores.PgStores | PgClient.PgClient | StockReservation;

/** The process's connections: stores, stock and pool, as its configuration says. */
export const ports = (options: PgOptions): Layer.Layer<Ports, unknown> => PgStock.layer.pipe(Layer.provideMerge(PgStores.layer(options)));

/** Returns when `isTrue`; the test's own time limit bounds it. */
export const until = (isTrue: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (isTrue() ? Effect.void : Effect.andThen(Effect.sleep(LOOK_EVERY_MS), until(isTrue))));

/** Until every kind of caller got `count` more answers than it has now. */
export const answered = (load: Load, count: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const kinds = [load.tallies, load.orders, load.stock];
    const aims = kinds.map(sizeOf).map((size, index) => size + (index === 0 ? count : Math.ceil(count / 4)));
    return until(() => kinds.every((told, index) => sizeOf(told) >= (aims[index] ?? 0)));
  });

const sizeOf = (told: Told): number => told.accepted.size + told.refused.size;

/**
 * Runs callers, relay and timers around `during`; then lets callers and timers end, the outbox empty itself, and ends the
 * relay: what the audit reads stands still.
 */
export const run = <E, R>(load: Load, during: Effect.Effect<void, E, R>) =>
  Effect.gen(function* () {
    for (const topic of [Tally.Announced.topic, ...CheckoutMessages.catalogue.topics]) load.broker.ensure(topic);
    yield* Layer.build(Layer.provide(OutboxRelay.layer, bus(load)));
    yield* Effect.scoped(serve(load, during));
    yield* drained;
  }).pipe(Effect.scoped);

const serve = Effect.fnUntraced(function* <E, R>(load: Load, during: Effect.Effect<void, E, R>) {
  const stock = yield* StockReservation;
  yield* stock.execute(SKUS.map((sku) => ({ _tag: "Adjust", id: `seed-${sku}`, sku, delta: ON_HAND })));
  const tallies = yield* Mailbox.make<Tally.Input, Tally.Handled, CommandHandler.Ports | DocumentStore>({
    name: Tally.KIND,
    key: Aggregate.keyOf,
    run: Tally.run,
  });
  const definition = Checkout.make();
  const orders = yield* Mailbox.make<OrderInput, OrderHandled, CommandHandler.Ports | OrderStore | SagaStore>({
    name: definition.name,
    key: Aggregate.keyOf,
    run: CommandHandler.runBatch(SagaRunner.make(definition)),
  });
  yield* Layer.build(TimerPump.layer(definition.name, TimerPump.into(orders)));
  const callers = [
    ...repeated(TALLY_CALLERS, load, callTally(load, tallies)),
    ...repeated(ORDER_CALLERS, load, callOrder(load, orders)),
    ...repeated(STOCK_CALLERS, load, callStock(load, stock)),
  ];
  const guarded = Effect.ensuring(
    during,
    Effect.sync(() => void (load.isEnding = true)),
  );
  yield* Effect.all([guarded, ...callers], { concurrency: "unbounded", discard: true });
});

/** One command in a transaction of its own, without a mailbox that tries again: null, or why not. */
export const probe = Effect.fnUntraced(function* (load: Load) {
  const id = load.next("count");
  const exit = yield* Effect.exit(Tally.run([Tally.count("tally-probe", id, false)]));
  yield* tell(load, load.tallies, id, exit, () => true);
  const failure = Exit.isFailure(exit) ? Cause.squash(exit.cause) : null;
  return failure instanceof StoreError ? failure : null;
});

/** Probes until the failure is of this kind. */
export const failing = (load: Load, message: RegExp): Effect.Effect<StoreError, never, CommandHandler.Ports | DocumentStore> =>
  Effect.flatMap(probe(load), (failure) =>
    failure !== null && message.test(failure.message)
      ? Effect.succeed(failure)
      : Effect.andThen(
          Effect.sleep(LOOK_EVERY_MS),
          Effect.suspend(() => failing(load, message)),
        ),
  );

const bus = (load: Load): Layer.Layer<MessageBus> =>
  Layer.effect(
    MessageBus,
    Effect.map(MessageBus, (memory) => ({
      ...memory,
      publish: (messages) =>
        Effect.andThen(
          Effect.suspend(() => load.beforePublish),
          memory.publish(messages),
        ),
    })),
  ).pipe(Layer.provide(MemoryBus.layerOf(load.broker)));

/** Until nothing is left to publish. */
const drained: Effect.Effect<void, StoreError, Outbox> = Effect.gen(function* () {
  const outbox = yield* Outbox;
  while ((yield* patiently(outbox.backlog)).pending > 0) yield* Effect.sleep(LOOK_EVERY_MS);
});

/** On a busy machine a look may meet the short timeouts of a test. */
export const patiently = <A, R>(look: Effect.Effect<A, StoreError, R>): Effect.Effect<A, StoreError, R> =>
  Effect.retry(look, { while: (error) => error.isRetryable, schedule: Schedule.spaced(LOOK_EVERY_MS) });

type OrderInput = Aggregate.Input<SagaRunner.Command>;
type OrderHandled = CommandHandler.Handled<SagaRunner.Answer>;

const repeated = <R>(callers: number, load: Load, call: Effect.Effect<void, never, R>): ReadonlyArray<Effect.Effect<void, never, R>> =>
  Array.from({ length: callers }, () =>
    Effect.whileLoop({ while: () => !load.isEnding, body: () => Effect.andThen(call, Effect.sleep(PAUSE_MS)), step: () => undefined }),
  );

/** Half of the commands are repeatable: their callers ask again until they are told. */
const callTally = (load: Load, mailbox: Mailbox.Mailbox<Tally.Input, Tally.Handled>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const id = load.next("count");
    const serial = Number(id.split("-")[1]);
    const isRepeatable = serial % 2 === 0;
    const ask = mailbox.submit(Tally.count(`tally-${serial % TALLIES}`, id, isRepeatable));
    // A repetition may come before the server has noticed that the first one's connection is gone: ask again.
    const decided = Effect.repeat(ask, { until: ({ _tag }) => _tag === "Answered" });
    return tell(load, load.tallies, id, isRepeatable ? untilKnown(load, decided) : ask, ({ _tag }) => _tag === "Answered");
  });

/** Places an order; every third one is canceled at once, in a race with its checkout. */
const callOrder = (load: Load, mailbox: Mailbox.Mailbox<OrderInput, OrderHandled>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const id = load.next("order");
    const isAccepted = (handled: OrderHandled) =>
      handled._tag === "Answered" && handled.answer !== null && Result.isSuccess(handled.answer);
    const place = tell(load, load.orders, id, mailbox.submit(Aggregate.request<SagaRunner.Command>(id, placing(id))), isAccepted);
    if (Number(id.split("-")[1]) % 3 !== 0) return place;
    const cancel = mailbox.submit(Aggregate.request<SagaRunner.Command>(id, (now) => ({ _tag: "Cancel", by: "user", now })));
    return Effect.andThen(place, tell(load, load.cancels, id, cancel, isAccepted));
  });

const placing =
  (id: string): SagaRunner.Command =>
  (now) => ({
    _tag: "Place",
    id: OrderId.make(id),
    customerId: CustomerId.make("ada"),
    lines: [{ sku: Sku.make("red"), name: "Mug", quantity: Quantity.make(1), unitPrice: Money.of(1_250, "EUR") }],
    paymentMethod: "pm_card_ok",
    cancelPolicy: "compensating",
    now,
  });

/** Reserves a piece; the port wants the same list again until there is an answer. */
const callStock = (load: Load, stock: StockReservation["Service"]): Effect.Effect<void> =>
  Effect.suspend(() => {
    const id = load.next("hold");
    const sku = SKUS[Number(id.split("-")[1]) % SKUS.length] ?? Sku.make("red");
    const lines = [{ sku, quantity: Quantity.make(1) }];
    const reserve = stock.execute([{ _tag: "Reserve", orderId: OrderId.make(id), lines, ttlMillis: 3_600_000 }]);
    return tell(load, load.stock, id, untilKnown(load, reserve), ([answer]) => answer !== undefined && Result.isSuccess(answer));
  });

/** Repeats after whatever is not an answer. */
const untilKnown = <A, E extends Mailbox.Failure>(load: Load, ask: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.catchIf(
    ask,
    (failure): failure is E => failure._tag !== "Poisoned",
    (failure) => {
      remember(load, failure);
      return Effect.andThen(
        Effect.sleep(LOOK_EVERY_MS),
        Effect.suspend(() => untilKnown(load, ask)),
      );
    },
  );

const remember = (load: Load, failure: Mailbox.Failure): void => {
  if (failure._tag !== "Poisoned" && failure._tag !== "LeftAlone") load.failures.push(failure);
};

const tell = <A, E extends Mailbox.Failure>(
  load: Load,
  told: Told,
  id: string,
  ask: Effect.Effect<A, E>,
  isAccepted: (answer: A) => boolean,
): Effect.Effect<void> =>
  Effect.map(Effect.exit(ask), (exit) => {
    if (Exit.isSuccess(exit)) {
      (isAccepted(exit.value) ? told.accepted : told.refused).add(id);
      return;
    }
    const failure = Cause.squash(exit.cause);
    if (!(failure instanceof StoreError || failure instanceof Mailbox.MailboxFull)) {
      load.poisoned.push(failure instanceof Error ? failure.message : "a defect");
      return;
    }
    remember(load, failure);
    (failure._tag === "StoreError" && failure.reason === "Unknown" ? told.unknown : told.refused).add(id);
  });
