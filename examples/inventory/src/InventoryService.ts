/**
 * The inventory service: answers sagas' commands and requests over HTTP out of `StockReservation`, whichever engine that is.
 *
 * The stock changes first, idempotently; then what is told of it is committed (`StockNews`). So a request is refused for lack of
 * room before the stock is touched, and never after. What fails after that:
 * - A request under the caller's id has an outcome that is not known (`Unknown`): repeated, it gets its answer.
 * - A reservation whose id was made here is of use to nobody: what it took goes back in the background, until that succeeds,
 *   this process ends, or the hold does.
 */
import { Concurrency } from "@example/contracts";
import { Context, Duration, Effect, Exit, Layer, Result, Schedule, Scope } from "effect";
import {
  type Adjust,
  CheckoutMessages as M,
  describeCause,
  type DeadLetters,
  HoldSweeper,
  type Inbox,
  Mailbox,
  type MessageBus,
  MessageConsumer,
  MessageId,
  OrderId,
  type Outbox,
  OutboxMonitor,
  OutboxRelay,
  type Reserve,
  Retention,
  type Sku,
  SoldOut,
  type StockCommand,
  type StockLedger,
  StockReservation,
  StoreError,
  type UnitOfWork,
  Worker,
} from "@org/saga-core";
import { catalogue } from "./InventoryMessages.ts";
import * as StockAnswers from "./StockAnswers.ts";
import * as StockNews from "./StockNews.ts";
import * as StockResponder from "./StockResponder.ts";

/** Consumer group and consumer name. */
export const NAME = "inventory";

/** What is on hand when the shop opens. */
export interface InitialStock {
  readonly sku: Sku;
  readonly quantity: number;
}

/** The stock is stocked: what answers from it may begin. */
export class Inventory extends Context.Service<
  Inventory,
  {
    /**
     * Carries out a command, and tells the world if it was accepted: once per order and kind, or adjustment. Asked again, the
     * answer is the same. `MailboxFull`: nothing happened. `Unknown`: ask again.
     */
    readonly ask: (command: Request, traceparent: string | null) => Effect.Effect<StockLedger.Answer, Mailbox.Failure>;
    /**
     * A reservation for an order that nobody has asked for yet: it gets its id here. Refused without the engine while a
     * SKU is known to be sold out (`SoldOut`); first come, first served. After any failure nothing is held, or not for long.
     */
    readonly reserveFirst: (
      request: Omit<Reserve, "orderId">,
      traceparent: string | null,
    ) => Effect.Effect<StockLedger.Answer, Mailbox.Failure>;
  }
>()("@example/inventory/Inventory") {}

export type Request = Reserve | Adjust | Extract<StockCommand, { readonly _tag: "Release" }>;

type Stores = UnitOfWork | Inbox | Outbox;

/**
 * Counts the initial stock in, once per SKU for ever, and waits until that is done. Everything in this process asks the engine
 * through the `StockReservation` from here: it learns what is sold out, and what came back.
 */
export const layer = (
  stock: ReadonlyArray<InitialStock>,
  bounds: Partial<Concurrency.Concurrency["mailbox"]> = {},
): Layer.Layer<Inventory | StockReservation, never, StockReservation | Stores> =>
  Layer.effect(Inventory, Effect.andThen(insistently(seed(stock)), make(bounds))).pipe(Layer.provideMerge(SoldOut.layer));

const make = Effect.fnUntraced(function* (bounds: Partial<Concurrency.Concurrency["mailbox"]>) {
  const stock = yield* StockReservation;
  const { first } = yield* SoldOut.SoldOut;
  const scope = yield* Scope.Scope;
  const { admitted, anyway } = room(bounds.capacity ?? Mailbox.CAPACITY);
  const tell = yield* telling(bounds);
  const giveBack = Effect.fnUntraced(function* ({ orderId, ttlMillis }: Reserve, traceparent: string | null) {
    yield* Effect.logWarning(`order ${orderId}: nobody heard of its reservation; what it took goes back`);
    const release = { _tag: "Release", orderId } as const;
    const released = Effect.flatMap(stock.execute([release]), (said) => tell(release, said, traceparent));
    yield* released.pipe(
      Effect.retry(Schedule.spaced(Duration.millis(Worker.PAUSE_MAX_MS))),
      // By then it has ended by itself.
      Effect.timeoutOption(Duration.millis(ttlMillis)),
      Effect.catchCause((cause) => Effect.logError(`order ${orderId}: what it took stays until its hold ends: ${describeCause(cause)}`)),
    );
  });
  const inventory: Inventory["Service"] = {
    ask: Effect.fn("Inventory.ask")((command, traceparent) =>
      admitted(
        Effect.flatMap(stock.execute([command]), (said) => Effect.mapError(tell(command, said, traceparent), unknown("Inventory.ask"))),
      ),
    ),
    reserveFirst: Effect.fn("Inventory.reserveFirst")(function* (request, traceparent) {
      const [id = ""] = yield* MessageId.next(1);
      const command = { ...request, orderId: OrderId.make(id) };
      let mayHold = true;
      const taken = Effect.tapError(first([command]), ({ reason }) => Effect.sync(() => void (mayHold = reason === "Unknown")));
      const told = Effect.flatMap(taken, (said) => tell(command, said, traceparent));
      // As long as it holds what nobody knows of, it takes the room of a request: there are never more of them.
      const inBackground = Effect.suspend(() =>
        mayHold ? Effect.forkIn(anyway(giveBack(command, traceparent)), scope, { startImmediately: true }) : Effect.void,
      );
      return yield* admitted(Effect.onError(told, () => inBackground));
    }),
  };
  return inventory;
});

/** Tells the world of an answer, unless it was told; the answer. Never refused for lack of room: the stock has changed. */
const telling = Effect.fnUntraced(function* (bounds: Partial<Concurrency.Concurrency["mailbox"]>) {
  const news = yield* Mailbox.make<StockNews.Item, "Told", Stores>({
    name: "inventory-news",
    key: ({ cause }) => cause.correlationId,
    run: (items) =>
      Effect.as(
        StockNews.commit(NAME, items),
        items.map(() => "Told"),
      ),
    ...bounds,
  });
  return Effect.fnUntraced(function* (command: Request, said: ReadonlyArray<StockLedger.Answer>, traceparent: string | null) {
    const [answer] = said;
    if (answer === undefined) return yield* Effect.die(new Error("one answer per command"));
    const tellings = Result.isSuccess(answer) ? StockAnswers.news(command, answer.success) : [];
    const correlationId = command._tag === "Adjust" ? command.id : command.orderId;
    const cause = { correlationId, causationId: null, traceparent, tracestate: null };
    const [exit = Exit.void] = tellings.length > 0 ? yield* news.submitAll([{ messageId: null, cause, tellings }]) : [];
    yield* exit;
    return answer;
  });
});

/** Room for so many at a time: one more fails with `MailboxFull` before it has begun, unless it has to be done `anyway`. */
const room = (capacity: number) => {
  let underWay = 0;
  const enter = Effect.sync(() => void (underWay += 1));
  const enterIfFree = Effect.suspend(() =>
    underWay < capacity ? enter : Effect.fail(new Mailbox.MailboxFull({ mailbox: NAME, capacity })),
  );
  const leave = Effect.sync(() => void (underWay -= 1));
  return {
    admitted: <A, E>(effect: Effect.Effect<A, E>) =>
      Effect.acquireUseRelease(
        enterIfFree,
        () => effect,
        () => leave,
      ),
    anyway: <A, E>(effect: Effect.Effect<A, E>) =>
      Effect.acquireUseRelease(
        enter,
        () => effect,
        () => leave,
      ),
  };
};

/** The stock has changed: whatever the news failed of, nobody may say that nothing happened. */
const unknown =
  (operation: string) =>
  (failure: Mailbox.Failure): Mailbox.Failure =>
    failure._tag === "Poisoned" ? failure : new StoreError({ reason: "Unknown", operation, message: failure.message });

/** One adjustment a SKU under a constant id: repeated, it changes nothing. */
export const seed = Effect.fn("InventoryService.seed")(function* (stock: ReadonlyArray<InitialStock>) {
  const reservation = yield* StockReservation;
  yield* reservation.execute(stock.map(({ sku, quantity }) => ({ _tag: "Adjust", id: `seed:${sku}`, sku, delta: quantity })));
});

/** Reads what it is asked. */
export const consumer = (
  concurrency: Concurrency.Concurrency,
): Layer.Layer<never, never, Inventory | StockReservation | Stores | DeadLetters | MessageBus> =>
  Layer.unwrap(
    Effect.as(
      Inventory,
      MessageConsumer.layer({
        group: NAME,
        batchMax: concurrency.consumer.batchMax,
        catalogue,
        types: [M.ReserveStock, M.CommitStock, M.ReleaseStock, M.ShipStock, M.OrderStatusChanged, M.PaymentAuthorized],
        handle: StockResponder.handle(NAME),
      }),
    ),
  );

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
