/**
 * A payment, its provider and an unreliable line between them, all pure: what a property draws decides what gets lost, who
 * dies when, and which webhook comes late or twice. Once the draws are over, everything works.
 */
import { Result } from "effect";
import { CustomerId, type Decider, Money, OrderId, StateMachine } from "@org/saga-core";
import { Payment, PaymentMessages, ProviderCalls } from "@example/checkout";
import type { Outcome } from "@example/contracts";

export const orderId = OrderId.make("order-1");
export const terms: Payment.Terms = { customerId: CustomerId.make("ada"), amount: Money.of(1_999, "EUR"), paymentMethod: "pm_success" };

export const policy: Payment.Policy = { authorizeDeadlineMillis: 500, captureDeadlineMillis: 500, retryMillis: { first: 50, max: 200 } };
const CALL_LEASE_MS = 100;

export const decider: Decider.Decider<Payment.Payment, Payment.Command, Payment.Event, Payment.Rejection> = Payment.make(policy);

export const request = (_tag: "Authorize" | "Capture" | "Void" | "Refund", now: number, round = 1): Payment.Command => {
  const to: Payment.ReplyTo = { stepKey: `${orderId}:${_tag}:${round}`, saga: "checkout@1" };
  return _tag === "Authorize" ? { _tag, orderId, now, to, terms } : { _tag, orderId, now, to };
};

/** The provider's books of one intent. */
export interface Books {
  readonly status: "none" | "authorized" | "declined" | "processing" | "captured" | "canceled" | "refunding" | "refunded";
  readonly captures: number;
  readonly refunds: number;
}

export type Line = "works" | "lostRequest" | "lostAnswer" | "dies";

export class World {
  state: Payment.Payment = Payment.initial;
  now = 1_000;
  books: Books = { status: "none", captures: 0, refunds: 0 };
  timer: { readonly token: string; readonly at: number } | null = null;
  readonly replies: Array<{ readonly type: string; readonly stepKey: string | null }> = [];
  readonly illegal: Array<string> = [];
  private readonly webhooks: Array<"captured" | "refunded"> = [];
  private readonly declines: boolean;

  constructor(declines = false) {
    this.declines = declines;
  }

  submit(command: Payment.Command): void {
    const before = this.state;
    const decided = decider.decide(before, command);
    if (Result.isFailure(decided)) throw new Error("nothing is rejected");
    for (const event of decided.success) {
      const from = this.state.status;
      this.state = decider.evolve(this.state, event);
      const to = this.state.status;
      if (from !== to && !StateMachine.can(Payment.machine, from, to)) this.illegal.push(`${from} → ${to}`);
    }
    if (this.state.seq < before.seq) this.illegal.push("the token went back");
    const { drafts, timers } = PaymentMessages.react(decided.success, this.state, this.now, CALL_LEASE_MS);
    for (const draft of drafts) this.replies.push({ type: draft.type, stepKey: draft.stepKey });
    for (const timer of timers) this.timer = timer._tag === "Schedule" ? { token: timer.token, at: timer.at } : null;
  }

  /** The next timer fires; its call goes through `line`. */
  fire(line: Line): void {
    if (this.timer === null) return;
    this.now = Math.max(this.now, this.timer.at);
    const { token } = this.timer;
    const seq = this.state.seq;
    this.submit({ _tag: "Attempt", orderId, token, now: this.now });
    const { work } = this.state;
    if (this.state.seq === seq || work === null || !work.called) return;
    const called = this.state.seq;
    const outcome = line === "lostRequest" ? null : this.provider(work.call);
    if (line === "dies") return;
    const finding = outcome === null || line === "lostAnswer" ? "unknown" : ProviderCalls.findingOf(work.call, outcome);
    this.submit({ _tag: "Report", orderId, finding, seq: called, now: this.now });
  }

  /** The provider finishes what it accepted, and owes a webhook. */
  settle(): void {
    if (this.books.status === "processing") {
      this.books = { ...this.books, status: "captured", captures: this.books.captures + 1 };
      this.webhooks.push("captured");
    } else if (this.books.status === "refunding") {
      this.books = { ...this.books, status: "refunded", refunds: this.books.refunds + 1 };
      this.webhooks.push("refunded");
    }
  }

  /** A webhook arrives; it may come again. */
  webhook(index: number, again: boolean): void {
    const finding = this.webhooks[index % Math.max(1, this.webhooks.length)];
    if (finding === undefined) return;
    this.submit({ _tag: "Report", orderId, finding, seq: null, now: this.now });
    if (!again) this.webhooks.splice(index % this.webhooks.length, 1);
  }

  /** No more faults: until nothing is left to do. */
  rest(): void {
    for (let step = 0; step < 200; step++) {
      this.settle();
      if (this.webhooks.length > 0) this.webhook(0, false);
      else if (this.timer === null) return;
      else this.fire("works");
    }
    throw new Error(`no rest in ${this.state.status}`);
  }

  private provider(call: Payment.Call): Outcome {
    const { status } = this.books;
    switch (call) {
      case "authorize":
        if (status === "none") this.books = { ...this.books, status: this.declines ? "declined" : "authorized" };
        break;
      case "capture":
        if (status === "authorized") this.books = { ...this.books, status: "processing" };
        break;
      case "cancel":
        if (status === "none" || status === "authorized" || status === "processing") this.books = { ...this.books, status: "canceled" };
        break;
      case "refund":
        if (status === "captured") this.books = { ...this.books, status: "refunding" };
        break;
      case "probe":
        break;
    }
    return this.outcome();
  }

  private outcome(): Outcome {
    switch (this.books.status) {
      case "none":
        return { _tag: "NotFound" };
      case "authorized":
        return { _tag: "Authorized" };
      case "declined":
        return { _tag: "Declined" };
      case "processing":
        return { _tag: "Processing", what: "capture" };
      case "captured":
        return { _tag: "Captured", amount: terms.amount };
      case "canceled":
        return { _tag: "Canceled" };
      case "refunding":
        return { _tag: "Processing", what: "refund" };
      case "refunded":
        return { _tag: "Refunded", amount: terms.amount };
    }
  }
}
