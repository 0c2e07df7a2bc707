/**
 * Returns the stock of holds whose time is over and tells about it (`inventory.released.v1`, reason `expired`). Any
 * number of processes may sweep: a hold expires once.
 *
 * The ledger is the truth and the event a courtesy: a process that dies between the two has returned the stock without
 * telling. The saga does not need to hear it: it learns of an expired hold when it commits.
 */
import { Effect, Duration, type Layer, Metric, Result } from "effect";
import { StockReleased } from "../domain/order/CheckoutMessages.ts";
import type { OrderId } from "../domain/order/OrderId.ts";
import type { Outbox } from "../ports/Outbox.ts";
import { StockReservation } from "../ports/StockReservation.ts";
import type { StoreError } from "../ports/StoreError.ts";
import { Transaction, UnitOfWork } from "../ports/UnitOfWork.ts";
import { sendAll } from "./CommandHandler.ts";
import * as Worker from "./Worker.ts";

/** Holds of one pass. */
export const SWEEP_BATCH_MAX = 200;

/** Rest between two looks, in milliseconds: how late the stock of a dead hold may return. */
export const SWEEP_EVERY_MS = 1_000;

const expired = Metric.counter("saga_stock_holds_expired_total", { description: "Holds whose stock went back", incremental: true });

/** Expires what is due, at most `max`, once; returns the orders whose holds ended. */
export const sweepAtMost = Effect.fnUntraced(function* (
  max: number,
): Effect.fn.Return<ReadonlyArray<OrderId>, StoreError, StockReservation | UnitOfWork | Outbox> {
  const stock = yield* StockReservation;
  const due = yield* stock.expired(max);
  if (due.length === 0) return [];
  const answers = yield* stock.execute(due.map((orderId) => ({ _tag: "Expire", orderId })));
  const released = due.filter((_, index) => {
    const answer = answers[index];
    return answer !== undefined && Result.isSuccess(answer) && answer.success._tag === "Released" && answer.success.reason === "expired";
  });
  if (released.length === 0) return [];
  const unitOfWork = yield* UnitOfWork;
  yield* unitOfWork.commit(
    Effect.gen(function* () {
      const { now } = yield* Transaction;
      yield* sendAll(
        released.map((orderId) => ({
          cause: { correlationId: orderId, causationId: null, traceparent: null, tracestate: null },
          drafts: [StockReleased.draft({ orderId, reason: "expired" })],
        })),
        now,
      );
    }),
  );
  yield* Metric.update(expired, released.length);
  return released;
});

/** Expires what is due, once; returns the orders whose holds ended. */
export const sweepOnce: Effect.Effect<ReadonlyArray<OrderId>, StoreError, StockReservation | UnitOfWork | Outbox> = Effect.suspend(() =>
  sweepAtMost(SWEEP_BATCH_MAX),
);

export interface Options {
  /** Holds of one pass, at most. */
  readonly batchMax?: number | undefined;
}

export const layerWith = ({ batchMax = SWEEP_BATCH_MAX }: Options): Layer.Layer<never, never, StockReservation | UnitOfWork | Outbox> =>
  Worker.layer(
    "HoldSweeper",
    Effect.flatMap(sweepAtMost(batchMax), (released) =>
      released.length > 0 ? Effect.void : Effect.sleep(Duration.millis(SWEEP_EVERY_MS)),
    ),
  );

export const layer: Layer.Layer<never, never, StockReservation | UnitOfWork | Outbox> = layerWith({});
