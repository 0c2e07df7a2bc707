/**
 * What was told to the customer about an order: a decider. Each status is told once, however often it is heard of.
 */
import { Result, Schema } from "effect";
import { type Decider, OrderStatus, Timestamp } from "@org/saga-core";

export const Notice = Schema.Struct({
  status: OrderStatus.OrderStatus,
  reason: Schema.NullOr(OrderStatus.Reason),
  at: Timestamp,
});
export type Notice = typeof Notice.Type;

/** The notices of one order, in the order they were given. */
export const Notices = Schema.Array(Notice);
export type Notices = typeof Notices.Type;

export interface Command {
  readonly _tag: "Tell";
  readonly notice: Notice;
}

export interface Event {
  readonly _tag: "Told";
  readonly notice: Notice;
}

export const initial: Notices = [];

export const decider: Decider.Decider<Notices, Command, Event, never> = {
  initial,
  decide: (told, { notice }) => Result.succeed(told.some(({ status }) => status === notice.status) ? [] : [{ _tag: "Told", notice }]),
  evolve: (told, { notice }) => [...told, notice],
};
