/**
 * The life cycle of an order: the transition table that everything else derives from (G7).
 *
 * created → pendingPayment → awaitingPayment → awaitingFulfillment (pivot) → finished,
 * with failed, canceled and refunded.
 */
import { Schema } from "effect";
import * as StateMachine from "../StateMachine.ts";

export const OrderStatus = Schema.Literals([
  "created",
  "pendingPayment",
  "awaitingPayment",
  "awaitingFulfillment",
  "finished",
  "canceled",
  "failed",
  "refunded",
]);
export type OrderStatus = typeof OrderStatus.Type;

export const machine: StateMachine.StateMachine<OrderStatus> = StateMachine.make("order", "created", {
  created: ["pendingPayment", "canceled", "failed"],
  pendingPayment: ["awaitingPayment", "canceled", "failed"],
  awaitingPayment: ["awaitingFulfillment", "canceled", "failed"],
  awaitingFulfillment: ["finished", "failed"],
  finished: [],
  canceled: [],
  failed: ["refunded"],
  refunded: [],
});

/** Why an order ended where it did. A word, so that clients can branch on it. */
export const Reason = Schema.Literals([
  "canceledByUser",
  "canceledByOperator",
  "outOfStock",
  "holdExpired",
  "paymentTimeout",
  "checkoutTimeout",
  "insufficientBalance",
  "paymentDeclined",
  "fulfillmentFailed",
]);
export type Reason = typeof Reason.Type;

/** The terminal status that a reason leads to before the pivot. */
export const endOf = (reason: Reason): "canceled" | "failed" => {
  switch (reason) {
    case "insufficientBalance":
    case "paymentDeclined":
    case "fulfillmentFailed":
      return "failed";
    case "canceledByUser":
    case "canceledByOperator":
    case "outOfStock":
    case "holdExpired":
    case "paymentTimeout":
    case "checkoutTimeout":
      return "canceled";
  }
};
