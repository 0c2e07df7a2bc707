/**
 * The payment of an order: a decider. It never calls anyone; it says which call to the provider comes next (`work`), and
 * what the provider's answers mean.
 *
 * ```
 * none → authorizing → authorized → capturing → captured → refunding → refunded
 *   │        │  └▶ declined  │          └▶ captureRefused    ▲   └▶ refundRefused
 *   │        ▼               ▼                  │            │
 *   └────▶ voided ◀───── voiding ◀──────────────┘     late money
 * ```
 * Invariants (checked by properties):
 * 1. A status changes only along `machine`.
 * 2. refunded ≤ captured, and nothing is refunded that was not captured; money that comes to a payment that nobody awaits
 *    any more goes back.
 * 3. A call is recorded before it is made (`Called`). Its outcome unknown, or lost in a crash, the provider is probed before
 *    anything else is asked of it.
 * 4. Every request is answered, repeated ones with what was answered before.
 * 5. An authorization or a capture that is not known at its deadline is canceled first, and given up only then.
 *
 * It is not the provider's ledger: the money is there. The reference at the provider is the order's id.
 */
import { Result } from "effect";
import type { Decider, OrderId, Timestamp } from "@org/saga-core";
import {
  type Call,
  type Command,
  defaults,
  type Event,
  type Finding,
  initial,
  type Payment,
  type Policy,
  type Refusal,
  type Rejection,
  type Status,
  tokenOf,
  type Work,
} from "./PaymentState.ts";

export * from "./PaymentState.ts";

export const make = (policy: Policy = defaults): Decider.Decider<Payment, Command, Event, Rejection> => ({
  initial,
  decide: (state, command) => Result.succeed(decide(policy, state, command)),
  evolve,
});

const decide = (policy: Policy, state: Payment, command: Command): ReadonlyArray<Event> => {
  switch (command._tag) {
    case "Authorize":
      return authorize(policy, state, command);
    case "Capture":
      return capture(policy, state, command);
    case "Void":
      return cancel(state, command);
    case "Refund":
      return refund(state, command);
    case "Attempt":
      return attempt(state, command);
    case "Report":
      return report(policy, state, command);
  }
};

type Of<T extends Command["_tag"]> = Extract<Command, { readonly _tag: T }>;

const authorize = (policy: Policy, state: Payment, { orderId, terms, to, now }: Of<"Authorize">): ReadonlyArray<Event> => {
  if (state.status === "none") {
    return [
      { _tag: "Asked", orderId, request: "authorize", to },
      { _tag: "Started", orderId, status: "authorizing", terms, deadlineAt: now + policy.authorizeDeadlineMillis },
    ];
  }
  return state.status === "authorizing" ? [] : [{ _tag: "Answered", orderId, request: "authorize", to }];
};

const capture = (policy: Policy, state: Payment, { orderId, to, now }: Of<"Capture">): ReadonlyArray<Event> => {
  if (state.status === "authorized") {
    return [
      { _tag: "Asked", orderId, request: "capture", to },
      { _tag: "Started", orderId, status: "capturing", terms: null, deadlineAt: now + policy.captureDeadlineMillis },
    ];
  }
  return state.status === "capturing" ? [] : [{ _tag: "Answered", orderId, request: "capture", to }];
};

const cancel = (state: Payment, { orderId, to }: Of<"Void">): ReadonlyArray<Event> => {
  const asked: Event = { _tag: "Asked", orderId, request: "void", to };
  switch (state.status) {
    case "none":
    case "declined":
      // Nothing stands at the provider. From `none` it is a tombstone: an authorization that comes later is refused.
      return [asked, { _tag: "Settled", orderId, status: "voided" }];
    case "authorizing":
    case "authorized":
    case "captureRefused":
      return [asked, ...givenUp(state, orderId), { _tag: "Started", orderId, status: "voiding", terms: null, deadlineAt: null }];
    case "captured":
    case "refundRefused":
      // A refund that was refused is asked for again: whoever asks for the void once more wants the money back.
      return [asked, { _tag: "Started", orderId, status: "refunding", terms: null, deadlineAt: null }];
    case "capturing":
      // A capture that is not known moves neither way; whoever asks, asks again.
      return [];
    case "voiding":
    case "refunding":
      return state.asked.void === null ? [asked] : [];
    case "voided":
    case "refunded":
      return [{ _tag: "Answered", orderId, request: "void", to }];
  }
};

const refund = (state: Payment, { orderId, to }: Of<"Refund">): ReadonlyArray<Event> => {
  const asked: Event = { _tag: "Asked", orderId, request: "refund", to };
  switch (state.status) {
    case "captured":
    case "refundRefused":
      return [asked, { _tag: "Started", orderId, status: "refunding", terms: null, deadlineAt: null }];
    case "refunding":
      return state.asked.refund === null ? [asked] : [];
    case "capturing":
      return [];
    case "none":
    case "authorizing":
    case "authorized":
    case "declined":
    case "captureRefused":
    case "voiding":
    case "voided":
    case "refunded":
      return [{ _tag: "Answered", orderId, request: "refund", to }];
  }
};

const attempt = (state: Payment, { orderId, token, now }: Of<"Attempt">): ReadonlyArray<Event> => {
  const { work } = state;
  if (work === null || token !== tokenOf(state)) return [];
  const overdue = work.overdue || (work.deadlineAt !== null && now >= work.deadlineAt);
  if (overdue && !work.overdue) return [{ _tag: "Called", orderId, call: "cancel", overdue }];
  // Recorded as called, and no outcome: the process died in between.
  return [{ _tag: "Called", orderId, call: work.called ? "probe" : work.call, overdue }];
};

const report = (policy: Policy, state: Payment, { orderId, finding, seq, now }: Of<"Report">): ReadonlyArray<Event> => {
  const settled = settle(state, orderId, finding);
  if (settled !== null) return settled._tag === "LateMoney" ? [...givenUp(state, orderId), settled] : [settled];
  const { work } = state;
  if (work === null || !work.called || state.seq !== seq) return [];
  const { first, max } = policy.retryMillis;
  const dueAt = now + Math.min(max, first * 2 ** Math.min(work.failures, 20));
  const deadlineAt = work.overdue || work.deadlineAt === null ? dueAt : Math.max(now, work.deadlineAt);
  return [{ _tag: "Postponed", orderId, call: nextCall(state.status, work, finding), dueAt: Math.min(dueAt, deadlineAt) }];
};

/** Whoever waits for an authorization that will not be had hears so. */
const givenUp = ({ status, asked }: Payment, orderId: OrderId): ReadonlyArray<Event> =>
  status === "authorizing" && asked.authorize !== null ? [{ _tag: "Answered", orderId, request: "authorize", to: asked.authorize }] : [];

/** What a finding decides; null if it decides nothing in this status. */
const settle = (state: Payment, orderId: OrderId, finding: Finding): Event | null => {
  const { status } = state;
  const reason: Refusal = state.work?.overdue === true ? "timeout" : "declined";
  switch (finding) {
    case "authorized":
      // Overdue, it may have been canceled since.
      return status === "authorizing" && state.work?.overdue !== true ? { _tag: "Settled", orderId, status: "authorized" } : null;
    case "declined":
      if (status === "authorizing") return { _tag: "Refused", orderId, status: "declined", reason: "declined" };
      if (status === "capturing") return { _tag: "Refused", orderId, status: "captureRefused", reason: "declined" };
      return status === "voiding" ? { _tag: "Settled", orderId, status: "voided" } : null;
    case "captureDeclined":
      return status === "capturing" ? { _tag: "Refused", orderId, status: "captureRefused", reason: "declined" } : null;
    case "canceled":
      if (status === "authorizing") return { _tag: "Refused", orderId, status: "declined", reason };
      if (status === "capturing") return { _tag: "Refused", orderId, status: "captureRefused", reason };
      return status === "voiding" ? { _tag: "Settled", orderId, status: "voided" } : null;
    case "captured":
      return received(status, orderId);
    case "refunded":
      // It was captured, and someone else returned it: nothing is left to be had.
      if (status === "authorizing") return { _tag: "Refused", orderId, status: "declined", reason };
      if (status === "capturing") return { _tag: "Refused", orderId, status: "captureRefused", reason };
      if (status === "voiding") return { _tag: "Settled", orderId, status: "voided" };
      return status === "refunding" ? { _tag: "Settled", orderId, status: "refunded" } : null;
    case "refundRefused":
      return status === "refunding" ? { _tag: "Settled", orderId, status: "refundRefused" } : null;
    case "notFound":
    case "accepted":
    case "unknown":
      return null;
  }
};

const received = (status: Status, orderId: OrderId): Event | null => {
  switch (status) {
    case "capturing":
      return { _tag: "Settled", orderId, status: "captured" };
    case "none":
    case "captured":
    case "refunding":
    case "refunded":
    case "refundRefused":
      return null;
    case "authorizing":
    case "authorized":
    case "declined":
    case "captureRefused":
    case "voiding":
    case "voided":
      return { _tag: "LateMoney", orderId };
  }
};

/** After a call that settled nothing. */
const nextCall = (status: Status, work: Work, finding: Finding): Call => {
  if (work.call !== "probe" || finding === "unknown") return "probe";
  // The provider said what it knows, and it is not what is wanted: the same is asked again, under the same key. What is only
  // accepted at the deadline is canceled as well: the request to cancel it may have been lost.
  if (work.overdue || status === "voiding") return "cancel";
  if (finding === "accepted") return "probe";
  if (status === "refunding") return "refund";
  return status === "capturing" ? "capture" : "authorize";
};

const CALL_OF = { authorizing: "authorize", capturing: "capture", voiding: "cancel", refunding: "refund" } as const;

const evolve = (state: Payment, event: Event): Payment => {
  switch (event._tag) {
    case "Asked":
      return { ...state, asked: { ...state.asked, [event.request]: event.to } };
    case "Started":
      return {
        ...state,
        status: event.status,
        terms: event.terms ?? state.terms,
        seq: state.seq + 1,
        work: fresh(CALL_OF[event.status], event.deadlineAt),
      };
    case "Called":
      return worked(state, (work) => ({ ...work, call: event.call, overdue: event.overdue, called: true }));
    case "Postponed":
      return worked(state, (work) => ({ ...work, call: event.call, called: false, failures: work.failures + 1 }));
    case "Settled":
      return settled(state, event.status);
    case "Refused":
      return event.status === "declined"
        ? { ...state, status: "declined", work: null, authorization: event.reason }
        : { ...state, status: "captureRefused", work: null, capture: event.reason };
    case "LateMoney": {
      const captured = state.terms?.amount.amount ?? 0;
      return { ...state, status: "refunding", captured, seq: state.seq + 1, work: fresh("refund", null) };
    }
    case "Answered":
      return state;
  }
};

/** The work after a change, under a new token. */
const worked = (state: Payment, change: (work: Work) => Work): Payment =>
  state.work === null ? state : { ...state, seq: state.seq + 1, work: change(state.work) };

const settled = (state: Payment, status: Extract<Event, { readonly _tag: "Settled" }>["status"]): Payment => {
  const next: Payment = { ...state, status, work: null };
  switch (status) {
    case "authorized":
      return { ...next, authorization: "authorized" };
    case "captured":
      return { ...next, capture: "captured", captured: state.terms?.amount.amount ?? 0 };
    case "refunded":
      return { ...next, refunded: state.captured };
    case "voided":
    case "refundRefused":
      return next;
  }
};

const fresh = (call: Call, deadlineAt: Timestamp | null): Work => ({ call, called: false, failures: 0, deadlineAt, overdue: false });
