/**
 * The shipment of an order: a decider. Accepted once, worked on for a while, then it succeeds or fails for good.
 *
 * ```
 * none → working → succeeded
 *           └────▶ failed
 * ```
 * Invariants: a status changes only along `machine`; a repeated command is answered as the first one was, and starts nothing.
 */
import { Result, Schema } from "effect";
import { type Decider, type OrderId, type Sku, StateMachine, StockLine, type Timestamp } from "@org/saga-core";

export const Status = Schema.Literals(["none", "working", "succeeded", "failed"]);
export type Status = typeof Status.Type;

export const machine: StateMachine.StateMachine<Status> = StateMachine.make("shipment", "none", {
  none: ["working"],
  working: ["succeeded", "failed"],
  succeeded: [],
  failed: [],
});

/** The step that is answered, as its command named it. */
export const ReplyTo = Schema.Struct({ stepKey: Schema.NullOr(Schema.String), saga: Schema.NullOr(Schema.String) });
export type ReplyTo = typeof ReplyTo.Type;

export const Shipment = Schema.Struct({
  status: Status,
  lines: Schema.Array(StockLine),
  to: Schema.NullOr(ReplyTo),
});
export type Shipment = typeof Shipment.Type;

export type Command = { readonly orderId: OrderId; readonly now: Timestamp } & (
  | { readonly _tag: "Fulfill"; readonly lines: ReadonlyArray<StockLine>; readonly to: ReplyTo }
  /** The work is over. */
  | { readonly _tag: "Complete" }
);

export type Event = { readonly orderId: OrderId } & (
  | { readonly _tag: "Started"; readonly lines: ReadonlyArray<StockLine>; readonly to: ReplyTo; readonly dueAt: Timestamp }
  | { readonly _tag: "Succeeded" }
  | { readonly _tag: "Failed" }
  /** A repeated command, after the end. */
  | { readonly _tag: "Answered"; readonly to: ReplyTo }
);

/** Nothing is rejected: whoever asks gets an answer. */
export type Rejection = never;

export interface Policy {
  /** How long the work takes, in milliseconds. */
  readonly workMillis: number;
  /** Goods that cannot be shipped: their orders fail. */
  readonly unshippable: (sku: Sku) => boolean;
}

/** A stand-in for a warehouse: fast, and one SKU to show the failure with. */
export const defaults: Policy = { workMillis: 100, unshippable: (sku) => sku === "unshippable" };

export const initial: Shipment = { status: "none", lines: [], to: null };

export const make = (policy: Policy = defaults): Decider.Decider<Shipment, Command, Event, Rejection> => ({
  initial,
  decide: (state, command) => Result.succeed(decide(policy, state, command)),
  evolve,
});

const decide = (policy: Policy, state: Shipment, command: Command): ReadonlyArray<Event> => {
  const { orderId } = command;
  if (command._tag === "Complete") {
    if (state.status !== "working") return [];
    return [{ _tag: state.lines.some(({ sku }) => policy.unshippable(sku)) ? "Failed" : "Succeeded", orderId }];
  }
  switch (state.status) {
    case "none":
      return [{ _tag: "Started", orderId, lines: command.lines, to: command.to, dueAt: command.now + policy.workMillis }];
    case "working":
      return [];
    case "succeeded":
    case "failed":
      return [{ _tag: "Answered", orderId, to: command.to }];
  }
};

const evolve = (state: Shipment, event: Event): Shipment => {
  switch (event._tag) {
    case "Started":
      return { status: "working", lines: event.lines, to: event.to };
    case "Succeeded":
      return { ...state, status: "succeeded" };
    case "Failed":
      return { ...state, status: "failed" };
    case "Answered":
      return state;
  }
};
