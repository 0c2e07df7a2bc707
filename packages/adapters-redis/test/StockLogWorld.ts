/** One SKU, and what is asked about it. */
import { type LogVerdict, OrderId, Quantity, Sku, type StockCommand, type StockLedger } from "@org/saga-core";
import { Effect, Result } from "effect";
import type { Redis } from "ioredis";

export const apple = Sku.make("apple");

export const receive = (units: number, id = "first") => ({ _tag: "Adjust", id, sku: apple, delta: units }) as const satisfies StockCommand;

export const reserve = (name: string, quantity = 1, ttlMillis = 60_000) =>
  ({
    _tag: "Reserve",
    orderId: OrderId.make(name),
    lines: [{ sku: apple, quantity: Quantity.make(quantity) }],
    ttlMillis,
  }) as const satisfies StockCommand;

export const words = (verdict: LogVerdict): ReadonlyArray<string> =>
  verdict._tag === "Ended"
    ? ["Ended"]
    : verdict.answers.map((answer) => (Result.isSuccess(answer) ? answer.success._tag : answer.failure._tag));

/** Books without their date. */
export const booksOf = (view: StockLedger.StockView | null): unknown => {
  const books = view?.skus.get(apple);
  return books === undefined ? null : { onHand: books.onHand, held: books.held, committed: books.committed };
};

export const heldOrders = (view: StockLedger.StockView | null): ReadonlyArray<OrderId> =>
  [...(view?.holds.values() ?? [])]
    .filter((hold) => hold.status === "held")
    .map((hold) => hold.orderId)
    .toSorted();

/** The keys of snapshots that stay, because they are drafts no more. */
export const keptSnapshots = Effect.fnUntraced(function* (admin: Redis, prefix: string) {
  const keys = yield* Effect.promise(() => admin.keys(`{stk:${prefix}:0}:snap:*`));
  return yield* Effect.filter(keys, (key) => Effect.promise(() => admin.ttl(key).then((ttl) => ttl === -1)));
});
