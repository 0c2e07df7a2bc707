/**
 * The port to the outside payment provider: what checkout may ask of it, and what it may hear.
 *
 * A payment intent is known by its `reference`, chosen by the caller and never used for anything else. Everything is
 * idempotent per `idempotencyKey`: the same call again hears how the intent is now. An error says that the outcome is not
 * known: settle it by `probe`, or by the same call under the same key, before anything is retried or undone.
 *
 * ```
 * (none) ─authorize→ authorized ─capture→ processing ─(webhook payment.captured)→ captured ─refund→ refunding ─(webhook
 *    │        └→ declined └─cancel→ canceled ←cancel─┘                            payment.refunded)→ refunded
 *    └─cancel→ canceled (tombstone: a later authorize is refused)
 * ```
 */
import type { CustomerId, Money, OrderId } from "@org/saga-core";
import { Context, type Effect, Schema } from "effect";

export type Outcome =
  /** The money is reserved. */
  | { readonly _tag: "Authorized" }
  /** Refused for good by whoever holds the money. */
  | { readonly _tag: "Declined" }
  /** Accepted, not done: a webhook tells when it is. */
  | { readonly _tag: "Processing"; readonly what: "capture" | "refund" }
  | { readonly _tag: "Captured"; readonly amount: Money.Money }
  /** No money moves under this reference, now or later. */
  | { readonly _tag: "Canceled" }
  | { readonly _tag: "Refunded"; readonly amount: Money.Money }
  /** The provider has never heard of the reference. */
  | { readonly _tag: "NotFound" };

export type OutcomeTag = Outcome["_tag"];
type Only<Tag extends OutcomeTag> = Extract<Outcome, { readonly _tag: Tag }>;
type Without<Tag extends OutcomeTag> = Exclude<Outcome, { readonly _tag: Tag }>;

/** Nothing is known about whether it happened: no connection, a broken one, or an answer of 5xx. */
export class ProviderUnavailable extends Schema.TaggedError<ProviderUnavailable>()("ProviderUnavailable", {
  operation: Schema.String,
  message: Schema.String,
}) {}

/** No answer within the call's timeout. It may have happened, and may still happen. */
export class ProviderTimeout extends Schema.TaggedError<ProviderTimeout>()("ProviderTimeout", {
  operation: Schema.String,
  timeoutMillis: Schema.Int,
}) {}

/** The provider refuses the call itself (e.g. a reference used for another payment). Nothing happened; retrying cannot help. */
export class ProviderRejected extends Schema.TaggedError<ProviderRejected>()("ProviderRejected", {
  operation: Schema.String,
  code: Schema.String,
}) {}

export type ProviderError = ProviderUnavailable | ProviderTimeout | ProviderRejected;

export interface IntentCall {
  readonly reference: string;
  readonly idempotencyKey: string;
}

export interface AuthorizeCall extends IntentCall {
  readonly orderId: OrderId;
  readonly customerId: CustomerId;
  readonly amount: Money.Money;
  readonly paymentMethod: string;
}

export class PaymentProvider extends Context.Service<
  PaymentProvider,
  {
    /** `Canceled` if the reference was canceled before. A repeated call hears how far the intent has come. */
    readonly authorize: (call: AuthorizeCall) => Effect.Effect<Without<"NotFound">, ProviderError>;
    /** `Processing` at first. `Declined`, `Canceled`: refused for good; `Refunded` or `Processing` a refund: it was captured. */
    readonly capture: (call: IntentCall) => Effect.Effect<Without<"Authorized">, ProviderError>;
    /**
     * `Canceled`, also of a reference never seen. `Declined`: nothing to cancel. Refused where money has moved, told by
     * `Captured`, `Processing` (a refund) or `Refunded`: refund instead.
     */
    readonly cancel: (call: IntentCall) => Effect.Effect<Without<"NotFound" | "Authorized">, ProviderError>;
    /** Everything captured, back. `Processing` at first. Refused where nothing was captured, told by the state. */
    readonly refund: (call: IntentCall) => Effect.Effect<Without<"Captured">, ProviderError>;
    /** How it is. `NotFound` may still change while a call is under way. */
    readonly probe: (reference: string) => Effect.Effect<Outcome, ProviderError>;
    /** What the customer can spend. */
    readonly balance: (customerId: CustomerId) => Effect.Effect<Money.Money, ProviderError>;
  }
>()("@example/contracts/PaymentProvider") {}

/** Narrows what a provider said; anything else is a contract broken by the provider. */
export const isOneOf =
  <Tag extends OutcomeTag>(...tags: ReadonlyArray<Tag>) =>
  (outcome: Outcome): outcome is Only<Tag> =>
    tags.some((tag) => tag === outcome._tag);

/** Longest time a call may take, in milliseconds; a slower one is unknown. */
export const CALL_TIMEOUT_MAX_MS = 30_000;
