/**
 * Returns the stock of holds whose time is over and tells about it (`inventory.released.v1`, reason `expired`). Any
 * number of processes may sweep. What others leave with it (`leave`) it tells as well: holds that were revoked.
 *
 * Stock and event are two commits, for the stock may be anywhere. So what is about to expire is noted first, as a timer:
 * ```
 * the timer ─ Expire (idempotent: again, it says the same) ─ the event, its admission to the inbox, no timer any more
 * ```
 * 1. Stock returns once: a hold expires once, whoever asks.
 * 2. The event is certain: a process that dies in between leaves the timer, and after its lease another one goes on from there.
 * 3. It is told once: all that tell of the same hold, sweepers or others (`releasedFact`), meet at the inbox, for as long as
 *    that remembers.
 *
 * A hold that was committed, renewed or given back before it expired is told of by nobody here. One that the engine refuses (its
 * record was damaged) keeps nobody else's, however many they are: it is left as it is, and `StockReconcile` says what to do.
 */
import { Duration, Effect, type Layer, Metric, Result } from "effect";
import { StockReleased } from "../domain/order/CheckoutMessages.ts";
import { OrderId } from "../domain/order/OrderId.ts";
import type * as StockLedger from "../domain/stock/StockLedger.ts";
import type { ReturnReason } from "../domain/stock/ReturnReason.ts";
import { Inbox } from "../ports/Inbox.ts";
import type { Outbox } from "../ports/Outbox.ts";
import { StockReservation } from "../ports/StockReservation.ts";
import type { StoreError } from "../ports/StoreError.ts";
import { type Timer, Timers } from "../ports/Timers.ts";
import { Transaction, UnitOfWork } from "../ports/UnitOfWork.ts";
import { sendAll } from "./CommandHandler.ts";
import * as Worker from "./Worker.ts";

/** Holds of one pass. */
export const SWEEP_BATCH_MAX = 200;

/** Rest between two looks, in milliseconds: how late the stock of a dead hold may return. */
export const SWEEP_EVERY_MS = 1_000;

/** How long what one process has begun is left to it, in milliseconds: above the longest pass. */
export const LEASE_MS = 15_000;

/** Owner of the timers. */
const NAME = "hold-sweeper";

/** Consumer name, in the inbox, of what was told: whoever else tells of the stock admits the same facts under it. */
export const TOLD = "inventory-news";

/** What is told once. An order can have two: its hold ended, a late commit took fresh stock, and that was given back. */
export const releasedFact = (orderId: OrderId, reason: ReturnReason): string => `released:${orderId}:${reason}`;

const expired = Metric.counter("saga_stock_holds_expired_total", {
  description: "Holds whose time was over and whose stock went back",
  incremental: true,
});

export type Ports = StockReservation | UnitOfWork | Timers | Inbox | Outbox;

/** Expires what is due, at most `max`, once; returns the orders whose holds ended. */
export const sweepAtMost = (max: number): Effect.Effect<ReadonlyArray<OrderId>, StoreError, Ports> => sweepPast(max, new Set());

/** What is refused stays due, and first: it is passed, until something ends or nothing is left. */
const sweepPast = Effect.fnUntraced(function* (
  max: number,
  refused: ReadonlySet<OrderId>,
): Effect.fn.Return<ReadonlyArray<OrderId>, StoreError, Ports> {
  const stock = yield* StockReservation;
  const timers = yield* Timers;
  const due = (yield* stock.expired(max + refused.size)).filter((orderId) => !refused.has(orderId));
  yield* leave(due);
  const begun = yield* timers.claimDue(NAME, max, LEASE_MS);
  if (begun.length === 0) return [];
  const orders = begun.map(({ key }) => OrderId.make(key));
  const passed = new Set(refused);
  const apart = (orderId: OrderId) =>
    Effect.catchIf(expire(stock, [orderId]), isRefused, (error) => {
      passed.add(orderId);
      return Effect.as(Effect.logWarning(`the hold of order ${orderId} cannot be expired: ${error.message}; reconcile the stock`), []);
    });
  const answers = yield* Effect.catchIf(expire(stock, orders), isRefused, () => Effect.map(Effect.forEach(orders, apart), flat));
  const released = answers.flatMap((answer): ReadonlyArray<Ended> => {
    if (Result.isFailure(answer) || answer.success._tag !== "Released") return [];
    const { orderId, reason } = answer.success;
    return reason === "asked" ? [] : [{ orderId, reason }];
  });
  const told = yield* tell(begun, released);
  yield* Metric.update(expired, told.filter(({ reason }) => reason === "expired").length);
  if (told.length === 0 && passed.size > refused.size) return yield* sweepPast(max, passed);
  return told.map(({ orderId }) => orderId);
});

const expire = (stock: StockReservation["Service"], orders: ReadonlyArray<OrderId>) =>
  stock.execute(orders.map((orderId) => ({ _tag: "Expire", orderId })));

const isRefused = ({ reason }: StoreError): boolean => reason === "Refused";

const flat = (answers: ReadonlyArray<ReadonlyArray<StockLedger.Answer>>): ReadonlyArray<StockLedger.Answer> => answers.flat();

interface Ended {
  readonly orderId: OrderId;
  readonly reason: ReturnReason;
}

/**
 * Leaves orders with whoever sweeps: if their holds are over, or were revoked, and nobody has told of it, that is told. For those
 * who end holds, and publish nothing themselves.
 */
export const leave = Effect.fnUntraced(function* (due: ReadonlyArray<OrderId>): Effect.fn.Return<void, StoreError, Timers | UnitOfWork> {
  if (due.length === 0) return;
  const timers = yield* Timers;
  yield* (yield* UnitOfWork).commit(
    Effect.flatMap(Transaction, ({ now }) =>
      timers.schedule(due.map((orderId) => ({ owner: NAME, key: orderId, name: "expire", token: "", dueAt: now }))),
    ),
  );
});

/** Of those that nobody has told of; and forgets what was begun. */
const tell = Effect.fnUntraced(function* (begun: ReadonlyArray<Timer>, released: ReadonlyArray<Ended>) {
  const timers = yield* Timers;
  const inbox = yield* Inbox;
  return yield* (yield* UnitOfWork).commit(
    Effect.gen(function* () {
      const { now } = yield* Transaction;
      const verdicts = yield* inbox.admit(
        TOLD,
        released.map(({ orderId, reason }) => releasedFact(orderId, reason)),
      );
      const news = released.filter((_, index) => verdicts[index] === "First");
      yield* sendAll(
        news.map(({ orderId, reason }) => ({
          cause: { correlationId: orderId, causationId: null, traceparent: null, tracestate: null },
          drafts: [StockReleased.draft({ orderId, reason })],
        })),
        now,
      );
      yield* timers.complete(begun);
      return news;
    }),
  );
});

/** Expires what is due, once; returns the orders whose holds ended. */
export const sweepOnce: Effect.Effect<ReadonlyArray<OrderId>, StoreError, Ports> = Effect.suspend(() => sweepAtMost(SWEEP_BATCH_MAX));

export interface Options {
  /** Holds of one pass, at most. */
  readonly batchMax?: number | undefined;
}

export const layerWith = ({ batchMax = SWEEP_BATCH_MAX }: Options): Layer.Layer<never, never, Ports> =>
  Worker.layer(
    "HoldSweeper",
    Effect.flatMap(sweepAtMost(batchMax), (released) =>
      released.length > 0 ? Effect.void : Effect.sleep(Duration.millis(SWEEP_EVERY_MS)),
    ),
  );

export const layer: Layer.Layer<never, never, Ports> = layerWith({});
