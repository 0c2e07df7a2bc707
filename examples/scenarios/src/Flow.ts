/** The seven ways that an order can go, as data: what is ordered, what the customer does, and how it must end. */
import type { OrderStatus } from "@org/saga-core";

type Status = OrderStatus.OrderStatus;

export interface Flow {
  /** Stable, short: for filters and logs. */
  readonly name: string;
  readonly title: string;
  readonly lines: ReadonlyArray<{ readonly sku: string; readonly quantity: number }>;
  readonly paymentMethod: string;
  /** What the customer does: nothing, cancel at once, or cancel when checkout has picked the order up. */
  readonly act: "none" | "cancelAtOnce" | "cancelTooLate";
  readonly expected: {
    /** Every status, in order; the last one is the end. */
    readonly timeline: ReadonlyArray<Status>;
    readonly reason: OrderStatus.Reason | null;
    /** Whether the price was captured, and whether it was given back. */
    readonly money: "none" | "captured" | "returned";
  };
}

const delivered: ReadonlyArray<Status> = ["created", "pendingPayment", "awaitingPayment", "awaitingFulfillment", "finished"];

export const flows: ReadonlyArray<Flow> = [
  {
    name: "happy",
    title: "an order that is paid and shipped",
    lines: [
      { sku: "tshirt", quantity: 2 },
      { sku: "mug", quantity: 1 },
    ],
    paymentMethod: "pm_success",
    act: "none",
    expected: { timeline: delivered, reason: null, money: "captured" },
  },
  {
    name: "canceled",
    title: "canceled by the user in time",
    lines: [{ sku: "poster", quantity: 1 }],
    paymentMethod: "pm_success",
    act: "cancelAtOnce",
    expected: { timeline: ["created", "canceled"], reason: "canceledByUser", money: "none" },
  },
  {
    name: "too-late",
    title: "a cancel refused as too late",
    lines: [{ sku: "mug", quantity: 1 }],
    paymentMethod: "pm_success",
    act: "cancelTooLate",
    expected: { timeline: delivered, reason: null, money: "captured" },
  },
  {
    name: "out-of-stock",
    title: "out of stock",
    lines: [
      { sku: "tshirt", quantity: 1 },
      { sku: "sold-out", quantity: 1 },
    ],
    paymentMethod: "pm_success",
    act: "none",
    expected: { timeline: ["created", "pendingPayment", "canceled"], reason: "outOfStock", money: "none" },
  },
  {
    name: "declined",
    title: "payment declined",
    lines: [{ sku: "poster", quantity: 2 }],
    paymentMethod: "pm_decline",
    act: "none",
    expected: { timeline: ["created", "pendingPayment", "failed"], reason: "paymentDeclined", money: "none" },
  },
  {
    name: "payment-timeout",
    title: "payment timeout, stock released",
    lines: [{ sku: "poster", quantity: 3 }],
    paymentMethod: "pm_timeout",
    act: "none",
    expected: { timeline: ["created", "pendingPayment", "canceled"], reason: "paymentTimeout", money: "none" },
  },
  {
    name: "refunded",
    title: "fulfillment failed after payment, money back",
    lines: [{ sku: "unshippable", quantity: 1 }],
    paymentMethod: "pm_success",
    act: "none",
    expected: {
      timeline: ["created", "pendingPayment", "awaitingPayment", "awaitingFulfillment", "failed", "refunded"],
      reason: "fulfillmentFailed",
      money: "returned",
    },
  },
];
