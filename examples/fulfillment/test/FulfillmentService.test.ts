import { Effect, Layer } from "effect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CheckoutMessages as M, type Message, OrderId, Quantity, Sku, StateMachine } from "@org/saga-core";
import { Conversation, Simulator } from "@org/saga-core/testing";
import { FulfillmentService, Shipment } from "@example/fulfillment";

const service = FulfillmentService.roles(["relay", "consumer", "worker"]).pipe(Layer.provide(FulfillmentService.layer({ workMillis: 50 })));

const hold = <A, E>(script: (talk: Conversation.Talk) => Effect.Effect<A, E, Conversation.Ports>, faults?: Simulator.Faults, seed = 1): A =>
  Conversation.hold({ service, catalogue: M.catalogue, seed, ...(faults === undefined ? {} : { faults }) }, script);

const fulfill = (id: string, sku = "mug", attempt = 1): Message.Draft =>
  M.FulfillOrder.draft(
    { orderId: OrderId.make(id), lines: [{ sku: Sku.make(sku), quantity: Quantity.make(1) }] },
    { stepKey: `${id}:fulfill:${attempt}`, saga: "checkout@1" },
  );

const said = (heard: ReadonlyArray<Message.Envelope>) => heard.map(({ type, key, stepKey, saga }) => [type, key, stepKey, saga]);

/** Schedules of crashes that a test tries, and how long it may take for that on a busy machine, in milliseconds. */
const SEEDS = 8;
const CRASHES_MS = 60_000;

describe("the fulfillment service", () => {
  it("works on an order, then says that it is fulfilled, under the key it was asked with", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* talk.tell(fulfill("order-1"));
        yield* talk.wait(40);
        expect(talk.heard()).toEqual([]);
        yield* talk.wait(2_000);
        expect(said(talk.heard())).toEqual([["fulfillment.succeeded.v1", "order-1", "order-1:fulfill:1", "checkout@1"]]);
      }),
    );
  });

  it("fails an order with goods that cannot be shipped", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* talk.tell(fulfill("order-1", "unshippable"));
        yield* talk.wait(2_000);
        expect(said(talk.heard())).toEqual([["fulfillment.failed.v1", "order-1", "order-1:fulfill:1", "checkout@1"]]);
      }),
    );
  });

  it("starts nothing for a duplicate, and answers a repeated command once more, the same", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        const first = yield* talk.tell(fulfill("order-1"), fulfill("order-1"));
        yield* talk.repeat(first);
        yield* talk.wait(2_000);
        expect(talk.heard()).toHaveLength(1);
        yield* talk.tell(fulfill("order-1", "unshippable"));
        yield* talk.repeat(first);
        yield* talk.wait(2_000);
        expect(talk.heard().map(({ type }) => type)).toEqual(["fulfillment.succeeded.v1", "fulfillment.succeeded.v1"]);
        expect(new Set(talk.heard().map(({ id }) => id)).size).toBe(2);
      }),
    );
  });

  it("skips what it does not know its way with", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* talk.tell(M.FulfillmentSucceeded.draft({ orderId: OrderId.make("order-1") }));
        yield* talk.wait(2_000);
        expect(talk.heard()).toEqual([]);
      }),
    );
  });

  it(
    "loses nothing and repeats nothing when its process dies again and again",
    () => {
      const faults: Simulator.Faults = {
        crash: 0.02,
        delay: 0.05,
        delayMaxMillis: 50,
        downMaxMillis: 500,
        until: 1_767_225_600_000 + 20_000,
      };
      for (let seed = 1; seed <= SEEDS; seed++) {
        hold(
          Effect.fnUntraced(function* (talk) {
            const orders = Array.from({ length: 10 }, (_, index) => `order-${index}`);
            yield* talk.tell(...orders.map((id) => fulfill(id, id === "order-3" ? "unshippable" : "mug")));
            yield* talk.wait(120_000);
            const heard = talk.heard();
            const byId = new Map(heard.map((message) => [message.id, message]));
            expect([...byId.values()].map(({ key }) => key).toSorted()).toEqual(orders);
            expect([...byId.values()].filter(({ type }) => type === "fulfillment.failed.v1").map(({ key }) => key)).toEqual(["order-3"]);
          }),
          faults,
          seed,
        );
      }
    },
    CRASHES_MS,
  );
});

describe("a shipment", () => {
  const orderId = OrderId.make("order-1");
  const to: Shipment.ReplyTo = { stepKey: "k", saga: null };
  const decider = Shipment.make();
  const command = fc.oneof(
    fc.record({
      _tag: fc.constant("Fulfill" as const),
      sku: fc.constantFrom("mug", "unshippable"),
    }),
    fc.constant({ _tag: "Complete" as const }),
  );

  it("moves only along its table, and ends once", () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 20, size: "max" }), (commands) => {
        let state = decider.initial;
        let ends = 0;
        for (const [now, each] of commands.entries()) {
          const decided = decider.decide(
            state,
            each._tag === "Complete"
              ? { _tag: "Complete", orderId, now }
              : { _tag: "Fulfill", orderId, now, to, lines: [{ sku: Sku.make(each.sku), quantity: Quantity.make(1) }] },
          );
          if (decided._tag === "Failure") throw new Error("nothing is rejected");
          for (const event of decided.success) {
            const from = state.status;
            state = decider.evolve(state, event);
            if (from !== state.status) expect(StateMachine.can(Shipment.machine, from, state.status)).toBe(true);
            if (event._tag === "Succeeded" || event._tag === "Failed") ends += 1;
          }
        }
        expect(ends).toBeLessThanOrEqual(1);
        const unshippable = state.lines.some(({ sku }) => sku === "unshippable");
        if (state.status === "succeeded") expect(unshippable).toBe(false);
        if (state.status === "failed") expect(unshippable).toBe(true);
      }),
    );
  });
});
