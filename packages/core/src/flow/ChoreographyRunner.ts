/**
 * The home of a choreographed checkout: the order and its row of the saga as one aggregate. What `SagaRunner` is to a
 * coordinator, with the same requests and answers.
 *
 * One difference can be seen: a cancel that has to undo is accepted as a request. Whether it came before the payment was asked
 * for is the arbiter's to say, and the order's next status tells.
 */
import { Effect } from "effect";
import * as Checkout from "../domain/order/Checkout.ts";
import * as Order from "../domain/order/Order.ts";
import { OrderId } from "../domain/order/OrderId.ts";
import type { Projection } from "../domain/saga/choreography/Choreography.ts";
import * as Reactions from "../domain/saga/choreography/Reactions.ts";
import * as Coordinator from "../domain/saga/Coordinator.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { OrderStore } from "../ports/OrderStore.ts";
import type { SagaStore } from "../ports/SagaStore.ts";
import { type Aggregate, type Decision, type Input, keyOf } from "./Aggregate.ts";
import * as ChoreographyRows from "./ChoreographyRows.ts";
import * as ChoreographyService from "./ChoreographyService.ts";
import * as CoordinatedOrder from "./CoordinatedOrder.ts";

/** An order, and its row. */
export interface State extends ChoreographyRows.Kept<Checkout.Data> {
  readonly order: Order.State;
}

export type Home = Projection<Checkout.Data, Checkout.LocalCommand>;

const initial: State = { ...ChoreographyRows.NOTHING, order: null };

/** Orders and their rows behind the ports. A checkout ends in the version it began in, if that is `home` or one of `older`; else it is left alone. */
export const make = (
  home: Home,
  older: ReadonlyArray<Home> = [],
): Aggregate<State, CoordinatedOrder.Command, CoordinatedOrder.Answer, OrderStore | SagaStore> => {
  const rows = ChoreographyRows.make(home, older);
  return {
    name: home.definition.name,
    initial,
    begins: CoordinatedOrder.begins,
    load: Effect.fnUntraced(function* (keys) {
      const orders = yield* OrderStore;
      const [found, kept] = yield* Effect.all([orders.load(keys.map((key) => OrderId.make(key))), rows.load(keys)], {
        concurrency: "unbounded",
      });
      return new Map([...found].map(([id, order]) => [id, { ...(kept.get(id) ?? ChoreographyRows.NOTHING), order }]));
    }),
    save: Effect.fnUntraced(function* (changes) {
      const orders = yield* OrderStore;
      yield* Effect.all([orders.save(CoordinatedOrder.ordersOf(changes)), rows.save(changes)], { concurrency: "unbounded", discard: true });
    }),
    decide: (state, input, now) => decide(rows.projectionFor(state, input), state, input, now),
    ...CoordinatedOrder.answers,
  };
};

/** Pure: what an input does to an order and its row. */
export const decide = (
  home: Home,
  state: State,
  input: Input<CoordinatedOrder.Command>,
  now: Timestamp,
): Decision<State, CoordinatedOrder.Answer> => {
  if (input._tag !== "Request") return drive(home, state, keyOf(input), ChoreographyService.inputOf(input, now));
  const saga: CoordinatedOrder.Saga<State> = {
    mayCancel: ({ row }) => row !== null && Reactions.mayCancel(row),
    drive: (before, next) => drive(home, before, input.key, next),
  };
  return CoordinatedOrder.request(saga, state, input.command(now), now);
};

const drive = (home: Home, state: State, id: string, input: Reactions.Input<Checkout.Data>): Decision<State, CoordinatedOrder.Answer> => {
  const beside = { decider: Order.decider, command: Checkout.orderCommand };
  const react = (row: Reactions.Row<Checkout.Data> | null, next: Reactions.Input<Checkout.Data>) => Reactions.react(home, row, id, next);
  const { state: after, events, drafts, timers } = Coordinator.driveBy(react, beside, { saga: state.row, aggregate: state.order }, input);
  const isSame = after.saga === state.row && after.aggregate === state.order;
  return {
    state: isSame ? state : { ...state, order: after.aggregate, row: after.saga, version: home.definition.version },
    drafts: [...events.flatMap(CoordinatedOrder.announce), ...drafts],
    timers,
    answer: null,
  };
};
