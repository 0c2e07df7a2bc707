/**
 * Runs a saga and the order it coordinates as one aggregate: state change, saga step, messages and timers of a decision
 * are one commit. A request is answered by the order; a message or a timer moves the saga.
 */
import { Effect, Result, Schema } from "effect";
import { fold } from "../domain/Decider.ts";
import type * as Message from "../domain/Message.ts";
import * as Checkout from "../domain/order/Checkout.ts";
import { OrderCreated, OrderStatusChanged } from "../domain/order/CheckoutMessages.ts";
import * as Order from "../domain/order/Order.ts";
import { OrderId } from "../domain/order/OrderId.ts";
import * as Coordinator from "../domain/saga/Coordinator.ts";
import * as SagaDecider from "../domain/saga/SagaDecider.ts";
import * as SagaInstance from "../domain/saga/SagaInstance.ts";
import * as SagaRules from "../domain/saga/SagaRules.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { OrderStore } from "../ports/OrderStore.ts";
import { type SagaRecord, SagaStore } from "../ports/SagaStore.ts";
import type { Aggregate, Decision, Input } from "./Aggregate.ts";
import * as Batch from "./Batch.ts";

/** An order, its checkout, and the revision the checkout was loaded with (0: never saved). */
export interface State {
  readonly order: Order.State;
  readonly saga: SagaDecider.Instance<Checkout.Data> | null;
  readonly revision: number;
}

/**
 * What a person does about an undo that was refused for good (G8): `Resume` asks again for what is left, `Resolve` takes
 * their word that it was done by hand. Elsewhere it changes nothing. Who and why is kept in the instance.
 */
export type Repair = Extract<SagaDecider.Input<unknown>, { readonly _tag: "Resume" | "Resolve" }>;

/** A command of a person or a program; the coordinator stamps its time. */
export type Command = (now: Timestamp) => Extract<Order.Command, { readonly _tag: "Place" | "Cancel" }> | Repair;

/** The order after the request, or why it was refused. Messages and timers are answered with null. */
export type Answer = Result.Result<Order.Order, Order.Rejection> | null;

export const initial: State = { order: null, saga: null, revision: 0 };

/** Pure: what an input does to an order and its checkout. */
export const decide = (definition: Checkout.Definition, state: State, input: Input<Command>, now: Timestamp): Decision<State, Answer> => {
  switch (input._tag) {
    case "Request": {
      const command = input.command(now);
      return command._tag === "Resume" || command._tag === "Resolve"
        ? repair(definition, state, command)
        : request(definition, state, command, now);
    }
    case "Message":
      SagaInstance.expectKnown(definition, state.saga, input.envelope);
      return drive(definition, state, { _tag: "Reply", envelope: input.envelope, now });
    case "Timer":
      return drive(definition, state, { _tag: "Timer", name: input.timer.name, token: input.timer.token, now });
  }
};

/**
 * Orders and their checkouts behind the ports. A checkout goes on in the version it began with, if that is `definition` or one of
 * `older`; otherwise it is left alone.
 */
export const make = (
  definition: Checkout.Definition,
  older: ReadonlyArray<Checkout.Definition> = [],
): Aggregate<State, Command, Answer, OrderStore | SagaStore> => {
  for (const each of [...older, definition]) SagaRules.expectWhole(each);
  const known = new Map([...older, definition].map((each) => [each.version, each]));
  const definitionOf = ({ saga }: State): Checkout.Definition => (saga === null ? definition : (known.get(saga.version) ?? definition));
  return {
    name: definition.name,
    initial,
    begins: (input) => input._tag === "Request" && input.command(0)._tag === "Place",
    load: Effect.fnUntraced(function* (keys) {
      const orders = yield* OrderStore;
      const sagas = yield* SagaStore;
      const [found, instances] = yield* Effect.all([orders.load(keys.map((key) => OrderId.make(key))), sagas.load(definition.name, keys)], {
        concurrency: "unbounded",
      });
      const states = new Map<string, State>();
      for (const [id, order] of found) {
        const record = instances.get(id);
        if (record !== undefined && !known.has(record.version)) return yield* Effect.die(leftAlone(record));
        states.set(id, { order, saga: record === undefined ? null : decodeInstance(record.state), revision: record?.revision ?? 0 });
      }
      return states;
    }),
    save: Effect.fnUntraced(function* (changes) {
      const orders = yield* OrderStore;
      const sagas = yield* SagaStore;
      const changed = changes.flatMap(({ before, after }) =>
        after.order === null || after.order === before.order ? [] : [{ before: before.order, after: after.order }],
      );
      const records = changes.flatMap(({ key, before, after }) => {
        if (after.saga === null || after.saga === before.saga) return [];
        const { saga, version, status } = after.saga;
        return [{ saga, version, id: key, status, revision: before.revision + 1, state: after.saga }];
      });
      yield* Effect.all([orders.save(changed), sagas.save(records)], { concurrency: "unbounded", discard: true });
    }),
    decide: (state, input, now) => decide(definitionOf(state), state, input, now),
    // Orders and instances are JSON values as they are; encoding them by their schemas took a quarter of the flow's time (measured).
    encodeAnswer: (answer) =>
      answer !== null && Result.isSuccess(answer) ? { order: answer.success } : { rejection: answer?.failure ?? null },
    decodeAnswer: (json) => {
      const { order, rejection } = decodeRecorded(json);
      if (order !== undefined) return Result.succeed(order);
      return rejection === undefined || rejection === null ? null : Result.fail(rejection);
    },
  };
};

const leftAlone = ({ saga, version, id }: SagaRecord): Batch.LeftAlone =>
  new Batch.LeftAlone({ mailbox: saga, detail: `the instance "${id}" is of version ${version}, which is not known here` });

const coordination: (
  definition: Checkout.Definition,
) => Coordinator.Coordination<Checkout.Data, Checkout.LocalCommand, Order.State, Order.Command, Order.Event, Order.Rejection> = (
  definition,
) => ({
  definition,
  decider: Order.decider,
  command: Checkout.orderCommand,
});

const request = (
  definition: Checkout.Definition,
  state: State,
  command: Extract<Order.Command, { readonly _tag: "Place" | "Cancel" }>,
  now: Timestamp,
): Decision<State, Answer> => {
  const decided = Order.decide(state.order, command);
  if (Result.isFailure(decided)) return refuse(state, decided.failure);
  const [event] = decided.success;
  const order = fold(Order.decider, decided.success, state.order);
  if (order === null) return refuse(state, { _tag: "OrderNotFound" });
  if (event === undefined) return { state, drafts: [], timers: [], answer: Result.succeed(order) };
  const own = decided.success.flatMap(announce);
  const follow = (input: SagaDecider.Input<Checkout.Data> | null): Decision<State, Answer> => {
    if (input === null) return { state: { ...state, order }, drafts: own, timers: [], answer: Result.succeed(order) };
    const driven = drive(definition, { ...state, order }, input);
    return { ...driven, drafts: [...own, ...driven.drafts], answer: Result.succeed(driven.state.order ?? order) };
  };
  switch (event._tag) {
    case "Placed":
      return follow({ _tag: "Start", id: order.id, data: Checkout.dataOf(event), now });
    case "StatusChanged":
      return follow(null);
    case "CancelRequested": {
      const open = state.saga !== null && SagaDecider.canCancel(definition, state.saga);
      if (!open) return refuse(state, { _tag: "TooLateToCancel", status: order.status, policy: order.cancelPolicy });
      return follow({ _tag: "Cancel", by: event.reason === "canceledByUser" ? "user" : "operator", now });
    }
  }
};

const repair = (definition: Checkout.Definition, state: State, command: Repair): Decision<State, Answer> => {
  const driven = drive(definition, state, command);
  const { order } = driven.state;
  return order === null ? refuse(state, { _tag: "OrderNotFound" }) : { ...driven, answer: Result.succeed(order) };
};

const refuse = (state: State, rejection: Order.Rejection): Decision<State, Answer> => ({
  state,
  drafts: [],
  timers: [],
  answer: Result.fail(rejection),
});

const drive = (definition: Checkout.Definition, state: State, input: SagaDecider.Input<Checkout.Data>): Decision<State, Answer> => {
  const before = { saga: state.saga, aggregate: state.order };
  const driven = Coordinator.drive(coordination(definition), before, input);
  const same = driven.state.saga === state.saga && driven.state.aggregate === state.order;
  return {
    state: same ? state : { ...state, order: driven.state.aggregate, saga: driven.state.saga },
    drafts: [...driven.events.flatMap(announce), ...driven.drafts],
    timers: driven.timers,
    answer: null,
  };
};

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

/** The stored form of an instance. */
export const Instance = SagaInstance.schemaOf(Checkout.Data);

const decodeInstance = Schema.decodeUnknownSync(Schema.toCodecJson(Instance));

const Recorded = Schema.Struct({
  order: Schema.optionalKey(Order.Order),
  rejection: Schema.optionalKey(Schema.NullOr(Order.RejectionSchema)),
});
const decodeRecorded = Schema.decodeUnknownSync(Schema.toCodecJson(Recorded));
