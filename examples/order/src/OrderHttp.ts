/**
 * The orders API. Names and prices come from the catalogue, never from the client; orders belong to who placed them. A
 * request is answered after the commit of its order, and repeated under its key from then on.
 */
import { createHash } from "node:crypto";
import { Effect, Layer, Result } from "effect";
import type { HttpRouter, HttpServerRequest } from "effect/http";
import { HttpApiBuilder } from "effect/http-api";
import { type CustomerId, type IdempotencyKey, type Mailbox, MessageId, type Order, OrderId } from "@org/saga-core";
import { Catalogue, Pricing } from "@example/catalog";
import { HttpService, OrdersApi, Problem } from "@example/contracts";
import { Orders } from "./OrderService.ts";

const handlers = HttpApiBuilder.group(
  OrdersApi.OrdersApi,
  "orders",
  Effect.fnUntraced(function* (group) {
    const orders = yield* Orders;
    const catalogue = yield* Catalogue;

    const owned = Effect.fnUntraced(function* (id: OrderId, customerId: CustomerId) {
      const order = yield* told(orders.find(id));
      return order === null || order.customerId !== customerId ? yield* new Problem.OrderNotFound({}) : order;
    });

    return group.handleAll({
      place: Effect.fnUntraced(function* ({ headers, payload, request }) {
        const customerId = headers["x-customer-id"];
        const lines = yield* Effect.provideService(Pricing.price(payload.lines), Catalogue, catalogue);
        const [id] = yield* MessageId.next(1);
        const key = keyOf(customerId, headers["idempotency-key"], payload);
        const cancelPolicy = payload.cancelPolicy ?? "createdOnly";
        const order = { id: OrderId.make(id ?? ""), customerId, lines, paymentMethod: payload.paymentMethod, cancelPolicy };
        const handled = yield* told(orders.place(order, key, traceparentOf(request)));
        if (handled._tag === "KeyReused") return yield* new Problem.IdempotencyKeyReused({});
        if (handled._tag === "Duplicate" || handled.answer === null)
          return yield* Effect.die(new Error("a request was answered with nothing"));
        return Result.isSuccess(handled.answer)
          ? OrdersApi.toResource(handled.answer.success)
          : yield* new Problem.OrderRefused({ detail: detailOf(handled.answer.failure) });
      }),
      get: ({ headers, params }) => Effect.map(owned(params.id, headers["x-customer-id"]), OrdersApi.toResource),
      cancel: Effect.fnUntraced(function* ({ headers, params }) {
        const { id, cancelPolicy } = yield* owned(params.id, headers["x-customer-id"]);
        const handled = yield* told(orders.cancel(id, "user"));
        if (handled._tag !== "Answered" || handled.answer === null)
          return yield* Effect.die(new Error("a request was answered with nothing"));
        if (Result.isSuccess(handled.answer)) return OrdersApi.toCancelResult(handled.answer.success);
        const { failure } = handled.answer;
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
  const fingerprint = createHash("sha256").update(`POST /api/v1/orders\n${body}`).digest("base64url");
  return { scope: `customer:${customerId}`, key, fingerprint };
};

const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The caller's trace (W3C), if it sent one. */
const traceparentOf = (request: HttpServerRequest.HttpServerRequest): string | null => {
  const header = request.headers["traceparent"];
  return header !== undefined && TRACEPARENT.test(header) ? header : null;
};

/** What the caller hears when it could not be done. A request that is poisonous is a bug here, not an outage. */
const told = <A>(
  asked: Effect.Effect<A, Mailbox.Failure>,
): Effect.Effect<A, Problem.Overloaded | Problem.Unavailable | Problem.OutcomeUnknown> =>
  asked.pipe(
    Effect.catch((failure): Effect.Effect<never, Problem.Overloaded | Problem.Unavailable | Problem.OutcomeUnknown> => {
      switch (failure._tag) {
        case "MailboxFull":
          return Effect.fail(new Problem.Overloaded({ detail: "too many requests are waiting" }));
        case "Poisoned":
          return Effect.die(failure);
        case "StoreError":
          return Effect.fail(failure.reason === "Unknown" ? new Problem.OutcomeUnknown({}) : new Problem.Unavailable({}));
      }
    }),
  );

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
