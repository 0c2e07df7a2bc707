/**
 * The checkout saga: from an accepted order to goods on their way, or everything undone.
 *
 * start → check balance → reserve stock → authorize payment → complete → commit stock → **capture payment** (pivot)
 * → confirm → fulfill → ship → finish. Undo, in reverse: refund, void, release.
 */
import { Schema } from "effect";
import { HOLD_TTL_MS } from "../Limits.ts";
import { Money } from "../Money.ts";
import * as Saga from "../saga/Saga.ts";
import { StockLine } from "../stock/Sku.ts";
import type { Timestamp } from "../Timestamp.ts";
import * as M from "./CheckoutMessages.ts";
import type * as Order from "./Order.ts";
import { CustomerId, OrderId } from "./OrderId.ts";
import { Reason } from "./OrderStatus.ts";

/** What a checkout remembers of its order. */
export const Data = Schema.Struct({
  orderId: OrderId,
  customerId: CustomerId,
  lines: Schema.Array(StockLine),
  total: Money,
  paymentMethod: Schema.String,
});
export type Data = typeof Data.Type;

/** An order command without its time, which the coordinator stamps. */
export type LocalCommand =
  | { readonly _tag: "StartCheckout" }
  | { readonly _tag: "CompleteCheckout" }
  | { readonly _tag: "ConfirmPayment" }
  | { readonly _tag: "Finish" }
  | { readonly _tag: "Close"; readonly reason: Reason }
  | { readonly _tag: "Refund" };

export interface Options {
  /** How long an order rests in `created`, in which a buyer may cancel under `createdOnly`. Milliseconds; 0: not at all. */
  readonly cancelWindowMillis: number;
  /** Time-to-live of the stock hold, in milliseconds. */
  readonly holdTtlMillis: number;
  /** How long inventory, balance check and fulfillment may take to answer before they are asked again. Milliseconds. */
  readonly stepTimeoutMillis: number;
  /** The same for the payment, whose participant settles an unknown outcome by itself within its own deadline. Milliseconds. */
  readonly paymentTimeoutMillis: number;
}

export const defaults: Options = {
  cancelWindowMillis: 0,
  holdTtlMillis: HOLD_TTL_MS,
  stepTimeoutMillis: 10_000,
  paymentTimeoutMillis: 120_000,
};

/** Spare time between the last possible commit and the end of the hold, in milliseconds. */
export const HOLD_MARGIN_MS = 30_000;

export type Definition = Saga.Definition<Data, LocalCommand>;

/** The definition. Throws if the hold could expire before its commit: a configuration error, found at start. */
export const make = (options: Partial<Options> = {}): Definition => {
  const { cancelWindowMillis, holdTtlMillis, stepTimeoutMillis, paymentTimeoutMillis } = { ...defaults, ...options };
  const definition = Saga.make<Data, LocalCommand>({
    name: "checkout",
    version: 1,
    startAfterMillis: cancelWindowMillis,
    undoRetryMillis: { first: stepTimeoutMillis, max: 60_000 },
    steps: steps(holdTtlMillis, stepTimeoutMillis, paymentTimeoutMillis),
    onTurned: (failure) => ({ _tag: "Close", reason: reasonOf(failure) }),
    onUndone: (failure, _, pivoted) => (pivoted ? { _tag: "Refund" } : { _tag: "Close", reason: reasonOf(failure) }),
    canceled: (by) => (by === "user" ? "canceledByUser" : "canceledByOperator"),
  });
  const worst = Saga.worstCaseMillis(definition, "reserve-stock", "commit-stock");
  if (holdTtlMillis < worst + HOLD_MARGIN_MS) {
    throw new Error(
      `the stock hold lives ${holdTtlMillis} ms, but the steps up to its commit may take ${worst} ms and need a margin of ${HOLD_MARGIN_MS} ms: ` +
        "raise holdTtlMillis or shorten the timeouts",
    );
  }
  return definition;
};

/** What the saga remembers of an order that was placed. */
export const dataOf = (placed: Extract<Order.Event, { readonly _tag: "Placed" }>): Data => ({
  orderId: placed.id,
  customerId: placed.customerId,
  lines: placed.lines.map(({ sku, quantity }) => ({ sku, quantity })),
  total: placed.total,
  paymentMethod: placed.paymentMethod,
});

/** A local command with its time. */
export const orderCommand = (command: LocalCommand, now: Timestamp): Order.Command => ({ ...command, now });

const isReason = Schema.is(Reason);

const reasonOf = (failure: Saga.Failure): Reason => (isReason(failure.reason) ? failure.reason : "checkoutTimeout");

const orderRef = ({ orderId }: Data): { readonly orderId: OrderId } => ({ orderId });

const payment = (data: Data): { orderId: OrderId; customerId: CustomerId; amount: Money; paymentMethod: string } => ({
  orderId: data.orderId,
  customerId: data.customerId,
  amount: data.total,
  paymentMethod: data.paymentMethod,
});

const noneNeeded = { none: "it changes nothing" } as const;
const notAfterPivot = { none: "after the pivot the order goes forward, or the money goes back" } as const;

const steps = (
  holdTtlMillis: number,
  timeoutMillis: number,
  paymentTimeoutMillis: number,
): ReadonlyArray<Saga.Step<Data, LocalCommand>> => [
  Saga.local("start-checkout", { kind: "compensatable", command: () => ({ _tag: "StartCheckout" }), refused: "canceledByUser" }),
  Saga.remote("check-balance", {
    kind: "compensatable",
    send: M.CheckBalance,
    with: payment,
    done: M.BalanceSufficient,
    failed: [Saga.failedBy(M.BalanceInsufficient, () => "insufficientBalance")],
    undo: noneNeeded,
    timeoutMillis,
    timeoutReason: "checkoutTimeout",
  }),
  Saga.remote("reserve-stock", {
    kind: "compensatable",
    send: M.ReserveStock,
    with: ({ orderId, lines }: Data) => ({ orderId, lines, ttlMillis: holdTtlMillis }),
    done: M.StockReserved,
    failed: [Saga.failedBy(M.StockRejected, () => "outOfStock")],
    undo: Saga.undoBy({ send: M.ReleaseStock, with: orderRef, done: M.StockReleased, refused: M.StockReleaseRefused }),
    undoAwaits: [M.StockReleased, M.StockReleaseRefused],
    timeoutMillis,
    timeoutReason: "checkoutTimeout",
  }),
  Saga.remote("authorize-payment", {
    kind: "compensatable",
    send: M.AuthorizePayment,
    with: payment,
    done: M.PaymentAuthorized,
    failed: [Saga.failedBy(M.PaymentDeclined, ({ reason }) => (reason === "timeout" ? "paymentTimeout" : "paymentDeclined"))],
    // Refused where money came all the same, and the provider does not return it.
    undo: Saga.undoBy({ send: M.VoidPayment, with: orderRef, done: M.PaymentVoided, refused: M.RefundRefused }),
    undoAwaits: [M.PaymentVoided, M.RefundRefused],
    timeoutMillis: paymentTimeoutMillis,
    timeoutReason: "paymentTimeout",
  }),
  Saga.local("complete-checkout", { kind: "compensatable", command: () => ({ _tag: "CompleteCheckout" }), refused: "canceledByUser" }),
  Saga.remote("commit-stock", {
    kind: "compensatable",
    send: M.CommitStock,
    with: orderRef,
    done: M.StockCommitted,
    failed: [Saga.failedBy(M.StockHoldExpired, () => "holdExpired")],
    undo: { none: "the release that undoes reserve-stock returns committed goods as well" },
    timeoutMillis,
    timeoutReason: "checkoutTimeout",
  }),
  Saga.remote("capture-payment", {
    kind: "pivot",
    send: M.CapturePayment,
    with: orderRef,
    done: M.PaymentCaptured,
    failed: [Saga.failedBy(M.CaptureRefused, ({ reason }) => (reason === "timeout" ? "paymentTimeout" : "paymentDeclined"))],
    undo: Saga.undoBy({ send: M.RefundPayment, with: orderRef, done: M.PaymentRefunded, refused: M.RefundRefused }),
    undoAwaits: [M.PaymentRefunded, M.RefundRefused],
    timeoutMillis: paymentTimeoutMillis,
    timeoutReason: "paymentTimeout",
  }),
  Saga.local("confirm-payment", { kind: "retriable", command: () => ({ _tag: "ConfirmPayment" }), refused: "canceledByOperator" }),
  Saga.remote("fulfill", {
    kind: "retriable",
    send: M.FulfillOrder,
    with: ({ orderId, lines }: Data) => ({ orderId, lines }),
    done: M.FulfillmentSucceeded,
    failed: [Saga.failedBy(M.FulfillmentFailed, () => "fulfillmentFailed")],
    undo: notAfterPivot,
    timeoutMillis,
    timeoutReason: "fulfillmentFailed",
  }),
  Saga.remote("ship-stock", {
    kind: "retriable",
    send: M.ShipStock,
    with: orderRef,
    done: M.StockShipped,
    failed: [],
    undo: notAfterPivot,
    timeoutMillis,
    timeoutReason: "fulfillmentFailed",
  }),
  Saga.local("finish", { kind: "retriable", command: () => ({ _tag: "Finish" }), refused: "fulfillmentFailed" }),
];
