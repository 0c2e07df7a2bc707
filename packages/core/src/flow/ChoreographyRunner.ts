/**
 * The home of a choreographed checkout: the order and its row of the saga as one aggregate. What `SagaRunner` is to a
 * coordinator, with the same requests and answers.
 *
 * One difference can be seen: a cancel that has to undo is accepted as a request. Whether it came before the payment was asked
 * for is the arbiter's to say, and the order's next status tells.
 */
import { Effect, Result } from "effect";
import { fold } from "../domain/Decider.ts";
import * as Checkout from "../domain/order/Checkout.ts";
import * as Order from "../domain/order/Order.ts";
import { OrderId } from "../domain/order/OrderId.ts";
import type { Projection } from "../domain/saga/choreography/Choreography.ts";
import * as Reactions from "../domain/saga/choreography/Reactions.ts";
import * as Coordinator from "../domain/saga/Coordinator.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { OrderStore } from "../ports/OrderStore.ts";
import type { SagaStore } from "../ports/SagaStore.ts";
import type { Aggregate, Decision, Input } from "./Aggregate.ts";
import * as ChoreographyRows from "./ChoreographyRows.ts";
import * as ChoreographyService from "./ChoreographyService.ts";
import * as SagaRunner from "./SagaRunner.ts";

/** An order, and its row. */
export interface State extends ChoreographyRows.Kept<Checkout.Data> {
  readonly order: Order.State;
}

export type Home = Projection<Checkout.Data, Checkout.LocalCommand>;

const initial: State = { ...ChoreographyRows.NOTHING, order: null };

/** Orders and their rows behind the ports. */
export const make = (home: Home): Aggregate<State, SagaRunner.Command, SagaRunner.Answer, OrderStore | SagaStore> => {
  const rows = ChoreographyRows.make(home);
  const { encodeAnswer, decodeAnswer } = SagaRunner.make(home.whole);
  return {
    name: home.definition.name,
    initial,
    begins: (input) => input._tag === "Request" && input.command(0)._tag === "Place",
    load: Effect.fnUntraced(function* (keys) {
      const orders = yield* OrderStore;
      const [found, kept] = yield* Effect.all([orders.load(keys.map((key) => OrderId.make(key))), rows.load(keys)], {
        concurrency: "unbounded",
      });
      return new Map([...found].map(([id, order]) => [id, { ...(kept.get(id) ?? ChoreographyRows.NOTHING), order }]));
    }),
    save: Effect.fnUntraced(function* (changes) {
      const orders = yield* OrderStore;
      const changed = changes.flatMap(({ before, after }) =>
        after.order === null || after.order === before.order ? [] : [{ before: before.order, after: after.order }],
      );
      yield* Effect.all([orders.save(changed), rows.save(changes)], { concurrency: "unbounded", discard: true });
    }),
    decide: (state, input, now) => decide(home, state, input, now),
    encodeAnswer,
    decodeAnswer,
  };
};

/** Pure: what an input does to an order and its row. */
export const decide = (home: Home, state: State, input: Input<SagaRunner.Command>, now: Timestamp): Decision<State, SagaRunner.Answer> => {
  if (input._tag !== "Request") {
    if (input._tag === "Message") ChoreographyRows.expectKnown(home, input.envelope);
    return drive(home, state, input._tag === "Message" ? input.envelope.key : input.timer.key, ChoreographyService.inputOf(input, now));
  }
  const command = input.command(now);
  if (command._tag !== "Resume" && command._tag !== "Resolve") return request(home, state, command, now);
  const driven = drive(home, state, input.key, command);
  const { order } = driven.state;
  return order === null ? refuse(state, { _tag: "OrderNotFound" }) : { ...driven, answer: Result.succeed(order) };
};

type OrderRequest = Extract<Order.Command, { readonly _tag: "Place" | "Cancel" }>;

const request = (home: Home, state: State, command: OrderRequest, now: Timestamp): Decision<State, SagaRunner.Answer> => {
  const decided = Order.decide(state.order, command);
  if (Result.isFailure(decided)) return refuse(state, decided.failure);
  const order = fold(Order.decider, decided.success, state.order);
  const [event] = decided.success;
  if (order === null) return refuse(state, { _tag: "OrderNotFound" });
  if (event?._tag === "CancelRequested" && (state.row === null || !Reactions.mayCancel(state.row))) {
    return refuse(state, { _tag: "TooLateToCancel", status: order.status, policy: order.cancelPolicy });
  }
  const own = decided.success.flatMap(SagaRunner.announce);
  const next = event === undefined ? null : followUp(event, now);
  const after: State = event === undefined ? state : { ...state, order };
  if (next === null) return { state: after, drafts: own, timers: [], answer: Result.succeed(order) };
  const driven = drive(home, after, order.id, next);
  return { ...driven, drafts: [...own, ...driven.drafts], answer: Result.succeed(driven.state.order ?? order) };
};

/** What the saga hears of what a request did. */
const followUp = (event: Order.Event, now: Timestamp): Reactions.Input<Checkout.Data> | null => {
  switch (event._tag) {
    case "Placed":
      return { _tag: "Start", id: event.id, data: Checkout.dataOf(event), now };
    case "StatusChanged":
      return null;
    case "CancelRequested":
      return { _tag: "Cancel", by: event.reason === "canceledByUser" ? "user" : "operator", now };
  }
};

const refuse = (state: State, rejection: Order.Rejection): Decision<State, SagaRunner.Answer> => ({
  state,
  drafts: [],
  timers: [],
  answer: Result.fail(rejection),
});

const drive = (home: Home, state: State, id: string, input: Reactions.Input<Checkout.Data>): Decision<State, SagaRunner.Answer> => {
  const beside = { decider: Order.decider, command: Checkout.orderCommand };
  const react = (row: Reactions.Row<Checkout.Data> | null, next: Reactions.Input<Checkout.Data>) => Reactions.react(home, row, id, next);
  const { state: after, events, drafts, timers } = Coordinator.driveBy(react, beside, { saga: state.row, aggregate: state.order }, input);
  const isSame = after.saga === state.row && after.aggregate === state.order;
  return {
    state: isSame ? state : { ...state, order: after.aggregate, row: after.saga },
    drafts: [...events.flatMap(SagaRunner.announce), ...drafts],
    timers,
    answer: null,
  };
};
