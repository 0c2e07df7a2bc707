/**
 * The orders API. Names and prices come from the catalogue, never from the client; orders belong to who placed them. A
 * request is answered after the commit of its order, and repeated under its key from then on.
 */
import { createHash } from "node:crypto";
import { Effect, Layer, Result } from "effect";
import type { HttpRouter } from "effect/http";
import { HttpApiBuilder } from "effect/http-api";
import { type CustomerId, type IdempotencyKey, MessageId, type Order, OrderId } from "@org/saga-core";
import { Catalogue, Pricing } from "@example/catalog";
import { HttpService, OrdersApi, Outage, Problem, TraceContext } from "@example/contracts";
import { Orders } from "./OrderService.ts";
import type * as OrderService from "./OrderService.ts";

const handlers = HttpApiBuilder.group(
  OrdersApi.OrdersApi,
  "orders",
  Effect.fnUntraced(function* (group) {
    const orders = yield* Orders;
    const catalogue = yield* Catalogue;

    const owned = Effect.fnUntraced(function* (id: OrderId, customerId: CustomerId) {
      const order = yield* Outage.told(orders.find(id));
      return order === null || order.customerId !== customerId ? yield* new Problem.OrderNotFound({}) : order;
    });

    return group.handleAll({
      place: Effect.fnUntraced(function* ({ headers, payload, request }) {
        const customerId = headers["x-customer-id"];
        const key = keyOf(customerId, headers["idempotency-key"], payload);
        const priced = yield* Effect.result(Effect.provideService(Pricing.price(payload.lines), Catalogue, catalogue));
        if (Result.isFailure(priced)) {
          // The catalogue has changed, or cannot be reached: an order that was placed before is answered all the same.
          const first = yield* Outage.told(orders.recorded(key));
          return first === null ? yield* priced.failure : yield* placed(first);
        }
        const lines = priced.success;
        const [id] = yield* MessageId.next(1);
        const cancelPolicy = payload.cancelPolicy ?? "createdOnly";
        const order = { id: OrderId.make(id ?? ""), customerId, lines, paymentMethod: payload.paymentMethod, cancelPolicy };
        return yield* placed(yield* Outage.told(orders.place(order, key, TraceContext.traceparentOf(request))));
      }),
      get: ({ headers, params }) => Effect.map(owned(params.id, headers["x-customer-id"]), OrdersApi.toResource),
      cancel: Effect.fnUntraced(function* ({ headers, params }) {
        const { id, cancelPolicy } = yield* owned(params.id, headers["x-customer-id"]);
        const key = headers["idempotency-key"];
        const idempotency = key === undefined ? null : cancelKeyOf(headers["x-customer-id"], key, id);
        const answer = yield* answerOf(yield* Outage.told(orders.cancel(id, "user", idempotency)));
        if (Result.isSuccess(answer)) return OrdersApi.toCancelResult(answer.success);
        const { failure } = answer;
        if (failure._tag === "TooLateToCancel") return yield* OrdersApi.tooLateToCancel(failure.status, cancelPolicy);
        return yield* Effect.die(new Error(`a cancel was refused with ${failure._tag}`));
      }),
    });
  }),
);

/** All routes of the order service. */
export const routes: Layer.Layer<never, never, HttpRouter.HttpRouter | Orders | Catalogue | HttpService.Requirements> = HttpService.routes(
  OrdersApi.OrdersApi,
).pipe(Layer.provide(handlers));

/** The same request has the same fingerprint, however its body is written. */
const keyOf = (customerId: CustomerId, key: string, { lines, paymentMethod, cancelPolicy }: OrdersApi.PlaceOrder): IdempotencyKey => {
  const body = JSON.stringify([lines.map(({ sku, quantity }) => [sku, quantity]), paymentMethod, cancelPolicy ?? null]);
  return idempotencyKey(customerId, key, `POST /api/v1/orders\n${body}`);
};

const cancelKeyOf = (customerId: CustomerId, key: string, id: OrderId): IdempotencyKey =>
  idempotencyKey(customerId, key, `POST /api/v1/orders/${id}/cancel`);

const idempotencyKey = (customerId: CustomerId, key: string, request: string): IdempotencyKey => ({
  scope: `customer:${customerId}`,
  key,
  fingerprint: createHash("sha256").update(request).digest("base64url"),
});

/** The decision that a request was answered with. */
const answerOf = Effect.fnUntraced(function* (handled: OrderService.Handled) {
  switch (handled._tag) {
    case "KeyReused":
      return yield* new Problem.IdempotencyKeyReused({});
    case "InFlight":
      return yield* new Problem.IdempotencyKeyInFlight({ detail: "ask again with the same key: the answer will be there" });
    case "Duplicate":
      return yield* Effect.die(new Error("a request was taken for a message"));
    case "Answered":
      return handled.answer ?? (yield* Effect.die(new Error("a request was answered with nothing")));
  }
});

const placed = Effect.fnUntraced(function* (handled: OrderService.Handled) {
  const answer = yield* answerOf(handled);
  return Result.isSuccess(answer)
    ? OrdersApi.toResource(answer.success)
    : yield* new Problem.OrderRefused({ detail: detailOf(answer.failure) });
});

const detailOf = (rejection: Order.Rejection): string => {
  switch (rejection._tag) {
    case "CurrencyMismatch":
      return "the products have prices in two currencies: place an order for each";
    case "TooManyLines":
      return `an order has at most ${rejection.max} lines`;
    case "EmptyOrder":
      return "an order has at least one line";
    case "OrderExists":
    case "OrderNotFound":
    case "InvalidTransition":
    case "NothingCaptured":
    case "TooLateToCancel":
      return rejection._tag;
  }
};
