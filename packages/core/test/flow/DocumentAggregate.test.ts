import { Effect, Result, Schema } from "effect";
import { describe, expect, it } from "vitest";
import {
  Aggregate,
  CheckoutMessages as M,
  CommandHandler,
  type Decider,
  DocumentAggregate,
  DocumentStore,
  Message,
  OrderId,
  Timers,
} from "@org/saga-core";
import { simulate } from "./Harness.ts";

/** A counter that refuses to pass ten, announces each step and sets a timer at five. */
type Command = { readonly _tag: "Add"; readonly by: number };
type Event = { readonly _tag: "Added"; readonly by: number };
type Rejection = { readonly _tag: "TooMuch" };

const decider: Decider.Decider<number, Command, Event, Rejection> = {
  initial: 0,
  decide: (state, { by }) => {
    if (state + by > 10) return Result.fail({ _tag: "TooMuch" });
    return Result.succeed(by === 0 ? [] : [{ _tag: "Added", by }]);
  },
  evolve: (state, { by }) => state + by,
};

const orderId = OrderId.make("order-1");

const counter = DocumentAggregate.make({
  name: "counter",
  decider,
  schema: Schema.Int,
  rejection: Schema.TaggedStruct("TooMuch", {}),
  fromMessage: (envelope): Command | null => (M.CommitStock.is(envelope) ? { _tag: "Add", by: 5 } : null),
  fromTimer: (): Command => ({ _tag: "Add", by: 1 }),
  react: (events, state, now) => ({
    drafts: events.map(() => M.StockCommitted.draft({ orderId })),
    timers: state === 5 ? [{ _tag: "Schedule", name: "nudge", token: `at:${state}`, at: now }] : [],
  }),
});

const run = CommandHandler.runBatch(counter);

const add = (by: number, key?: string) =>
  Aggregate.request<(now: number) => Command>(orderId, () => ({ _tag: "Add", by }), {
    idempotency: key === undefined ? null : { scope: "s", key, fingerprint: "f" },
  });

const message = (type: Message.MessageType<{ readonly orderId: OrderId }>, id: string): Aggregate.MessageInput => {
  const meta = { id, occurredAt: 1, correlationId: "c", causationId: null, traceparent: null, tracestate: null };
  const read = Message.decode(M.catalogue, Message.stamp(type.draft({ orderId }), meta));
  if (Result.isFailure(read)) throw new Error("fixture");
  return { _tag: "Message", envelope: read.success };
};

const tags = (handled: ReadonlyArray<CommandHandler.Handled<DocumentAggregate.Answer<Rejection>>>) =>
  handled.map((each) => (each._tag === "Answered" ? each.answer._tag : each._tag));

describe("an aggregate of documents", () => {
  it("decides requests, messages and timers, and keeps its state as a document", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const timers = yield* Timers;
        expect(tags(yield* run([message(M.CommitStock, "m-1"), message(M.ShipStock, "m-2"), add(0), add(99)]))).toEqual([
          "Accepted",
          "Ignored",
          "Accepted",
          "Rejected",
        ]);
        const [timer] = yield* timers.claimDue("counter", 1, 1_000);
        if (timer === undefined) throw new Error("no timer");
        expect(tags(yield* run([{ _tag: "Timer", timer }]))).toEqual(["Accepted"]);
        const found = (yield* (yield* DocumentStore).find("counter", [orderId])).get(orderId);
        expect(found).toMatchObject({ revision: 2, state: 6 });
        expect(yield* timers.list("counter", orderId)).toEqual([]);
        expect(database.outboxPending.committed.size).toBe(2);
      }),
    );
  });

  it("completes a timer with the request that answers for it", () => {
    simulate(() =>
      Effect.gen(function* () {
        const timers = yield* Timers;
        yield* run([add(5)]);
        const [timer] = yield* timers.claimDue("counter", 1, 1_000);
        if (timer === undefined) throw new Error("no timer");
        yield* run([{ ...add(1), completes: timer }]);
        expect(yield* timers.list("counter", orderId)).toEqual([]);
      }),
    );
  });

  it("repeats a recorded answer, a refusal too", () => {
    simulate(() =>
      Effect.gen(function* () {
        for (const repeated of [false, true]) {
          expect(yield* run([add(3, "k-1"), add(99, "k-2")])).toEqual([
            { _tag: "Answered", answer: { _tag: "Accepted" }, repeated },
            { _tag: "Answered", answer: { _tag: "Rejected", rejection: { _tag: "TooMuch" } }, repeated },
          ]);
        }
        expect((yield* (yield* DocumentStore).find("counter", [orderId])).get(orderId)?.state).toBe(3);
      }),
    );
  });
});
