/**
 * The order service over HTTP, under /api/v1. Success bodies are the resource itself; everything else is a `Problem`.
 *
 * Who asks is said by `X-Customer-Id`, the stand-in for authentication. Orders belong to who placed them: anyone else's
 * is 404. Prices never come from the client: the service takes name and unit price from the catalogue.
 */
import { Limits, Money, Order, OrderId, CustomerId, OrderStatus, Quantity, Sku } from "@org/saga-core";
import { Result, Schema } from "effect";
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api";
import * as Problem from "./Problem.ts";
import { RequestProblems } from "./ProblemMiddleware.ts";

/** Characters of a payment method's token. */
const PAYMENT_METHOD_MAX = 128;

export const PaymentMethod = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9_.-]+$/, { expected: 'letters, digits, "_", "." and "-"' }),
  Schema.isMaxLength(PAYMENT_METHOD_MAX),
).annotate({
  description: "the payment provider's token of the means of payment",
});

export const CartLine = Schema.Struct({ sku: Sku, quantity: Quantity }).annotate({ identifier: "CartLine" });
export type CartLine = typeof CartLine.Type;

export const PlaceOrder = Schema.Struct({
  lines: Schema.Array(CartLine).check(Schema.isMinLength(1), Schema.isMaxLength(Limits.ORDER_LINES_MAX)),
  paymentMethod: PaymentMethod,
  /** `createdOnly` unless said otherwise. */
  cancelPolicy: Schema.optionalKey(Order.CancelPolicy),
}).annotate({ identifier: "PlaceOrder" });
export type PlaceOrder = typeof PlaceOrder.Type;

export const IdempotencyKeyHeader = Schema.String.check(
  Schema.isPattern(/^[\x21-\x7e]+$/, { expected: "printable ASCII characters without spaces" }),
  Schema.isMaxLength(Limits.IDEMPOTENCY_KEY_MAX),
).annotate({ description: "chosen by the caller, once per request; the same key with the same body gets the same answer" });

/** An instant as ISO 8601 in UTC. */
export const IsoTime = Schema.String.annotate({ format: "date-time" });

const resource = {
  id: OrderId,
  customerId: CustomerId,
  status: OrderStatus.OrderStatus,
  reason: Schema.NullOr(OrderStatus.Reason),
  /** A cancel was accepted, and what was done is being undone. */
  cancelRequested: Schema.Boolean,
  cancelPolicy: Order.CancelPolicy,
  items: Schema.Array(Schema.Struct({ sku: Sku, name: Schema.String, quantity: Quantity, unitPrice: Money.Money, total: Money.Money })),
  /** Minor units. */
  total: Money.Money,
  createdAt: IsoTime,
  updatedAt: IsoTime,
  timeline: Schema.Array(Schema.Struct({ status: OrderStatus.OrderStatus, at: IsoTime, reason: Schema.NullOr(OrderStatus.Reason) })),
};

export const OrderResource = Schema.Struct({ ...resource, isCanceled: Schema.Boolean }).annotate({ identifier: "Order" });
export type OrderResource = typeof OrderResource.Type;

export const Canceled = Schema.Struct({ ...resource, isCanceled: Schema.Literal(true) }).annotate({ identifier: "CanceledOrder" });
/** The cancel was accepted (`compensating`); the status follows when everything is undone. */
export const Canceling = Schema.Struct({ ...resource, isCanceled: Schema.Literal(false) }).annotate({ identifier: "CancelingOrder" });

const params = { id: OrderId };
const customer = { "x-customer-id": CustomerId };
const service = [Problem.Overloaded, Problem.Unavailable, Problem.OutcomeUnknown] as const;

export const place = HttpApiEndpoint.post("place", "/orders", {
  headers: { ...customer, "idempotency-key": IdempotencyKeyHeader },
  payload: PlaceOrder,
  success: OrderResource.pipe(HttpApiSchema.status(201)),
  error: [
    Problem.UnknownSku,
    Problem.QuantityTooLarge,
    Problem.OrderRefused,
    Problem.IdempotencyKeyInFlight,
    Problem.IdempotencyKeyReused,
    ...service,
  ],
}).annotate(OpenApi.Summary, "Place an order");

export const get = HttpApiEndpoint.get("get", "/orders/:id", {
  params,
  headers: customer,
  success: OrderResource,
  error: [Problem.OrderNotFound, ...service],
}).annotate(OpenApi.Summary, "An order with its items and its timeline");

export const cancel = HttpApiEndpoint.post("cancel", "/orders/:id/cancel", {
  params,
  // Without a key: asking again is harmless, and answered as things stand then. With one: answered as the first time.
  headers: { ...customer, "idempotency-key": Schema.optionalKey(IdempotencyKeyHeader) },
  success: [Canceled, Canceling.pipe(HttpApiSchema.status(202))],
  error: [Problem.OrderNotFound, Problem.TooLateToCancel, Problem.IdempotencyKeyInFlight, Problem.IdempotencyKeyReused, ...service],
}).annotate(OpenApi.Summary, "Ask to cancel an order");

export class OrdersGroup extends HttpApiGroup.make("orders")
  .add(place, get, cancel)
  .middleware(RequestProblems)
  .prefix("/api/v1")
  .annotateMerge(OpenApi.annotations({ title: "Orders" })) {}

export class OrdersApi extends HttpApi.make("orders-api")
  .add(OrdersGroup)
  .annotate(HttpApi.PayloadParseOptions, { onExcessProperty: "error", errors: "all" })
  .annotateMerge(OpenApi.annotations({ title: "Order service", version: "1" })) {}

/** Lines of the same SKU summed, in order of first occurrence; a sum above the limit is refused. */
export const sumLines = (lines: ReadonlyArray<CartLine>): Result.Result<ReadonlyArray<CartLine>, Problem.QuantityTooLarge> => {
  const sums = new Map<Sku, number>();
  for (const { sku, quantity } of lines) sums.set(sku, (sums.get(sku) ?? 0) + quantity);
  const errors = [...sums].flatMap(([sku, quantity]): ReadonlyArray<Problem.Flaw> =>
    quantity > Limits.QUANTITY_MAX
      ? [{ in: "body", pointer: "/lines", detail: `${sku}: at most ${Limits.QUANTITY_MAX} units in one order` }]
      : [],
  );
  return errors.length > 0
    ? Result.fail(new Problem.QuantityTooLarge({ errors }))
    : Result.succeed([...sums].map(([sku, quantity]) => ({ sku, quantity: Quantity.make(quantity) })));
};

/** An order as the API shows it. */
export const toResource = (order: Order.Order): OrderResource => {
  const iso = (at: number): string => new Date(at).toISOString();
  const first = order.history.at(0)?.at ?? 0;
  return {
    id: order.id,
    customerId: order.customerId,
    status: order.status,
    reason: order.reason,
    isCanceled: Order.isCanceled(order),
    cancelRequested: order.cancelRequested,
    cancelPolicy: order.cancelPolicy,
    items: order.lines.map((line) => ({ ...line, total: Money.times(line.unitPrice, line.quantity) })),
    total: order.total,
    createdAt: iso(first),
    updatedAt: iso(order.history.at(-1)?.at ?? first),
    timeline: order.history.map(({ status, at, reason }) => ({ status, at: iso(at), reason })),
  };
};

/** What `cancel` answers: 200 when it is canceled, 202 while it is being undone. */
export const toCancelResult = (order: Order.Order): typeof Canceled.Type | typeof Canceling.Type => {
  const { isCanceled, ...rest } = toResource(order);
  return isCanceled ? { ...rest, isCanceled: true } : { ...rest, isCanceled: false };
};

/** The answer to a cancel that comes too late: why, and what a person can still do. */
export const tooLateToCancel = (status: OrderStatus.OrderStatus, policy: Order.CancelPolicy): Problem.TooLateToCancel => {
  const until = policy === "createdOnly" ? "while it is created" : "until it is paid";
  return new Problem.TooLateToCancel({
    detail: `the order is ${status}; its cancel policy (${policy}) lets the buyer cancel ${until}. ${whatIsLeft(status)}`,
  });
};

const whatIsLeft = (status: OrderStatus.OrderStatus): string => {
  switch (status) {
    case "created":
    case "pendingPayment":
    case "awaitingPayment":
      return "An operator can still cancel it until its payment is asked for (saga orders cancel): everything done so far is undone then.";
    case "awaitingFulfillment":
      return "It is paid: it is delivered, or refunded if that fails. An operator can arrange a return afterwards.";
    case "finished":
      return "It is delivered: an operator can arrange a return.";
    case "canceled":
    case "failed":
    case "refunded":
      return "It has ended and no money is kept: there is nothing for an operator to do.";
  }
};
