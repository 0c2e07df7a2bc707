/**
 * The order: a decider over `OrderStatus`.
 *
 * Invariants (checked by properties and by the simulator):
 * 1. A status changes only along the table of `OrderStatus.machine`; terminal is terminal (G7).
 * 2. Lines are snapshots: name, quantity and unit price never change after the order was placed.
 * 3. `total` is the sum of the lines, in one currency.
 * 4. `history` has one entry per status ever entered, in order; the last one is `status`.
 * 5. `refunded` is only reached with money captured; `failed` with money captured is not the end.
 *
 * It is not the money ledger: that is the payment's (G3). `paid` only remembers that the pivot was passed.
 */
import { Result, Schema } from "effect";
import type { Decider } from "../Decider.ts";
import { NAME_MAX, ORDER_LINES_MAX } from "../Limits.ts";
import * as Money from "../Money.ts";
import * as StateMachine from "../StateMachine.ts";
import { Quantity, Sku } from "../stock/Sku.ts";
import { Timestamp } from "../Timestamp.ts";
import { CustomerId, OrderId } from "./OrderId.ts";
import { endOf, machine, OrderStatus, Reason } from "./OrderStatus.ts";

/** A line item: an immutable snapshot of what was bought. */
export const OrderLine = Schema.Struct({
  sku: Sku,
  name: Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(NAME_MAX)),
  quantity: Quantity,
  unitPrice: Money.Money,
});
export type OrderLine = typeof OrderLine.Type;

/** Until when may the buyer cancel: before checkout picks the order up, or until the pivot (undoing what was done). */
export const CancelPolicy = Schema.Literals(["createdOnly", "compensating"]);
export type CancelPolicy = typeof CancelPolicy.Type;

export const StatusChange = Schema.Struct({ status: OrderStatus, at: Timestamp, reason: Schema.NullOr(Reason) });
export type StatusChange = typeof StatusChange.Type;

export const Order = Schema.Struct({
  id: OrderId,
  customerId: CustomerId,
  lines: Schema.Array(OrderLine),
  total: Money.Money,
  /** The provider's token of the means of payment. Never a card number. */
  paymentMethod: Schema.String,
  cancelPolicy: CancelPolicy,
  status: OrderStatus,
  reason: Schema.NullOr(Reason),
  /** A cancel was accepted and its undoing is under way (`compensating` only). */
  cancelRequested: Schema.Boolean,
  /** The pivot was passed: money was captured for this order. */
  paid: Schema.Boolean,
  history: Schema.Array(StatusChange),
  /** Counts the events folded so far; the optimistic guard of stores. */
  version: Schema.Int,
});
export type Order = typeof Order.Type;

/** No order yet, or the order. */
export type State = Order | null;

export type Command =
  | {
      readonly _tag: "Place";
      readonly id: OrderId;
      readonly customerId: CustomerId;
      readonly lines: ReadonlyArray<OrderLine>;
      readonly paymentMethod: string;
      readonly cancelPolicy: CancelPolicy;
      readonly now: Timestamp;
    }
  /** Checkout picks the order up. Its race with a cancel is decided here. */
  | { readonly _tag: "StartCheckout"; readonly now: Timestamp }
  /** Balance sufficient, stock held, payment authorized. */
  | { readonly _tag: "CompleteCheckout"; readonly now: Timestamp }
  /** The provider confirmed the capture: the pivot. */
  | { readonly _tag: "ConfirmPayment"; readonly now: Timestamp }
  | { readonly _tag: "Finish"; readonly now: Timestamp }
  /** The saga gave up before the pivot and undid everything; after the pivot, before it undoes. */
  | { readonly _tag: "Close"; readonly reason: Reason; readonly now: Timestamp }
  /** The money is back. */
  | { readonly _tag: "Refund"; readonly now: Timestamp }
  /** A person asks to cancel. */
  | { readonly _tag: "Cancel"; readonly by: "user" | "operator"; readonly now: Timestamp };

export type Event =
  | {
      readonly _tag: "Placed";
      readonly id: OrderId;
      readonly customerId: CustomerId;
      readonly lines: ReadonlyArray<OrderLine>;
      readonly total: Money.Money;
      readonly paymentMethod: string;
      readonly cancelPolicy: CancelPolicy;
      readonly at: Timestamp;
    }
  | {
      readonly _tag: "StatusChanged";
      readonly id: OrderId;
      readonly from: OrderStatus;
      readonly to: OrderStatus;
      readonly reason: Reason | null;
      readonly at: Timestamp;
    }
  /** A cancel that has to undo: the saga answers it with `Close`. */
  | { readonly _tag: "CancelRequested"; readonly id: OrderId; readonly reason: Reason; readonly at: Timestamp };

/** Why a command was refused. A value that is stored with a request's idempotency key, hence a schema. */
export const RejectionSchema = Schema.Union([
  Schema.TaggedStruct("InvalidTransition", { machine: Schema.String, from: OrderStatus, to: OrderStatus }),
  Schema.TaggedStruct("OrderNotFound", {}),
  Schema.TaggedStruct("OrderExists", { id: OrderId }),
  Schema.TaggedStruct("EmptyOrder", {}),
  Schema.TaggedStruct("TooManyLines", { max: Schema.Int }),
  Schema.TaggedStruct("NothingCaptured", {}),
  Schema.TaggedStruct("TooLateToCancel", { status: OrderStatus, policy: CancelPolicy }),
  Schema.TaggedStruct("CurrencyMismatch", { left: Money.Currency, right: Money.Currency }),
]);
export type Rejection = typeof RejectionSchema.Type;

export const initial: State = null;

export const decide = (state: State, command: Command): Result.Result<ReadonlyArray<Event>, Rejection> => {
  if (command._tag === "Place") return place(state, command);
  if (state === null) return Result.fail({ _tag: "OrderNotFound" });
  switch (command._tag) {
    case "StartCheckout":
      return move(state, "pendingPayment", null, command.now);
    case "CompleteCheckout":
      return move(state, "awaitingPayment", null, command.now);
    case "ConfirmPayment":
      return move(state, "awaitingFulfillment", null, command.now);
    case "Finish":
      return move(state, "finished", null, command.now);
    case "Close":
      return move(state, state.paid ? "failed" : endOf(command.reason), command.reason, command.now);
    case "Refund":
      return state.paid ? move(state, "refunded", state.reason, command.now) : Result.fail({ _tag: "NothingCaptured" });
    case "Cancel":
      return cancel(state, command);
  }
};

export const evolve = (state: State, event: Event): State => {
  if (event._tag === "Placed") {
    return {
      id: event.id,
      customerId: event.customerId,
      lines: event.lines,
      total: event.total,
      paymentMethod: event.paymentMethod,
      cancelPolicy: event.cancelPolicy,
      status: machine.initial,
      reason: null,
      cancelRequested: false,
      paid: false,
      history: [{ status: machine.initial, at: event.at, reason: null }],
      version: 1,
    };
  }
  if (state === null) return null;
  switch (event._tag) {
    case "StatusChanged":
      return {
        ...state,
        status: event.to,
        reason: event.reason,
        paid: state.paid || event.to === "awaitingFulfillment",
        history: [...state.history, { status: event.to, at: event.at, reason: event.reason }],
        version: state.version + 1,
      };
    case "CancelRequested":
      return { ...state, cancelRequested: true, version: state.version + 1 };
  }
};

export const decider: Decider<State, Command, Event, Rejection> = { initial, decide, evolve };

export const isTerminal = (order: Order): boolean =>
  StateMachine.isTerminal(machine, order.status) || (order.status === "failed" && !order.paid);

export const isCanceled = (order: Order): boolean => order.status === "canceled";

const place = (state: State, command: Extract<Command, { readonly _tag: "Place" }>): Result.Result<ReadonlyArray<Event>, Rejection> => {
  if (state !== null) return Result.fail({ _tag: "OrderExists", id: command.id });
  const [first] = command.lines;
  if (first === undefined) return Result.fail({ _tag: "EmptyOrder" });
  if (command.lines.length > ORDER_LINES_MAX) return Result.fail({ _tag: "TooManyLines", max: ORDER_LINES_MAX });
  let total = Money.zero(first.unitPrice.currency);
  for (const line of command.lines) {
    const sum = Money.add(total, Money.times(line.unitPrice, line.quantity));
    if (Result.isFailure(sum)) return Result.fail(sum.failure);
    total = sum.success;
  }
  const { id, customerId, lines, paymentMethod, cancelPolicy, now } = command;
  return Result.succeed([{ _tag: "Placed", id, customerId, lines, total, paymentMethod, cancelPolicy, at: now }]);
};

const move = (order: Order, to: OrderStatus, reason: Reason | null, now: Timestamp): Result.Result<ReadonlyArray<Event>, Rejection> => {
  const guarded = StateMachine.guard(machine, order.status, to);
  if (Result.isFailure(guarded)) return Result.fail(guarded.failure);
  const last = order.history.at(-1);
  // A database clock may be behind another one's: a timeline never runs backwards.
  const at = last === undefined ? now : Math.max(now, last.at);
  return Result.succeed([{ _tag: "StatusChanged", id: order.id, from: order.status, to, reason, at }]);
};

const cancel = (order: Order, command: Extract<Command, { readonly _tag: "Cancel" }>): Result.Result<ReadonlyArray<Event>, Rejection> => {
  const reason: Reason = command.by === "user" ? "canceledByUser" : "canceledByOperator";
  if (order.status === "canceled" || order.cancelRequested) return Result.succeed([]);
  if (order.status === "created") return move(order, "canceled", reason, command.now);
  const open = order.status === "pendingPayment" || order.status === "awaitingPayment";
  if (open && (order.cancelPolicy === "compensating" || command.by === "operator")) {
    return Result.succeed([{ _tag: "CancelRequested", id: order.id, reason, at: command.now }]);
  }
  return Result.fail({ _tag: "TooLateToCancel", status: order.status, policy: order.cancelPolicy });
};
