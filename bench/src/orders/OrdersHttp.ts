/**
 * `POST /orders`, the HTTP layer that both contenders share: the same router, schemas, status and body. They differ in one
 * function: how an order becomes durable.
 */
import { createServer } from "node:http";
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node";
import { CustomerId, Limits, Money, type Order, OrderId, Quantity, Sku } from "@org/saga-core";
import { Context, Effect, Layer, Schema } from "effect";
import { HttpRouter, HttpServer } from "effect/http";
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api";

const CartLine = Schema.Struct({ sku: Sku, quantity: Quantity });

const Placed = Schema.Struct({
  id: OrderId,
  status: Schema.String,
  total: Money.Money,
  items: Schema.Array(Schema.Struct({ sku: Sku, name: Schema.String, quantity: Quantity, unitPrice: Money.Money })),
});

class Orders extends HttpApiGroup.make("orders").add(
  HttpApiEndpoint.post("place", "/orders", {
    headers: { "idempotency-key": Schema.String.check(Schema.isMaxLength(Limits.IDEMPOTENCY_KEY_MAX)), "x-customer-id": CustomerId },
    payload: Schema.Struct({ lines: Schema.Array(CartLine).check(Schema.isMinLength(1)), paymentMethod: Schema.String }),
    success: Placed.pipe(HttpApiSchema.status(201)),
  }),
) {}

class Api extends HttpApi.make("bench").add(Orders) {}

/** What an order is made of; the price is the shop's. */
export type Place = Omit<Extract<Order.Command, { readonly _tag: "Place" }>, "_tag" | "now">;

/** Makes the order durable and answers with it. `key`: the idempotency key of the request. */
export type MakeDurable = (order: Place, key: string) => Effect.Effect<Order.Order>;

export class Durable extends Context.Service<Durable, MakeDurable>()("@org/bench/orders/Durable") {}

/** Serves on a free port, and says which to the parent process. */
export const serve = (makeDurable: Layer.Layer<Durable, unknown>): void => {
  const handlers = HttpApiBuilder.group(
    Api,
    "orders",
    Effect.fnUntraced(function* (group) {
      const durable = yield* Durable;
      let count = 0;
      return group.handle("place", ({ headers, payload }) => {
        count += 1;
        const order: Place = {
          id: OrderId.make(`${process.pid}-${count}`),
          customerId: headers["x-customer-id"],
          lines: payload.lines.map(({ sku, quantity }) => ({ sku, quantity, name: "A product", unitPrice: PRICE })),
          paymentMethod: payload.paymentMethod,
          cancelPolicy: "createdOnly",
        };
        return Effect.map(Effect.tapCause(durable(order, headers["idempotency-key"]), Effect.logError), ({ id, status, total, lines }) => ({
          id,
          status,
          total,
          items: lines,
        }));
      });
    }),
  );
  const announce = Layer.effectDiscard(
    Effect.map(HttpServer.HttpServer, ({ address }) => void process.send?.("port" in address ? address.port : null)),
  );
  const app = HttpApiBuilder.layer(Api).pipe(Layer.provide(handlers), Layer.provide(makeDurable));
  const server = NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 });
  NodeRuntime.runMain(
    // Announced when it is served: what comes before has nobody to answer it.
    Layer.launch(
      announce.pipe(Layer.provide(HttpRouter.serve(app, { disableLogger: true, disableListenLog: true })), Layer.provide(server)),
    ),
  );
};

const PRICE = Money.of(1_250, "EUR");
