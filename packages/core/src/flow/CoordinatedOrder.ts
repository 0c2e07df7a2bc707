/**
 * An order beside its saga: what requests do to both, and what the world hears, whichever way the saga is run (`SagaRunner`,
 * `ChoreographyRunner`).
 */
import { Result, Schema } from "effect";
import { fold } from "../domain/Decider.ts";
import type * as Message from "../domain/Message.ts";
import * as Checkout from "../domain/order/Checkout.ts";
import { OrderCreated, OrderStatusChanged } from "../domain/order/CheckoutMessages.ts";
import * as Order from "../domain/order/Order.ts";
import type * as SagaDecider from "../domain/saga/SagaDecider.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import type { OrderChange } from "../ports/OrderStore.ts";
import type { Change, Decision, Input, Stored } from "./Aggregate.ts";

/**
 * What a person does about an undo that was refused for good (G8): `Resume` asks again for what is left, `Resolve` takes
 * their word that it was done by hand. Elsewhere it changes nothing. Who and why is kept in the instance.
 */
export type Repair = Extract<SagaDecider.Input<unknown>, { readonly _tag: "Resume" | "Resolve" }>;

type OrderCommand = Extract<Order.Command, { readonly _tag: "Place" | "Cancel" }>;

/** A command of a person or a program; the coordinator stamps its time. */
export type Command = (now: Timestamp) => OrderCommand | Repair;

/** The order after the request, or why it was refused. Messages and timers are answered with null. */
export type Answer = Result.Result<Order.Order, Order.Rejection> | null;

interface WithOrder {
  readonly order: Order.State;
}

/** What a saga hears of requests. */
type Told = Extract<SagaDecider.Input<Checkout.Data>, { readonly _tag: "Start" | "Cancel" | "Resume" | "Resolve" }>;

/** The saga of the state. */
export interface Saga<S> {
  /** May a cancel still undo everything? */
  readonly mayCancel: (state: S) => boolean;
  readonly drive: (state: S, input: Told) => Decision<S, Answer>;
}

export const begins = (input: Input<Command>): boolean => input._tag === "Request" && input.command(0)._tag === "Place";

/** Pure: what a request does to an order and its saga. */
export const request = <S extends WithOrder>(
  saga: Saga<S>,
  state: S,
  command: ReturnType<Command>,
  now: Timestamp,
): Decision<S, Answer> => {
  if (command._tag === "Resume" || command._tag === "Resolve") {
    const driven = saga.drive(state, command);
    const { order } = driven.state;
    return order === null ? refuse(state, { _tag: "OrderNotFound" }) : { ...driven, answer: Result.succeed(order) };
  }
  const decided = Order.decide(state.order, command);
  if (Result.isFailure(decided)) return refuse(state, decided.failure);
  const [event] = decided.success;
  const order = fold(Order.decider, decided.success, state.order);
  if (order === null) return refuse(state, { _tag: "OrderNotFound" });
  if (event === undefined) return { state, drafts: [], timers: [], answer: Result.succeed(order) };
  if (event._tag === "CancelRequested" && !saga.mayCancel(state)) {
    return refuse(state, { _tag: "TooLateToCancel", status: order.status, policy: order.cancelPolicy });
  }
  const own = decided.success.flatMap(announce);
  const told = toldOf(event, now);
  if (told === null) return { state: { ...state, order }, drafts: own, timers: [], answer: Result.succeed(order) };
  const driven = saga.drive({ ...state, order }, told);
  return { ...driven, drafts: [...own, ...driven.drafts], answer: Result.succeed(driven.state.order ?? order) };
};

const toldOf = (event: Order.Event, now: Timestamp): Told | null => {
  switch (event._tag) {
    case "Placed":
      return { _tag: "Start", id: event.id, data: Checkout.dataOf(event), now };
    case "StatusChanged":
      return null;
    case "CancelRequested":
      return { _tag: "Cancel", by: event.reason === "canceledByUser" ? "user" : "operator", now };
  }
};

const refuse = <S>(state: S, rejection: Order.Rejection): Decision<S, Answer> => ({
  state,
  drafts: [],
  timers: [],
  answer: Result.fail(rejection),
});

/** What the world hears of an order's event. */
export const announce = (event: Order.Event): ReadonlyArray<Message.Draft> => {
  switch (event._tag) {
    case "Placed": {
      const { id, customerId, lines, total, at } = event;
      return [OrderCreated.draft({ orderId: id, customerId, lines, total, at })];
    }
    case "StatusChanged": {
      const { id, from, to, reason, at } = event;
      return [OrderStatusChanged.draft({ orderId: id, from, to, reason, at })];
    }
    case "CancelRequested":
      return [];
  }
};

/** The orders among what changed. */
export const ordersOf = (changes: ReadonlyArray<Change<WithOrder>>): ReadonlyArray<OrderChange> =>
  changes.flatMap(({ before, after }) =>
    after.order === null || after.order === before.order ? [] : [{ before: before.order, after: after.order }],
  );

/** Orders are JSON values as they are; encoding them by their schemas took a quarter of the flow's time (measured). */
export const answers: Pick<Stored<WithOrder, Answer>, "encodeAnswer" | "decodeAnswer"> = {
  encodeAnswer: (answer) =>
    answer !== null && Result.isSuccess(answer) ? { order: answer.success } : { rejection: answer?.failure ?? null },
  decodeAnswer: (json) => {
    const { order, rejection } = decodeRecorded(json);
    if (order !== undefined) return Result.succeed(order);
    return rejection === undefined || rejection === null ? null : Result.fail(rejection);
  },
};

const Recorded = Schema.Struct({
  order: Schema.optionalKey(Order.Order),
  rejection: Schema.optionalKey(Schema.NullOr(Order.RejectionSchema)),
});
const decodeRecorded = Schema.decodeUnknownSync(Schema.toCodecJson(Recorded));
