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

/** Longest pause between two requests of an undo, in milliseconds: an order that waits for its money back waits no minute more. */
const UNDO_RETRY_MAX_MS = 60_000;

export type Definition = Saga.Definition<Data, LocalCommand>;

/** Which service does which step where nobody coordinates. The payment's owner is the arbiter. */
export const distribution = {
  home: "order",
  owners: {
    "check-balance": "payment",
    "reserve-stock": "inventory",
    "authorize-payment": "payment",
    "commit-stock": "inventory",
    "capture-payment": "payment",
    fulfill: "fulfillment",
    "ship-stock": "inventory",
  },
} as const satisfies Saga.Distribution;

/** The definition. Throws if the hold could expire before its commit: a configuration error, found at start. */
export const make = (options: Partial<Options> = {}): Definition => {
  const all = { ...defaults, ...options };
  const definition = declare(all);
  const worst = worstOf(definition);
  if (all.holdTtlMillis < worst + HOLD_MARGIN_MS) {
    throw new Error(
      `the stock hold lives ${all.holdTtlMillis} ms, but the steps up to its commit may take ${worst} ms and need a margin of ${HOLD_MARGIN_MS} ms: ` +
        "raise holdTtlMillis or shorten the timeouts",
    );
  }
  return definition;
};

/** The least `holdTtlMillis` that `make` takes with these timeouts, in milliseconds: for who reads it from a setting. */
export const holdMinimumMillis = (options: Partial<Options> = {}): number => worstOf(declare({ ...defaults, ...options })) + HOLD_MARGIN_MS;

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

/** Told to the order when the saga turned around after the payment. */
const onTurned = (failure: Saga.Failure): LocalCommand => ({ _tag: "Close", reason: reasonOf(failure) });

const onUndone = (failure: Saga.Failure, _: Data, pivoted: boolean): LocalCommand => (pivoted ? { _tag: "Refund" } : onTurned(failure));

const byProvider = ({ reason }: { readonly reason: "declined" | "timeout" }): Reason =>
  reason === "timeout" ? "paymentTimeout" : "paymentDeclined";

/** From the first try to reserve to the last try to commit, in milliseconds. */
const worstOf = (definition: Definition): number => Saga.worstCaseMillis(definition, "reserve-stock", "commit-stock");

const declare = ({ cancelWindowMillis, holdTtlMillis, stepTimeoutMillis: timeout, paymentTimeoutMillis }: Options): Definition =>
  Saga.make("checkout", {
    version: 1,
    data: Data,
    startAfter: cancelWindowMillis,
    undoRetry: { first: timeout, max: Math.max(timeout, UNDO_RETRY_MAX_MS) },
    onTurned,
    onUndone,
    canceled: (by) => (by === "user" ? "canceledByUser" : "canceledByOperator"),
  }).pipe(
    Saga.local("start-checkout", { command: () => ({ _tag: "StartCheckout" }), refused: "canceledByUser" }),
    Saga.step("check-balance", {
      send: M.CheckBalance,
      with: payment,
      done: M.BalanceSufficient,
      failed: [Saga.failedBy(M.BalanceInsufficient, () => "insufficientBalance")],
      undo: { none: "it changes nothing" },
      timeout,
      timeoutReason: "checkoutTimeout",
    }),
    Saga.step("reserve-stock", {
      send: M.ReserveStock,
      with: ({ orderId, lines }) => ({ orderId, lines, ttlMillis: holdTtlMillis }),
      done: M.StockReserved,
      failed: [Saga.failedBy(M.StockRejected, () => "outOfStock")],
      undo: { send: M.ReleaseStock, with: orderRef, done: M.StockReleased, refused: M.StockReleaseRefused },
      timeout,
      timeoutReason: "checkoutTimeout",
    }),
    Saga.step("authorize-payment", {
      send: M.AuthorizePayment,
      with: payment,
      done: M.PaymentAuthorized,
      failed: [Saga.failedBy(M.PaymentDeclined, byProvider)],
      // Refused where money came all the same, and the provider does not return it.
      undo: { send: M.VoidPayment, with: orderRef, done: M.PaymentVoided, refused: M.RefundRefused },
      timeout: paymentTimeoutMillis,
      timeoutReason: "paymentTimeout",
    }),
    Saga.local("complete-checkout", { command: () => ({ _tag: "CompleteCheckout" }), refused: "canceledByUser" }),
    Saga.step("commit-stock", {
      send: M.CommitStock,
      with: orderRef,
      done: M.StockCommitted,
      failed: [Saga.failedBy(M.StockHoldExpired, () => "holdExpired")],
      undo: { none: "the release that undoes reserve-stock returns committed goods as well" },
      timeout,
      timeoutReason: "checkoutTimeout",
    }),
    Saga.pivot("capture-payment", {
      send: M.CapturePayment,
      with: orderRef,
      done: M.PaymentCaptured,
      failed: [Saga.failedBy(M.CaptureRefused, byProvider)],
      undo: { send: M.RefundPayment, with: orderRef, done: M.PaymentRefunded, refused: M.RefundRefused },
      timeout: paymentTimeoutMillis,
    }),
    Saga.local("confirm-payment", { command: () => ({ _tag: "ConfirmPayment" }), refused: "canceledByOperator" }),
    Saga.retriable("fulfill", {
      send: M.FulfillOrder,
      with: ({ orderId, lines }) => ({ orderId, lines }),
      done: M.FulfillmentSucceeded,
      failed: [Saga.failedBy(M.FulfillmentFailed, () => "fulfillmentFailed")],
      otherwise: "undo",
      undo: { none: "only the closing of the order follows it, which is not refused" },
      timeout,
    }),
    Saga.retriable("ship-stock", {
      send: M.ShipStock,
      with: orderRef,
      done: M.StockShipped,
      undo: { none: "only the closing of the order follows it, which is not refused" },
      timeout,
    }),
    Saga.local("finish", { command: () => ({ _tag: "Finish" }), refused: "fulfillmentFailed" }),
    Saga.answers(answers),
  );

/** Everything that inventory, payment and fulfillment answer. */
const answers = [
  M.StockReserved,
  M.StockRejected,
  M.StockCommitted,
  M.StockHoldExpired,
  M.StockReleased,
  M.StockReleaseRefused,
  M.StockShipped,
  M.BalanceSufficient,
  M.BalanceInsufficient,
  M.PaymentAuthorized,
  M.PaymentDeclined,
  M.PaymentCaptured,
  M.CaptureRefused,
  M.PaymentVoided,
  M.PaymentRefunded,
  M.RefundRefused,
  M.FulfillmentSucceeded,
  M.FulfillmentFailed,
];
