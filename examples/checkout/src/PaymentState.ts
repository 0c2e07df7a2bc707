/** What a payment remembers, what can be asked of it, and what can happen to it. `Payment` decides. */
import { Schema } from "effect";
import { CustomerId, Money, type OrderId, StateMachine, Timestamp } from "@org/saga-core";

export const Status = Schema.Literals([
  "none",
  "authorizing",
  "authorized",
  "declined",
  "capturing",
  "captured",
  "captureRefused",
  "voiding",
  "voided",
  "refunding",
  "refunded",
  "refundRefused",
]);
export type Status = typeof Status.Type;

export const machine: StateMachine.StateMachine<Status> = StateMachine.make("payment", "none", {
  none: ["authorizing", "voided"],
  authorizing: ["authorized", "declined", "voiding", "refunding"],
  authorized: ["capturing", "voiding", "refunding"],
  declined: ["voided", "refunding"],
  capturing: ["captured", "captureRefused"],
  captured: ["refunding"],
  captureRefused: ["voiding", "refunding"],
  voiding: ["voided", "refunding"],
  voided: ["refunding"],
  refunding: ["refunded", "refundRefused"],
  refunded: [],
  refundRefused: ["refunding"],
});

/** What can be asked of the provider. `cancel` also ends an authorization that the provider has not seen yet. */
export const Call = Schema.Literals(["authorize", "capture", "cancel", "refund", "probe"]);
export type Call = typeof Call.Type;

/** The step that is answered, as its command named it. */
export const ReplyTo = Schema.Struct({ stepKey: Schema.NullOr(Schema.String), saga: Schema.NullOr(Schema.String) });
export type ReplyTo = typeof ReplyTo.Type;

export const Terms = Schema.Struct({ customerId: CustomerId, amount: Money.Money, paymentMethod: Schema.String });
export type Terms = typeof Terms.Type;

/** The call that comes next, or is under way. */
export const Work = Schema.Struct({
  call: Call,
  /** It may have been made. */
  called: Schema.Boolean,
  /** Calls that settled nothing. */
  failures: Schema.Int,
  /** When it is given up, by canceling; null: never. */
  deadlineAt: Schema.NullOr(Timestamp),
  /** The deadline has passed: the provider is told to cancel. */
  overdue: Schema.Boolean,
});
export type Work = typeof Work.Type;

export const RequestName = Schema.Literals(["authorize", "capture", "void", "refund"]);
export type RequestName = typeof RequestName.Type;

const Refusal = Schema.Literals(["declined", "timeout"]);
export type Refusal = typeof Refusal.Type;

export const Payment = Schema.Struct({
  status: Status,
  terms: Schema.NullOr(Terms),
  work: Schema.NullOr(Work),
  /** Grows with every change of the work: the token of its timer. */
  seq: Schema.Int,
  /** Who waits for an answer to what. */
  asked: Schema.Struct({
    authorize: Schema.NullOr(ReplyTo),
    capture: Schema.NullOr(ReplyTo),
    void: Schema.NullOr(ReplyTo),
    refund: Schema.NullOr(ReplyTo),
  }),
  /** What was answered, once known. */
  authorization: Schema.NullOr(Schema.Literals(["authorized", "declined", "timeout"])),
  capture: Schema.NullOr(Schema.Literals(["captured", "declined", "timeout"])),
  /** Minor units of the terms' currency. */
  captured: Money.Amount,
  refunded: Money.Amount,
});
export type Payment = typeof Payment.Type;

/**
 * What is known after a call, a probe or a webhook.
 * - `accepted`: the provider will see to it; it is done when a probe or the webhook says so.
 * - `unknown`: no answer; it may have happened, and may still happen.
 */
export type Finding =
  | "authorized"
  | "declined"
  | "captured"
  | "captureDeclined"
  | "canceled"
  | "refunded"
  | "refundRefused"
  | "notFound"
  | "accepted"
  | "unknown";

export type Command = { readonly orderId: OrderId; readonly now: Timestamp } & (
  | { readonly _tag: "Authorize"; readonly terms: Terms; readonly to: ReplyTo }
  | { readonly _tag: "Capture"; readonly to: ReplyTo }
  | { readonly _tag: "Void"; readonly to: ReplyTo }
  | { readonly _tag: "Refund"; readonly to: ReplyTo }
  /** The timer of the work: the call is about to be made. */
  | { readonly _tag: "Attempt"; readonly token: string }
  /** `seq`: of the work that found it; null for a webhook. */
  | { readonly _tag: "Report"; readonly finding: Finding; readonly seq: number | null }
);

export type Event = { readonly orderId: OrderId } & (
  | { readonly _tag: "Asked"; readonly request: RequestName; readonly to: ReplyTo }
  | {
      readonly _tag: "Started";
      readonly status: "authorizing" | "capturing" | "voiding" | "refunding";
      readonly terms: Terms | null;
      readonly deadlineAt: Timestamp | null;
    }
  | { readonly _tag: "Called"; readonly call: Call; readonly overdue: boolean }
  | { readonly _tag: "Postponed"; readonly call: Call; readonly dueAt: Timestamp }
  | { readonly _tag: "Settled"; readonly status: "authorized" | "captured" | "voided" | "refunded" | "refundRefused" }
  | { readonly _tag: "Refused"; readonly status: "declined" | "captureRefused"; readonly reason: Refusal }
  /** Money came that nobody awaits (any more): it goes back. */
  | { readonly _tag: "LateMoney" }
  /** A request that was answered before, or needs no work. */
  | { readonly _tag: "Answered"; readonly request: RequestName; readonly to: ReplyTo }
);

/** Nothing is rejected: whoever asks gets an answer. */
export type Rejection = never;

export interface Policy {
  /** How long an authorization may stay unknown before it is canceled, in milliseconds. */
  readonly authorizeDeadlineMillis: number;
  /** The same for a capture. */
  readonly captureDeadlineMillis: number;
  /** First and longest pause before the provider is asked again, in milliseconds. */
  readonly retryMillis: { readonly first: number; readonly max: number };
}

/** Half of the coordinator's patience with a payment, so that it hears the outcome before it asks again. */
export const defaults: Policy = {
  authorizeDeadlineMillis: 60_000,
  captureDeadlineMillis: 60_000,
  retryMillis: { first: 500, max: 10_000 },
};

export const initial: Payment = {
  status: "none",
  terms: null,
  work: null,
  seq: 0,
  asked: { authorize: null, capture: null, void: null, refund: null },
  authorization: null,
  capture: null,
  captured: 0,
  refunded: 0,
};

/** Names the work as it stands; a timer of an earlier one means nothing. */
export const tokenOf = (state: Payment): string => String(state.seq);
