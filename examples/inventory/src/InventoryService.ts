/**
 * The inventory service: answers the coordinator's stock commands out of `StockReservation`, whichever engine that is.
 *
 * The effects come first, all idempotent per order; then inbox and replies in one commit. A crash in between runs them
 * again, to the same answers.
 */
import { Concurrency } from "@example/contracts";
import { Context, Duration, Effect, Layer, Metric, Result } from "effect";
import {
  CheckoutMessages as M,
  type DeadLetters,
  HoldSweeper,
  type Inbox,
  type Message,
  type MessageBus,
  MessageConsumer,
  type Outbox,
  OutboxMonitor,
  OutboxRelay,
  Responder,
  Retention,
  type Sku,
  type StockCommand,
  type StockLedger,
  StockReservation,
  type StoreError,
  type UnitOfWork,
  Worker,
} from "@org/saga-core";
import * as StockAnswers from "./StockAnswers.ts";

/** Consumer group and consumer name. */
export const NAME = "inventory";

/** What is on hand when the shop opens. */
export interface InitialStock {
  readonly sku: Sku;
  readonly quantity: number;
}

const notShipped = Metric.counter("saga_shipments_waiting_total", {
  description: "Paid orders whose goods could not leave when asked",
  incremental: true,
});

/** The stock is stocked: what answers from it may begin. */
export class Inventory extends Context.Service<Inventory, { readonly handle: ReturnType<typeof Responder.handle<StockReservation>> }>()(
  "@example/inventory/Inventory",
) {}

/** Counts the initial stock in, once per SKU for ever, and waits until that is done. */
export const layer = (stock: ReadonlyArray<InitialStock>): Layer.Layer<Inventory, never, StockReservation> =>
  Layer.effect(Inventory, Effect.as(insistently(seed(stock)), { handle: Responder.handle({ name: NAME, respond }) }));

/** One adjustment a SKU under a constant id: repeated, it changes nothing. */
export const seed = Effect.fn("InventoryService.seed")(function* (stock: ReadonlyArray<InitialStock>) {
  const reservation = yield* StockReservation;
  yield* reservation.execute(stock.map(({ sku, quantity }) => ({ _tag: "Adjust", id: `seed:${sku}`, sku, delta: quantity })));
});

/** The answers to a batch of commands. */
export const respond = Effect.fn("InventoryService.respond")(function* (
  envelopes: ReadonlyArray<Message.Envelope>,
): Effect.fn.Return<ReadonlyArray<ReadonlyArray<Message.Draft>>, StoreError, StockReservation> {
  const stock = yield* StockReservation;
  const asked = envelopes.map(StockAnswers.asked);
  const known = asked.filter((each) => each !== null);
  const said = yield* stock.execute(known.map(({ command }) => command));
  const answers = new Map<StockAnswers.Asked, StockLedger.Answer>();
  for (const [index, each] of known.entries()) {
    const answer = said[index];
    if (answer !== undefined) answers.set(each, answer);
  }
  yield* shutOut(answers);
  yield* shipAnyway(answers);
  return asked.map((each) => {
    const answer = each === null ? undefined : answers.get(each);
    return each === null || answer === undefined ? [] : StockAnswers.answer(each, answer);
  });
});

/**
 * A rejected order stays rejected: the release leaves a tombstone. Otherwise a repeated or late reserve could be granted
 * after the coordinator was told that there is nothing, and nobody would give that hold back before its time is over.
 */
const shutOut = Effect.fnUntraced(function* (answers: ReadonlyMap<StockAnswers.Asked, StockLedger.Answer>) {
  const rejected = [...answers].flatMap(([each, said]) => (each._tag === "Reserve" && isRejected(said) ? [each.orderId] : []));
  if (rejected.length === 0) return;
  const stock = yield* StockReservation;
  yield* stock.execute(rejected.map((orderId) => ({ _tag: "Release", orderId })));
});

const isRejected = (said: StockLedger.Answer): boolean =>
  Result.isFailure(said) &&
  (said.failure._tag === "OutOfStock" || said.failure._tag === "UnknownSku" || said.failure._tag === "HoldExpired");

/** A ship whose commit the engine has lost (a fast engine may, the saga has its answer) commits again, then ships. */
const shipAnyway = Effect.fnUntraced(function* (answers: Map<StockAnswers.Asked, StockLedger.Answer>) {
  const stock = yield* StockReservation;
  const lost = [...answers].flatMap(([each, said]) =>
    each._tag === "Ship" && Result.isFailure(said) && said.failure._tag === "NotCommitted" ? [each] : [],
  );
  if (lost.length > 0) {
    const commands = lost.flatMap(({ orderId }): ReadonlyArray<StockCommand> => [
      { _tag: "Commit", orderId },
      { _tag: "Ship", orderId },
    ]);
    const said = yield* stock.execute(commands);
    for (const [index, each] of lost.entries()) {
      const shipped = said[index * 2 + 1];
      if (shipped !== undefined) answers.set(each, shipped);
    }
  }
  for (const [each, said] of answers) {
    if (each._tag !== "Ship" || Result.isSuccess(said)) continue;
    yield* Metric.update(notShipped, 1);
    yield* Effect.logError(`order ${each.orderId} is paid, but its goods cannot leave: ${said.failure._tag}; it is asked for again`);
  }
});

/** Reads what it is asked. */
export const consumer = (
  concurrency: Concurrency.Concurrency,
): Layer.Layer<never, never, Inventory | StockReservation | Inbox | Outbox | DeadLetters | UnitOfWork | MessageBus> =>
  MessageConsumer.layer({
    group: NAME,
    batchMax: concurrency.consumer.batchMax,
    catalogue: M.catalogue,
    types: [M.ReserveStock, M.CommitStock, M.ReleaseStock, M.ShipStock],
    handle: (envelopes) => Effect.flatMap(Inventory, ({ handle }) => handle(envelopes)),
  });

/** Publishes what it answered. */
export const relay = (concurrency: Concurrency.Concurrency) =>
  Layer.merge(OutboxRelay.layerWith(concurrency.relay), OutboxMonitor.layer("inventory"));

/** Returns the stock of holds whose time is over, and forgets what is old. */
export const worker = (concurrency: Concurrency.Concurrency) =>
  Layer.merge(HoldSweeper.layerWith({ batchMax: concurrency.worker.holdsMax }), Retention.layer);

export type Role = "relay" | "consumer" | "worker";

const byRole = { relay, consumer, worker };

/** The background work of a process with these roles. */
export const roles = (names: ReadonlyArray<Role>, concurrency: Concurrency.Concurrency = Concurrency.defaults) =>
  Layer.mergeAll(Layer.empty, ...names.map((name) => byRole[name](concurrency)));

/** Until it succeeds, with pauses that grow: the engine may come up later than this process. */
const insistently = <A, R>(effect: Effect.Effect<A, StoreError, R>): Effect.Effect<A, never, R> => {
  const go = (pause: number): Effect.Effect<A, never, R> =>
    effect.pipe(
      Effect.catch((error) =>
        Effect.logWarning(`the stock cannot be counted in: ${error.message}; again in ${pause} ms`).pipe(
          Effect.andThen(Effect.sleep(Duration.millis(pause))),
          Effect.andThen(Effect.suspend(() => go(Math.min(pause * 2, Worker.PAUSE_MAX_MS)))),
        ),
      ),
    );
  return go(Worker.PAUSE_MS);
};
