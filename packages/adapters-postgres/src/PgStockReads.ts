/** What `StockReservation` is asked without deciding anything: the same of every ledger on PostgreSQL, whoever serves. */
import { OrderId, StockLedger, type StockReservation, type StoreError } from "@org/saga-core";
import { Effect, Schema } from "effect";
import type { PgClient } from "./PgClient.ts";
import type { PgValue } from "./PgDriver.ts";
import * as PgStockLocked from "./PgStockLocked.ts";
import type { statements } from "./PgStockSql.ts";

export const make = (client: PgClient["Service"], sql: ReturnType<typeof statements>): Omit<StockReservation["Service"], "execute"> => {
  const read = <A, E>(operation: string, codec: Schema.Codec<A, E>, text: string, values: ReadonlyArray<PgValue> = []) =>
    Effect.flatMap(client.query<PgStockLocked.Row>(operation, text, values), ({ rows }) => PgStockLocked.decoded(operation, codec, rows));

  /** Ids that somebody has damaged take no room: more are read for them. */
  const expired = Effect.fnUntraced(function* (max: number, limit = max): Effect.fn.Return<ReadonlyArray<OrderId>, StoreError> {
    const found = yield* read("StockReservation.expired", Ids, sql.expired, [limit]);
    const orders = found.filter(isOrderId);
    const damaged = found.length - orders.length;
    if (orders.length < max && found.length === limit) return yield* expired(max, max + damaged);
    if (damaged > 0) yield* Effect.logWarning(`${damaged} holds do not expire, because their order's id is none: reconcile the stock`);
    return orders.slice(0, max);
  });

  return {
    balances: Effect.fn("StockReservation.balances")(function* (skus) {
      const found = yield* read("StockReservation.balances", PgStockLocked.AllBooks, sql.balances, [skus]);
      return new Map(found.map((books) => [books.sku, StockLedger.balanceOf(books)]));
    }),
    allBalances: read("StockReservation.allBalances", PgStockLocked.AllBooks, sql.allBalances).pipe(
      Effect.map((found) => found.map(StockLedger.balanceOf)),
      Effect.withSpan("StockReservation.allBalances"),
    ),
    expired: Effect.fn("StockReservation.expired")((max) => expired(max)),
  };
};

const Ids = Schema.Array(Schema.String);
const isOrderId = Schema.is(OrderId);
