/** What payment messages ask of a `Payment`, and what the world hears of it. Pure. */
import { CheckoutMessages as M, type Coordinator, type Message, type OrderId, type Timestamp } from "@org/saga-core";
import type * as Payment from "./Payment.ts";

/** The timer of the next call to the provider. There is one a payment. */
export const WORK_TIMER = "work";

/** The command that a message stands for; null if it is none of the payment's. */
export const fromMessage = (envelope: Message.Envelope, now: Timestamp): Payment.Command | null => {
  const to: Payment.ReplyTo = { stepKey: envelope.stepKey, saga: envelope.saga };
  if (M.AuthorizePayment.is(envelope)) {
    const { orderId, customerId, amount, paymentMethod } = envelope.body;
    return { _tag: "Authorize", orderId, terms: { customerId, amount, paymentMethod }, to, now };
  }
  if (M.CapturePayment.is(envelope)) return { _tag: "Capture", orderId: envelope.body.orderId, to, now };
  if (M.VoidPayment.is(envelope)) return { _tag: "Void", orderId: envelope.body.orderId, to, now };
  if (M.RefundPayment.is(envelope)) return { _tag: "Refund", orderId: envelope.body.orderId, to, now };
  return null;
};

export interface Reaction {
  readonly drafts: ReadonlyArray<Message.Draft>;
  readonly timers: ReadonlyArray<Coordinator.TimerRequest>;
}

/**
 * Answers to who asked, and the timer of the next call. `callLeaseMillis`: how long a call may be under way before it
 * counts as lost; above the longest call.
 */
export const react = (events: ReadonlyArray<Payment.Event>, state: Payment.Payment, now: Timestamp, callLeaseMillis: number): Reaction => {
  const drafts: Array<Message.Draft> = [];
  const timers: Array<Coordinator.TimerRequest> = [];
  const schedule = (at: Timestamp): void => void timers.push({ _tag: "Schedule", name: WORK_TIMER, token: String(state.seq), at });
  for (const event of events) {
    switch (event._tag) {
      case "Asked":
        break;
      case "Started":
      case "LateMoney":
        schedule(now);
        break;
      case "Called":
        schedule(now + callLeaseMillis);
        break;
      case "Postponed":
        schedule(event.dueAt);
        break;
      case "Settled":
      case "Refused":
        timers.push({ _tag: "Unschedule", name: WORK_TIMER });
        drafts.push(...answersTo(event.status, state, event.orderId));
        break;
      case "Answered":
        drafts.push(answer(event.request, state, event.orderId, event.to));
        break;
    }
  }
  return { drafts, timers };
};

type End = Extract<Payment.Event, { readonly _tag: "Settled" | "Refused" }>["status"];

/** Whose answer a status is. A void that had to give money back is answered when it is back, or refused as the refund was. */
const ANSWERS: { readonly [K in End]: ReadonlyArray<Payment.RequestName> } = {
  authorized: ["authorize"],
  declined: ["authorize"],
  captured: ["capture"],
  captureRefused: ["capture"],
  voided: ["void"],
  refunded: ["refund", "void"],
  refundRefused: ["refund", "void"],
};

const answersTo = (status: End, state: Payment.Payment, orderId: OrderId): ReadonlyArray<Message.Draft> =>
  ANSWERS[status].flatMap((request) => {
    const to = state.asked[request];
    return to === null ? [] : [answer(request, state, orderId, to)];
  });

/** The answer to a request, as far as things stand. */
const answer = (request: Payment.RequestName, state: Payment.Payment, orderId: OrderId, to: Payment.ReplyTo): Message.Draft => {
  const options = { stepKey: to.stepKey ?? undefined, saga: to.saga ?? undefined };
  switch (request) {
    case "authorize":
      return state.authorization === "authorized"
        ? M.PaymentAuthorized.draft({ orderId }, options)
        : M.PaymentDeclined.draft({ orderId, reason: state.authorization ?? "declined" }, options);
    case "capture":
      return state.capture === "captured"
        ? M.PaymentCaptured.draft({ orderId }, options)
        : M.CaptureRefused.draft({ orderId, reason: state.capture ?? "declined" }, options);
    case "void":
      return state.status === "refundRefused" ? M.RefundRefused.draft({ orderId }, options) : M.PaymentVoided.draft({ orderId }, options);
    case "refund":
      return state.status === "refunded" ? M.PaymentRefunded.draft({ orderId }, options) : M.RefundRefused.draft({ orderId }, options);
  }
};
