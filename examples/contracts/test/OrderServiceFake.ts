/** The smallest order service that keeps the contract: orders in memory, decided by the real decider. */
import { Money, Order, OrderId, Sku } from "@org/saga-core";
import { Effect, Layer, Result } from "effect";
import { HttpApiBuilder } from "effect/http-api";
import { HttpService, OrdersApi, Problem } from "../src/index.ts";

const prices = new Map([
  ["tshirt", Money.of(1999, "EUR")],
  ["mug", Money.of(899, "EUR")],
]);

export class OrderServiceFake {
  readonly orders = new Map<OrderId, Order.Order>();
  readonly answers = new Map<string, { readonly body: string; readonly id: OrderId }>();
  readonly failures: Array<Problem.Overloaded | Problem.IdempotencyKeyInFlight> = [];
  defect: unknown = undefined;

  readonly handlers = HttpApiBuilder.group(OrdersApi.OrdersApi, "orders", (handlers) =>
    handlers.handleAll({
      place: ({ headers, payload }) =>
        Effect.gen({ self: this }, function* () {
          if (this.defect !== undefined) return yield* Effect.die(this.defect);
          const failure = this.failures.shift();
          if (failure !== undefined) return yield* failure;
          const key = `${headers["x-customer-id"]} ${headers["idempotency-key"]}`;
          const body = JSON.stringify(payload);
          const known = this.answers.get(key);
          if (known !== undefined) {
            const order = this.orders.get(known.id);
            if (known.body !== body || order === undefined) return yield* new Problem.IdempotencyKeyReused({});
            return OrdersApi.toResource(order);
          }
          const cart = yield* Effect.fromResult(OrdersApi.sumLines(payload.lines));
          const lines: Array<Order.OrderLine> = [];
          for (const line of cart) {
            const unitPrice = prices.get(line.sku);
            if (unitPrice === undefined) return yield* new Problem.UnknownSku({ detail: line.sku });
            lines.push({ ...line, name: line.sku, unitPrice });
          }
          const id = OrderId.make(`order-${this.orders.size + 1}`);
          const order = this.fold(null, {
            _tag: "Place",
            id,
            customerId: headers["x-customer-id"],
            lines,
            paymentMethod: payload.paymentMethod,
            cancelPolicy: payload.cancelPolicy ?? "createdOnly",
            now: 0,
          });
          if (order === null) return yield* new Problem.OrderRefused({});
          this.answers.set(key, { body, id });
          return OrdersApi.toResource(order);
        }),
      get: ({ headers, params }) => {
        const order = this.orders.get(params.id);
        return order === undefined || order.customerId !== headers["x-customer-id"]
          ? Effect.fail(new Problem.OrderNotFound({}))
          : Effect.succeed(OrdersApi.toResource(order));
      },
      cancel: ({ params }) => {
        const order = this.orders.get(params.id);
        if (order === undefined) return Effect.fail(new Problem.OrderNotFound({}));
        const canceled = this.fold(order, { _tag: "Cancel", by: "user", now: 5 });
        return canceled === null
          ? Effect.fail(OrdersApi.tooLateToCancel(order.status, order.cancelPolicy))
          : Effect.succeed(OrdersApi.toCancelResult(canceled));
      },
    }),
  );

  readonly routes = HttpService.routes(OrdersApi.OrdersApi).pipe(Layer.provide(this.handlers));

  /** The order after the command; null if it was refused. */
  fold(state: Order.State, command: Order.Command): Order.Order | null {
    const decided = Order.decide(state, command);
    if (Result.isFailure(decided)) return null;
    const after = decided.success.reduce(Order.evolve, state);
    if (after !== null) this.orders.set(after.id, after);
    return after;
  }
}

export const knownSku = Sku.make("tshirt");
