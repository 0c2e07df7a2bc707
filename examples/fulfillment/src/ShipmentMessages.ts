/** What fulfillment messages ask of a `Shipment`, and what the world hears of it. Pure. */
import { CheckoutMessages as M, type Coordinator, type Message, type OrderId, type Timestamp } from "@org/saga-core";
import type * as Shipment from "./Shipment.ts";

/** The timer that ends the work. It is set once a shipment, so its name is token enough. */
export const WORK_TIMER = "work";

export const fromMessage = (envelope: Message.Envelope, now: Timestamp): Shipment.Command | null => {
  if (!M.FulfillOrder.is(envelope)) return null;
  const { orderId, lines } = envelope.body;
  return { _tag: "Fulfill", orderId, lines, to: { stepKey: envelope.stepKey, saga: envelope.saga }, now };
};

export const react = (
  events: ReadonlyArray<Shipment.Event>,
  state: Shipment.Shipment,
): { readonly drafts: ReadonlyArray<Message.Draft>; readonly timers: ReadonlyArray<Coordinator.TimerRequest> } => {
  const drafts: Array<Message.Draft> = [];
  const timers: Array<Coordinator.TimerRequest> = [];
  for (const event of events) {
    switch (event._tag) {
      case "Started":
        timers.push({ _tag: "Schedule", name: WORK_TIMER, token: WORK_TIMER, at: event.dueAt });
        break;
      case "Succeeded":
      case "Failed":
        if (state.to !== null) drafts.push(answer(state, event.orderId, state.to));
        break;
      case "Answered":
        drafts.push(answer(state, event.orderId, event.to));
        break;
    }
  }
  return { drafts, timers };
};

const answer = (state: Shipment.Shipment, orderId: OrderId, to: Shipment.ReplyTo): Message.Draft => {
  const options = { stepKey: to.stepKey ?? undefined, saga: to.saga ?? undefined };
  return state.status === "succeeded"
    ? M.FulfillmentSucceeded.draft({ orderId }, options)
    : M.FulfillmentFailed.draft({ orderId, detail: "the goods cannot be shipped" }, options);
};
