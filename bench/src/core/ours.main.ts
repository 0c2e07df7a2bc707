/** The contender: `Order.decide` and `Order.evolve`, and `SagaDecider.transition`, as plain functions; and `DirectSaga` in memory. */
import {
  CustomerId,
  Decider,
  DirectSaga,
  MemoryDatabase,
  MemoryStores,
  type Message,
  Money,
  Order,
  OrderId,
  Quantity,
  SagaDecider,
  Sku,
} from "@org/saga-core";
import { Effect, Layer, Result } from "effect";
import * as Serve from "../Serve.ts";
import { order, STEPS } from "../saga/Workload.ts";
import * as Checkout from "../saga/Checkout.ts";
import * as Walks from "./Walks.ts";

/** The time of every command: the peer has no clock either. */
const NOW = 1_000;

const place: Order.Command = {
  _tag: "Place",
  id: OrderId.make(Walks.ORDER.id),
  customerId: CustomerId.make(Walks.ORDER.customerId),
  lines: Walks.ORDER.lines.map(({ name, sku, quantity, unitPrice: { amount, currency } }) => ({
    name,
    sku: Sku.make(sku),
    quantity: Quantity.make(quantity),
    unitPrice: { amount, currency: Money.Currency.make(currency) },
  })),
  paymentMethod: Walks.ORDER.paymentMethod,
  cancelPolicy: Walks.ORDER.cancelPolicy,
  now: NOW,
};

const commandOf = (move: Walks.Move): Order.Command => {
  switch (move.type) {
    case "Place":
      return place;
    case "Cancel":
      return { _tag: "Cancel", by: "user", now: NOW };
    case "Close":
      return { _tag: "Close", reason: move.reason, now: NOW };
    case "StartCheckout":
    case "CompleteCheckout":
    case "ConfirmPayment":
    case "Finish":
    case "Refund":
      return { _tag: move.type, now: NOW };
  }
};

const walks = Walks.WALKS.map((walk) => walk.map(commandOf));

const walk = (commands: ReadonlyArray<Order.Command>): Order.Order => {
  let state: Order.State = Order.initial;
  for (const command of commands) {
    const decided = Order.decide(state, command);
    if (Result.isFailure(decided)) throw new Error(decided.failure._tag);
    state = Decider.fold(Order.decider, decided.success, state);
  }
  if (state === null) throw new Error("no order");
  return state;
};

const replyTo = ({ key, stepKey, saga }: Message.Draft, { type, topic, body }: DirectSaga.Outcome): Message.Envelope => ({
  id: stepKey ?? key,
  type,
  topic,
  key,
  occurredAt: NOW,
  correlationId: key,
  causationId: null,
  stepKey,
  saga,
  traceparent: null,
  tracestate: null,
  body,
});

/** A saga with its steps in memory: what a decision asks for is done, and its reply is the next input. */
const runSaga = (id: string): SagaDecider.Status | null => {
  let [instance, sends] = SagaDecider.transition(Checkout.definition, null, { _tag: "Start", id, data: order(id), now: NOW });
  for (;;) {
    const asked = sends.find((send) => send._tag === "Message")?.draft;
    if (asked === undefined || instance === null) return instance?.status ?? null;
    const envelope = replyTo(asked, Checkout.perform(asked.type, asked.key));
    [instance, sends] = SagaDecider.transition(Checkout.definition, instance, { _tag: "Reply", envelope, now: NOW });
  }
};

const SAGAS_AT_ONCE = 50;

Serve.serve({
  transitions: async ({ millis = 0 }) => Walks.forAWhile(millis, () => walks.map(walk)),
  steps: async ({ millis = 0 }) => {
    const before = Checkout.ran();
    let [sagas, wrong] = [0, 0];
    const start = performance.now();
    while (performance.now() - start < millis) {
      for (let index = 0; index < SAGAS_AT_ONCE; index++) if (runSaga(`order-${sagas++}`) !== "completed") wrong += 1;
    }
    const seconds = (performance.now() - start) / 1_000;
    return { done: sagas * STEPS.length, seconds, wrong: wrong + Checkout.missing(before, sagas) };
  },
  direct: ({ millis = 0, inFlight = 1 }) => {
    const program = Effect.gen(function* () {
      const saga = yield* DirectSaga.make(Checkout.direct);
      const before = Checkout.ran();
      let [sagas, wrong] = [0, 0];
      const start = performance.now();
      const lane = Effect.gen(function* () {
        while (performance.now() - start < millis) {
          const id = `order-${sagas++}`;
          if ((yield* saga.run(id, order(id))) !== "completed") wrong += 1;
        }
      });
      yield* Effect.forEach(Array.from({ length: inFlight }), () => lane, { concurrency: "unbounded", discard: true });
      const seconds = (performance.now() - start) / 1_000;
      return { done: sagas * STEPS.length, seconds, wrong: wrong + Checkout.missing(before, sagas) };
    });
    // A database of its own a round: what the rounds before left is not carried along.
    return Effect.runPromise(Effect.scoped(Effect.provide(program, Layer.provide(MemoryStores.layer, MemoryDatabase.layer))));
  },
});
