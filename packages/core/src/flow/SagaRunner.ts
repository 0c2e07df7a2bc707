/**
 * Runs a saga and the order it coordinates as one aggregate: state change, saga step, messages and timers of a decision
 * are one commit. A request is answered by the order; a message or a timer moves the saga.
 */
import { Effect, Schema } from "effect";
import * as Checkout from "../domain/order/Checkout.ts";
import * as Order from "../domain/order/Order.ts";
import { OrderId } from "../domain/order/OrderId.ts";
import * as Row from "../domain/saga/choreography/Row.ts";
import * as Coordinator from "../domain/saga/Coordinator.ts";
import * as SagaDecider from "../domain/saga/SagaDecider.ts";
import * as SagaInstance from "../domain/saga/SagaInstance.ts";
import * as SagaRules from "../domain/saga/SagaRules.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { OrderStore } from "../ports/OrderStore.ts";
import { SagaStore } from "../ports/SagaStore.ts";
import type { Aggregate, Decision, Input } from "./Aggregate.ts";
import * as Batch from "./Batch.ts";
import * as CoordinatedOrder from "./CoordinatedOrder.ts";
import type { Answer, Command } from "./CoordinatedOrder.ts";

export type { Answer, Command, Repair } from "./CoordinatedOrder.ts";

/** An order, its checkout, and the revision the checkout was loaded with (0: never saved). */
export interface State {
  readonly order: Order.State;
  readonly saga: SagaDecider.Instance<Checkout.Data> | null;
  readonly revision: number;
}

export const initial: State = { order: null, saga: null, revision: 0 };

/** Pure: what an input does to an order and its checkout. */
export const decide = (definition: Checkout.Definition, state: State, input: Input<Command>, now: Timestamp): Decision<State, Answer> => {
  switch (input._tag) {
    case "Request":
      return CoordinatedOrder.request(sagaOf(definition), state, input.command(now), now);
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
    begins: CoordinatedOrder.begins,
    load: Effect.fnUntraced(function* (keys) {
      const orders = yield* OrderStore;
      const sagas = yield* SagaStore;
      const [found, instances] = yield* Effect.all([orders.load(keys.map((key) => OrderId.make(key))), sagas.load(definition.name, keys)], {
        concurrency: "unbounded",
      });
      const states = new Map<string, State>();
      for (const [id, order] of found) {
        const record = instances.get(id);
        if (record !== undefined && !known.has(record.version))
          return yield* Effect.die(Batch.leftAlone(record.saga, `the instance "${id}"`, record.version));
        if (Row.isStored(record?.state))
          return yield* Effect.die(new Batch.LeftAlone({ mailbox: definition.name, detail: `the instance "${id}" is choreographed` }));
        states.set(id, { order, saga: record === undefined ? null : decodeInstance(record.state), revision: record?.revision ?? 0 });
      }
      return states;
    }),
    save: Effect.fnUntraced(function* (changes) {
      const orders = yield* OrderStore;
      const sagas = yield* SagaStore;
      const records = changes.flatMap(({ key, before, after }) => {
        if (after.saga === null || after.saga === before.saga) return [];
        const { saga, version, status } = after.saga;
        return [{ saga, version, id: key, status, revision: before.revision + 1, state: after.saga }];
      });
      yield* Effect.all([orders.save(CoordinatedOrder.ordersOf(changes)), sagas.save(records)], {
        concurrency: "unbounded",
        discard: true,
      });
    }),
    decide: (state, input, now) => decide(definitionOf(state), state, input, now),
    ...CoordinatedOrder.answers,
  };
};

const coordination: (
  definition: Checkout.Definition,
) => Coordinator.Coordination<Checkout.Data, Checkout.LocalCommand, Order.State, Order.Command, Order.Event, Order.Rejection> = (
  definition,
) => ({
  definition,
  decider: Order.decider,
  command: Checkout.orderCommand,
});

const sagaOf = (definition: Checkout.Definition): CoordinatedOrder.Saga<State> => ({
  mayCancel: ({ saga }) => saga !== null && SagaDecider.canCancel(definition, saga),
  drive: (state, input) => drive(definition, state, input),
});

const drive = (definition: Checkout.Definition, state: State, input: SagaDecider.Input<Checkout.Data>): Decision<State, Answer> => {
  const before = { saga: state.saga, aggregate: state.order };
  const driven = Coordinator.drive(coordination(definition), before, input);
  const same = driven.state.saga === state.saga && driven.state.aggregate === state.order;
  return {
    state: same ? state : { ...state, order: driven.state.aggregate, saga: driven.state.saga },
    drafts: [...driven.events.flatMap(CoordinatedOrder.announce), ...driven.drafts],
    timers: driven.timers,
    answer: null,
  };
};

/** The stored form of an instance. */
export const Instance = SagaInstance.schemaOf(Checkout.Data);

const decodeInstance = Schema.decodeUnknownSync(Schema.toCodecJson(Instance));
