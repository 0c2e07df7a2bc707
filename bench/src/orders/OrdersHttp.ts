/**
 * `POST /orders`, the HTTP layer that all contenders share: the same schemas, status and body. They differ in one function: how
 * an order becomes durable. Plain `node:http`, the least that HTTP costs: a framework would cost all of them the same, and hide
 * a part of what they differ in.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { NodeRuntime } from "@effect/platform-node";
import { CustomerId, Limits, Money, type Order, OrderId, Quantity, Sku } from "@org/saga-core";
import { Context, Effect, Exit, Layer, Result, Schema } from "effect";

const CartLine = Schema.Struct({ sku: Sku, quantity: Quantity });

const Headers = Schema.Struct({
  "idempotency-key": Schema.String.check(Schema.isMaxLength(Limits.IDEMPOTENCY_KEY_MAX)),
  "x-customer-id": CustomerId,
});

const Payload = Schema.fromJsonString(
  Schema.Struct({ lines: Schema.Array(CartLine).check(Schema.isMinLength(1)), paymentMethod: Schema.String }),
);

const decodeHeaders = Schema.decodeUnknownResult(Headers);
const decodePayload = Schema.decodeUnknownResult(Payload);

/** What an order is made of; the price is the shop's. */
export type Place = Omit<Extract<Order.Command, { readonly _tag: "Place" }>, "_tag" | "now">;

/** Makes the order durable and answers with it. `key`: the idempotency key of the request. */
export type MakeDurable = (order: Place, key: string) => Effect.Effect<Order.Order>;

export class Durable extends Context.Service<Durable, MakeDurable>()("@org/bench/orders/Durable") {}

/** Serves on a free port, and says which to the parent process. */
export const serve = (makeDurable: Layer.Layer<Durable, unknown>): void => {
  const listening = Effect.gen(function* () {
    const durable = yield* Durable;
    let count = 0;
    const server = createServer((request, response) => {
      withBody(request, (text) => {
        const placed = placeOf(request, text, ++count);
        if (placed === null) return respond(response, 400, { error: "invalid" });
        return Effect.runCallback(durable(placed.order, placed.key), {
          onExit: (exit) =>
            Exit.isSuccess(exit) ? respond(response, 201, bodyOf(exit.value)) : respond(response, 500, { error: "not placed" }),
        });
      });
    });
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      process.send?.(typeof address === "object" && address !== null ? address.port : null);
    });
    return yield* Effect.never;
  });
  NodeRuntime.runMain(Effect.provide(listening, makeDurable));
};

const PRICE = Money.of(1_250, "EUR");

const placeOf = (request: IncomingMessage, text: string, count: number): { readonly order: Place; readonly key: string } | null => {
  const headers = decodeHeaders(request.headers);
  const payload = decodePayload(text);
  if (Result.isFailure(headers) || Result.isFailure(payload)) return null;
  const order: Place = {
    id: OrderId.make(`${process.pid}-${count}`),
    customerId: headers.success["x-customer-id"],
    lines: payload.success.lines.map(({ sku, quantity }) => ({ sku, quantity, name: "A product", unitPrice: PRICE })),
    paymentMethod: payload.success.paymentMethod,
    cancelPolicy: "createdOnly",
  };
  return { order, key: headers.success["idempotency-key"] };
};

const bodyOf = ({ id, status, total, lines }: Order.Order): unknown => ({ id, status, total, items: lines });

const withBody = (request: IncomingMessage, then: (text: string) => void): void => {
  let text = "";
  request.setEncoding("utf8");
  request.on("data", (part: string) => {
    text += part;
  });
  request.on("end", () => then(text));
};

const respond = (response: ServerResponse, status: number, body: unknown): void => {
  const text = JSON.stringify(body);
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) });
  response.end(text);
};
