/**
 * What orders should have of the stock, out of the order service's schema. Says nothing of orders in the middle of their
 * checkout, of those that changed a moment ago, and of those that are paid and not refunded yet: their own saga is at work.
 */
import { Order, OrderId, OrderStore, type OrderStatus, StockReconcile, type StoreError } from "@org/saga-core";
import { PgClient, PgOrderStore } from "@org/saga-postgres";
import { Clock, Effect, Schema } from "effect";
import * as CliFailure from "./CliFailure.ts";
import * as Databases from "./Databases.ts";

/** The claims, as a client of that schema finds them; it has to stay open. What it refuses is told of that schema. */
export const make: Effect.Effect<StockReconcile.Claims<CliFailure.CliFailure>, never, PgClient.PgClient> = Effect.gen(function* () {
  const client = yield* PgClient.PgClient;
  const of = Effect.fnUntraced(
    function* (ids: ReadonlyArray<OrderId>): Effect.fn.Return<ReadonlyMap<OrderId, StockReconcile.Claim>, StoreError, OrderStore> {
      const now = yield* Clock.currentTimeMillis;
      const orders = yield* (yield* OrderStore).find(ids);
      return new Map([...orders].flatMap(([id, order]) => claimOf(order, now).map((claim) => [id, claim] as const)));
    },
    Effect.provide(PgOrderStore.layer),
    Effect.provideService(PgClient.PgClient, client),
  );
  const owed = Effect.gen(function* () {
    const text = `select id from ${client.tables}orders where status = $1`;
    const { rows } = yield* client.query<{ readonly id: string }>("Stock.owed", text, [PAID]);
    return [...(yield* of(rows.flatMap(({ id }) => (isOrderId(id) ? [id] : [])))).values()];
  });
  const told = Effect.mapError(CliFailure.ofStore(Databases.where(client.schema)));
  return { of: (ids) => told(of(ids)), owed: told(owed) };
});

/** Goods are promised before the payment is captured, and shipped before the order is finished. */
const PAID: OrderStatus.OrderStatus = "awaitingFulfillment";

const isOrderId = Schema.is(OrderId);

const claimOf = (order: Order.Order, now: number): ReadonlyArray<StockReconcile.Claim> => {
  const { id, status, history } = order;
  const should = shouldHave(order);
  const since = history.at(-1)?.at ?? now;
  if (should === null || since > now - StockReconcile.ORDER_SETTLE_MS) return [];
  return [{ orderId: id, should, status, lines: order.lines.map(({ sku, quantity }) => ({ sku, quantity })) }];
};

const shouldHave = ({ status, paid }: Order.Order): StockReconcile.Claim["should"] | null => {
  switch (status) {
    case "created":
    case "pendingPayment":
    case "awaitingPayment":
      return null;
    case "awaitingFulfillment":
      return "Goods";
    case "finished":
      return "Shipment";
    case "failed":
      return paid ? null : "Nothing";
    case "canceled":
    case "refunded":
      return "Nothing";
  }
};
