/**
 * The payment provider over HTTP, in the manner of Stripe: what its server and its client agree on. Amounts are minor
 * units. Every POST needs an `Idempotency-Key`. A capture or refund answers 202; a webhook tells when it is done.
 */
import { CustomerId, Limits, Money, OrderId } from "@org/saga-core";
import { Schema } from "effect";
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api";
import { IdempotencyKeyHeader, PaymentMethod } from "./OrdersApi.ts";
import * as Problem from "./Problem.ts";
import { RequestProblems } from "./ProblemMiddleware.ts";

/** Orders in one question for the ledger. */
export const LEDGER_ORDERS_MAX = 100;

export const Reference = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._:-]*$/, { expected: 'letters, digits, ".", "_", ":" and "-", the first a letter or a digit' }),
  Schema.isMaxLength(Limits.IDENTIFIER_MAX * 2),
);

export const IntentStatus = Schema.Literals(["authorized", "declined", "processing", "captured", "canceled", "refunding", "refunded"]);
export type IntentStatus = typeof IntentStatus.Type;

export const CreateIntent = Schema.Struct({
  reference: Reference,
  orderId: OrderId,
  customerId: CustomerId,
  amount: Money.Amount,
  currency: Money.Currency,
  paymentMethod: PaymentMethod,
}).annotate({ identifier: "CreatePaymentIntent" });
export type CreateIntent = typeof CreateIntent.Type;

export const Intent = Schema.Struct({
  reference: Reference,
  /** Null: a tombstone, canceled before it was created. */
  orderId: Schema.NullOr(OrderId),
  status: IntentStatus,
  amount: Money.Amount,
  currency: Schema.NullOr(Money.Currency),
}).annotate({ identifier: "PaymentIntent" });
export type Intent = typeof Intent.Type;

export const Balance = Schema.Struct({ customerId: CustomerId, available: Money.Money }).annotate({ identifier: "Balance" });

export const LedgerEntry = Schema.Struct({
  orderId: OrderId,
  captured: Schema.Int,
  refunded: Schema.Int,
  currency: Schema.NullOr(Money.Currency),
}).annotate({ identifier: "LedgerEntry" });
export type LedgerEntry = typeof LedgerEntry.Type;

const headers = { "idempotency-key": IdempotencyKeyHeader };
const params = { reference: Reference };
const service = [Problem.Overloaded, Problem.Unavailable, Problem.OutcomeUnknown] as const;
const accepted = Intent.pipe(HttpApiSchema.status(202));
const error = [Problem.IntentNotFound, Problem.IntentRefused, Problem.IdempotencyKeyReused, ...service] as const;

export class IntentsGroup extends HttpApiGroup.make("intents")
  .add(
    HttpApiEndpoint.post("create", "/payment_intents", {
      headers,
      payload: CreateIntent,
      success: Intent.pipe(HttpApiSchema.status(201)),
      error: [Problem.IntentRefused, Problem.IdempotencyKeyReused, ...service],
    }),
    HttpApiEndpoint.get("probe", "/payment_intents/:reference", { params, success: Intent, error: [Problem.IntentNotFound, ...service] }),
    HttpApiEndpoint.post("capture", "/payment_intents/:reference/capture", { params, headers, success: accepted, error }),
    HttpApiEndpoint.post("cancel", "/payment_intents/:reference/cancel", { params, headers, success: Intent, error }),
    HttpApiEndpoint.post("refund", "/payment_intents/:reference/refund", { params, headers, success: accepted, error }),
    HttpApiEndpoint.get("balance", "/customers/:customerId/balance", {
      params: { customerId: CustomerId },
      success: Balance,
      error: service,
    }),
    HttpApiEndpoint.get("ledger", "/ledger", {
      // One `orderId` an order; absent orders have moved no money and are answered with zeros.
      query: { orderId: Schema.Array(OrderId).check(Schema.isMinLength(1), Schema.isMaxLength(LEDGER_ORDERS_MAX)) },
      success: Schema.Array(LedgerEntry),
      error: service,
    }),
  )
  .middleware(RequestProblems)
  .prefix("/v1")
  .annotateMerge(OpenApi.annotations({ title: "Payment intents" })) {}

export class ProviderApi extends HttpApi.make("provider-api")
  .add(IntentsGroup)
  .annotate(HttpApi.PayloadParseOptions, { onExcessProperty: "error", errors: "all" })
  .annotateMerge(OpenApi.annotations({ title: "Payment provider (a stub)", version: "1" })) {}
