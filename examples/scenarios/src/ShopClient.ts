/**
 * A customer of the shop, over HTTP. Placing an order is repeated under one Idempotency-Key until it is answered, so that
 * a service that restarts meanwhile costs time and never a second order.
 */
import { type OrdersApi, OrdersApi as Api, type Problem, ProviderApi } from "@example/contracts";
import { CustomerId, OrderId, type OrderStatus, Sku } from "@org/saga-core";
import { Duration, Effect, Schedule, Schema } from "effect";
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http";
import { HttpApiClient } from "effect/http-api";

/** Milliseconds of one request; a service that does not answer by then is asked again. */
const REQUEST_TIMEOUT_MS = 10_000;

/** Rest between two tries while a service cannot be reached, in milliseconds. */
const RETRY_MS = 100;

export type Order = OrdersApi.OrderResource;

/** What the flows hear of a request that was refused for good. */
export class RequestRefused extends Schema.TaggedError<RequestRefused>()("RequestRefused", {
  tag: Schema.String,
  message: Schema.String,
}) {}

export interface Cart {
  readonly customerId: string;
  readonly lines: ReadonlyArray<{ readonly sku: string; readonly quantity: number }>;
  readonly paymentMethod: string;
  readonly cancelPolicy?: "createdOnly" | "compensating" | undefined;
  readonly idempotencyKey: string;
}

/** Answers that the same request may get better ones than. */
const passing: ReadonlySet<string> = new Set([
  "HttpClientError",
  "TimeoutError",
  "Unavailable",
  "Overloaded",
  "OutcomeUnknown",
  "InternalError",
  "IdempotencyKeyInFlight",
]);

const patient = <A, E extends { readonly _tag: string }>(
  request: Effect.Effect<A, E>,
): Effect.Effect<A, E | { readonly _tag: "TimeoutError" }> =>
  request.pipe(
    Effect.timeoutOrElse({
      duration: Duration.millis(REQUEST_TIMEOUT_MS),
      orElse: () => Effect.fail({ _tag: "TimeoutError" } as const),
    }),
    Effect.retry({ while: ({ _tag }) => passing.has(_tag), schedule: Schedule.spaced(Duration.millis(RETRY_MS)) }),
  );

const refused = (error: { readonly _tag: string }): RequestRefused =>
  new RequestRefused({ tag: error._tag, message: error instanceof Error ? error.message : error._tag });

export const make = Effect.fnUntraced(function* (baseUrl: string) {
  const client = yield* HttpApiClient.make(Api.OrdersApi, {
    transformClient: HttpClient.mapRequest(HttpClientRequest.prependUrl(baseUrl)),
  });
  const header = (customerId: string) => ({ "x-customer-id": CustomerId.make(customerId) });
  return {
    /** Waits until the service says that it is ready. */
    ready: Effect.gen(function* () {
      const http = yield* HttpClient.HttpClient;
      yield* http
        .get(`${baseUrl}/readyz`)
        .pipe(
          Effect.flatMap(HttpClientResponse.filterStatusOk),
          Effect.timeout(Duration.millis(REQUEST_TIMEOUT_MS)),
          Effect.retry(Schedule.spaced(Duration.millis(RETRY_MS))),
          Effect.orDie,
        );
    }),
    place: ({ customerId, lines, paymentMethod, cancelPolicy, idempotencyKey }: Cart): Effect.Effect<Order, RequestRefused> =>
      Effect.gen(function* () {
        const payload = yield* Schema.decodeUnknownEffect(Api.PlaceOrder)({
          lines,
          paymentMethod,
          ...(cancelPolicy === undefined ? {} : { cancelPolicy }),
        });
        const headers = { ...header(customerId), "idempotency-key": idempotencyKey };
        return yield* patient(client.orders.place({ headers, payload }));
      }).pipe(Effect.mapError(refused)),
    get: (customerId: string, id: OrderId): Effect.Effect<Order, RequestRefused> =>
      patient(client.orders.get({ headers: header(customerId), params: { id } })).pipe(Effect.mapError(refused)),
    /** The order, or the tag of the problem that it was refused with. */
    cancel: (customerId: string, id: OrderId): Effect.Effect<Pick<Order, "status"> | Problem.TooLateToCancel, RequestRefused> =>
      patient(client.orders.cancel({ headers: header(customerId), params: { id } })).pipe(
        Effect.catchTag("TooLateToCancel", (problem) => Effect.succeed(problem)),
        Effect.mapError(refused),
      ),
  };
});
export type ShopClient = Effect.Success<ReturnType<typeof make>>;

/** What the provider's ledger says of an order. */
export const ledger = Effect.fnUntraced(function* (providerUrl: string, id: OrderId) {
  const client = yield* HttpApiClient.make(ProviderApi.ProviderApi, {
    transformClient: HttpClient.mapRequest(HttpClientRequest.prependUrl(providerUrl)),
  });
  const [entry] = yield* patient(client.intents.ledger({ query: { orderId: [id] } })).pipe(Effect.mapError(refused));
  return entry ?? (yield* new RequestRefused({ tag: "NoEntry", message: "the ledger answered nothing" }));
});

const Balance = Schema.Struct({
  onHand: Schema.Int,
  held: Schema.Int,
  committed: Schema.Int,
  available: Schema.Int,
});
export type Balance = typeof Balance.Type;

/** The books of a SKU. */
export const balance = Effect.fnUntraced(function* (inventoryUrl: string, sku: string) {
  const http = yield* HttpClient.HttpClient;
  return yield* patient(
    http
      .get(`${inventoryUrl}/api/v1/inventory/${Sku.make(sku)}`)
      .pipe(Effect.flatMap(HttpClientResponse.filterStatusOk), Effect.flatMap(HttpClientResponse.schemaBodyJson(Balance))),
  ).pipe(Effect.mapError(refused));
});

/** Whether an order's story is over. A failed one that was paid goes on to refunded. */
export const isOver = (order: Order): boolean => {
  const statuses: ReadonlyArray<OrderStatus.OrderStatus> = order.timeline.map(({ status }) => status);
  switch (order.status) {
    case "finished":
    case "canceled":
    case "refunded":
      return true;
    case "failed":
      return !statuses.includes("awaitingFulfillment");
    case "created":
    case "pendingPayment":
    case "awaitingPayment":
    case "awaitingFulfillment":
      return false;
  }
};
