/**
 * A shop that goes the way of the real one, by the real order decider, in milliseconds: orders API, the provider's ledger
 * and the inventory's books. It can be told to do wrong.
 */
import { HttpService, OrdersApi, Problem } from "@example/contracts";
import { Money, Order, OrderId } from "@org/saga-core";
import { Effect, Layer, Result } from "effect";
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http";
import { HttpApiBuilder } from "effect/http-api";

/** How long a status lasts, in milliseconds; `created` longer, so that a cancel can be in time. */
const REST_MS = 30;
const CREATED_MS = 300;

type Wrong = "nothing" | "sells what it does not have" | "keeps the money" | "forgets stock" | "gets stuck" | "allows a late cancel";

export class FakeShop {
  readonly orders = new Map<OrderId, Order.Order>();
  readonly byKey = new Map<string, OrderId>();
  readonly ledger = new Map<string, { captured: number; refunded: number }>();
  readonly stock = new Map<string, number>();
  wrong: Wrong = "nothing";
  /** Answers of POST /orders to drop with 503. */
  unavailable = 0;

  readonly #handlers = HttpApiBuilder.group(OrdersApi.OrdersApi, "orders", (handlers) =>
    handlers.handleAll({
      place: ({ headers, payload }) =>
        Effect.gen({ self: this }, function* () {
          if (this.unavailable-- > 0) return yield* new Problem.Unavailable({});
          const known = this.orders.get(this.byKey.get(headers["idempotency-key"]) ?? OrderId.make("none"));
          if (known !== undefined) return OrdersApi.toResource(known);
          if (payload.lines.some(({ sku }) => sku.startsWith("unknown"))) return yield* new Problem.UnknownSku({});
          const id = OrderId.make(`order-${this.orders.size + 1}`);
          const lines = payload.lines.map((line) => ({ ...line, name: line.sku, unitPrice: Money.of(100, "EUR") }));
          const customerId = headers["x-customer-id"];
          const { paymentMethod, cancelPolicy = "createdOnly" } = payload;
          const order = this.#do(null, { _tag: "Place", id, customerId, lines, paymentMethod, cancelPolicy, now: Date.now() });
          if (order === null) return yield* new Problem.OrderRefused({});
          this.byKey.set(headers["idempotency-key"], id);
          yield* Effect.forkDetach(this.#live(id));
          return OrdersApi.toResource(order);
        }),
      get: ({ params }) => {
        const order = this.orders.get(params.id);
        return order === undefined ? Effect.fail(new Problem.OrderNotFound({})) : Effect.succeed(OrdersApi.toResource(order));
      },
      cancel: ({ params }) => {
        const order = this.orders.get(params.id);
        if (order === undefined) return Effect.fail(new Problem.OrderNotFound({}));
        if (this.wrong === "allows a late cancel") return Effect.succeed(OrdersApi.toCancelResult(order));
        const canceled = this.#do(order, { _tag: "Cancel", by: "user", now: Date.now() });
        return canceled === null
          ? Effect.fail(OrdersApi.tooLateToCancel(order.status, order.cancelPolicy))
          : Effect.succeed(OrdersApi.toCancelResult(canceled));
      },
    }),
  );

  readonly #outside = Layer.mergeAll(
    HttpRouter.add(
      "GET",
      "/v1/ledger",
      Effect.gen({ self: this }, function* () {
        const request = yield* HttpServerRequest.HttpServerRequest;
        const orderId = new URL(request.url, "http://localhost").searchParams.get("orderId") ?? "";
        const entry = this.ledger.get(orderId) ?? { captured: 0, refunded: 0 };
        return HttpServerResponse.jsonUnsafe([{ orderId, ...entry, currency: "EUR" }]);
      }),
    ),
    HttpRouter.add(
      "GET",
      "/api/v1/inventory/:sku",
      Effect.map(HttpRouter.params, ({ sku = "" }) => {
        const onHand = 1_000 - (this.stock.get(sku) ?? 0);
        return HttpServerResponse.jsonUnsafe({ sku, onHand, held: 0, committed: 0, available: onHand, shortage: 0 });
      }),
    ),
  );

  readonly layer = HttpService.serve(
    Layer.merge(HttpService.routes(OrdersApi.OrdersApi).pipe(Layer.provide(this.#handlers)), this.#outside),
    { host: "127.0.0.1", port: 0, drainMillis: 50 },
  );

  /** One step of an order's life after the other. */
  readonly #live = Effect.fnUntraced({ self: this }, function* (this: FakeShop, id: OrderId) {
    for (const next of this.#script(id)) {
      yield* Effect.sleep(next._tag === "StartCheckout" ? CREATED_MS : REST_MS);
      const order = this.orders.get(id);
      if (order === undefined || order.status === "canceled") return;
      this.#do(order, next);
    }
  });

  #script(id: OrderId): ReadonlyArray<Order.Command> {
    const order = this.orders.get(id);
    if (order === undefined) return [];
    const now = Date.now();
    const close = (reason: "outOfStock" | "paymentDeclined" | "paymentTimeout" | "fulfillmentFailed"): Order.Command => ({
      _tag: "Close",
      reason,
      now,
    });
    const start: Order.Command = { _tag: "StartCheckout", now };
    if (this.wrong === "gets stuck") return [start];
    const wanted = (sku: string): boolean => order.lines.some((line) => line.sku === sku);
    const left = 2 - (this.stock.get("limited") ?? 0);
    if (wanted("sold-out") && this.wrong !== "sells what it does not have") return [start, close("outOfStock")];
    if (wanted("limited") && left <= 0) return [start, close("outOfStock")];
    if (order.paymentMethod === "pm_decline") return [start, close("paymentDeclined")];
    if (order.paymentMethod === "pm_timeout") return [start, close("paymentTimeout")];
    if (wanted("limited")) this.stock.set("limited", (this.stock.get("limited") ?? 0) + 1);
    const paid: ReadonlyArray<Order.Command> = [start, { _tag: "CompleteCheckout", now }, { _tag: "ConfirmPayment", now }];
    return wanted("unshippable") ? [...paid, close("fulfillmentFailed"), { _tag: "Refund", now }] : [...paid, { _tag: "Finish", now }];
  }

  #do(state: Order.State, command: Order.Command): Order.Order | null {
    const decided = Order.decide(state, command);
    if (Result.isFailure(decided)) return null;
    const after = decided.success.reduce(Order.evolve, state);
    if (after === null) return null;
    this.orders.set(after.id, after);
    const entry = this.ledger.get(after.id) ?? { captured: 0, refunded: 0 };
    if (command._tag === "ConfirmPayment") this.ledger.set(after.id, { ...entry, captured: after.total.amount });
    if (command._tag === "Refund" && this.wrong !== "keeps the money")
      this.ledger.set(after.id, { ...entry, refunded: after.total.amount });
    if (command._tag === "Finish" && this.wrong !== "forgets stock") {
      for (const { sku, quantity } of after.lines) if (sku !== "limited") this.stock.set(sku, (this.stock.get(sku) ?? 0) + quantity);
    }
    return after;
  }
}
