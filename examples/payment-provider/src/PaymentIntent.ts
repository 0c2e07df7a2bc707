/**
 * A payment intent at the provider: a decider, one state per reference.
 *
 * ```
 * (none) ─Authorize→ authorized ─Capture→ processing ─Settle→ captured ─Refund→ refunding ─Settle→ refunded
 *    │        └→ declined    └──Cancel──┬──Cancel──┘
 *    └─Cancel────────────────────→ canceled
 * ```
 * Invariants (checked by properties):
 * 1. Money moves once: at most one `Captured` and one `Refunded` per reference, both of the authorized amount, and a
 *    refund only after a capture.
 * 2. A canceled reference never holds or moves money again; a cancel of a reference never seen leaves a tombstone.
 * 3. The same key with the same operation hears the intent as it is; with another operation it is refused.
 */
import { CustomerId, Limits, Money, OrderId } from "@org/saga-core";
import { ProviderApi } from "@example/contracts";
import { Result, Schema } from "effect";
import * as PaymentMethod from "./PaymentMethod.ts";

/** Idempotency keys remembered per intent; there are four operations, so more is a client that makes a key per try. */
export const KEYS_MAX = 32;

export const Operation = Schema.Literals(["authorize", "capture", "cancel", "refund"]);
export type Operation = typeof Operation.Type;

export const Terms = Schema.Struct({ orderId: OrderId, customerId: CustomerId, amount: Money.Money, paymentMethod: Schema.String });
export type Terms = typeof Terms.Type;

export const Intent = Schema.Struct({
  reference: ProviderApi.Reference,
  status: ProviderApi.IntentStatus,
  /** Null: a tombstone. */
  terms: Schema.NullOr(Terms),
  keys: Schema.Array(Schema.Struct({ key: Schema.String, operation: Operation })),
});
export type Intent = typeof Intent.Type;
export type State = Intent | null;

export type Command =
  | { readonly _tag: "Authorize"; readonly reference: string; readonly key: string; readonly terms: Terms; readonly balance: Money.Money }
  | { readonly _tag: "Capture"; readonly key: string }
  | { readonly _tag: "Cancel"; readonly reference: string; readonly key: string }
  | { readonly _tag: "Refund"; readonly key: string }
  /** What was accepted is done now. */
  | { readonly _tag: "Settle" };

export type Event =
  | { readonly _tag: "Authorized"; readonly reference: string; readonly terms: Terms }
  | { readonly _tag: "Declined"; readonly reference: string; readonly terms: Terms }
  | { readonly _tag: "CaptureStarted" }
  | { readonly _tag: "Captured"; readonly terms: Terms }
  | { readonly _tag: "Canceled"; readonly reference: string }
  | { readonly _tag: "RefundStarted" }
  | { readonly _tag: "Refunded"; readonly terms: Terms }
  /** The first use of an idempotency key. */
  | { readonly _tag: "KeyUsed"; readonly key: string; readonly operation: Operation };

export type Rejection =
  | { readonly _tag: "IntentNotFound" }
  /** What is asked cannot be in this status. */
  | { readonly _tag: "IntentRefused"; readonly status: ProviderApi.IntentStatus; readonly operation: Operation }
  /** The key belongs to another operation, or the reference to another payment. */
  | { readonly _tag: "KeyReused" };

export const initial: State = null;

export const decide = (state: State, command: Command): Result.Result<ReadonlyArray<Event>, Rejection> => {
  if (command._tag === "Settle") return Result.succeed(settle(state));
  const operation = operationOf(command);
  const used = state?.keys.find(({ key }) => key === command.key);
  if (used !== undefined && used.operation !== operation) return Result.fail({ _tag: "KeyReused" });
  return Result.map(decided(state, command, operation), (events) =>
    used !== undefined || (state?.keys.length ?? 0) >= KEYS_MAX ? events : [...events, { _tag: "KeyUsed", key: command.key, operation }],
  );
};

export const evolve = (state: State, event: Event): State => {
  switch (event._tag) {
    case "Authorized":
      return { reference: event.reference, status: "authorized", terms: event.terms, keys: [] };
    case "Declined":
      return { reference: event.reference, status: "declined", terms: event.terms, keys: [] };
    case "Canceled":
      return state === null ? { reference: event.reference, status: "canceled", terms: null, keys: [] } : { ...state, status: "canceled" };
    case "CaptureStarted":
      return state === null ? null : { ...state, status: "processing" };
    case "Captured":
      return state === null ? null : { ...state, status: "captured" };
    case "RefundStarted":
      return state === null ? null : { ...state, status: "refunding" };
    case "Refunded":
      return state === null ? null : { ...state, status: "refunded" };
    case "KeyUsed":
      return state === null ? null : { ...state, keys: [...state.keys, { key: event.key, operation: event.operation }] };
  }
};

/** As the API shows it. */
export const toResource = (intent: Intent): ProviderApi.Intent => ({
  reference: intent.reference,
  orderId: intent.terms?.orderId ?? null,
  status: intent.status,
  amount: intent.terms?.amount.amount ?? 0,
  currency: intent.terms?.amount.currency ?? null,
});

type Asked = Exclude<Command, { readonly _tag: "Settle" }>;

const operationOf = (command: Asked): Operation => {
  switch (command._tag) {
    case "Authorize":
      return "authorize";
    case "Capture":
      return "capture";
    case "Cancel":
      return "cancel";
    case "Refund":
      return "refund";
  }
};

const decided = (state: State, command: Asked, operation: Operation): Result.Result<ReadonlyArray<Event>, Rejection> => {
  switch (command._tag) {
    case "Authorize":
      return authorize(state, command);
    case "Cancel":
      if (state === null) return Result.succeed([{ _tag: "Canceled", reference: command.reference }]);
      if (state.status === "authorized" || state.status === "processing") {
        return Result.succeed([{ _tag: "Canceled", reference: command.reference }]);
      }
      return state.status === "canceled" || state.status === "declined" ? Result.succeed([]) : refused(state, operation);
    case "Capture":
      if (state === null) return Result.fail({ _tag: "IntentNotFound" });
      if (state.status === "authorized") return Result.succeed([{ _tag: "CaptureStarted" }]);
      return state.status === "processing" || state.status === "captured" ? Result.succeed([]) : refused(state, operation);
    case "Refund":
      if (state === null) return Result.fail({ _tag: "IntentNotFound" });
      if (state.status === "captured") return Result.succeed([{ _tag: "RefundStarted" }]);
      return state.status === "refunding" || state.status === "refunded" ? Result.succeed([]) : refused(state, operation);
  }
};

const authorize = (
  state: State,
  { reference, terms, balance }: Extract<Command, { readonly _tag: "Authorize" }>,
): Result.Result<ReadonlyArray<Event>, Rejection> => {
  if (state === null) {
    const declined = PaymentMethod.isDeclined(terms.paymentMethod) || balance.amount < terms.amount.amount;
    return Result.succeed([{ _tag: declined ? "Declined" : "Authorized", reference, terms }]);
  }
  // The tombstone knows no terms: it refuses whoever comes.
  if (state.terms === null) return refused(state, "authorize");
  if (!isSame(state.terms, terms)) return Result.fail({ _tag: "KeyReused" });
  return state.status === "canceled" ? refused(state, "authorize") : Result.succeed([]);
};

const settle = (state: State): ReadonlyArray<Event> => {
  if (state === null || state.terms === null) return [];
  if (state.status === "processing") return [{ _tag: "Captured", terms: state.terms }];
  return state.status === "refunding" ? [{ _tag: "Refunded", terms: state.terms }] : [];
};

const refused = (state: Intent, operation: Operation): Result.Result<never, Rejection> =>
  Result.fail({ _tag: "IntentRefused", status: state.status, operation });

const isSame = (left: Terms, right: Terms): boolean =>
  left.orderId === right.orderId &&
  left.customerId === right.customerId &&
  left.paymentMethod === right.paymentMethod &&
  Money.equals(left.amount, right.amount);

/** What a customer can spend, in minor units: nothing for those whose id starts with `poor-`. */
export const balanceOf = (customerId: CustomerId, currency: Money.Currency): Money.Money => ({
  amount: customerId.startsWith("poor-") ? 0 : Limits.MONEY_MAX,
  currency,
});
