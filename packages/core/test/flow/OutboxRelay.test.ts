import { Duration, Effect, Layer, Metric } from "effect";
import { describe, expect, it } from "vitest";
import {
  BACKLOG_COUNT_MAX,
  CheckoutMessages as M,
  Limits,
  Message,
  MessageBus,
  OrderId,
  Outbox,
  OutboxMonitor,
  OutboxRelay,
  UnitOfWork,
} from "@org/saga-core";
import * as MemoryBus from "../../src/memory/MemoryBus.ts";
import { busOf, simulate } from "./Harness.ts";

const order = (n: number): OrderId => OrderId.make(`order-${n}`);

const command = (n: number, id: string, isLarge = false): Message.Encoded => {
  const meta = { id, occurredAt: 1, correlationId: "c", causationId: null, traceparent: null, tracestate: null };
  const encoded = Message.stamp(M.CommitStock.draft({ orderId: order(n) }), meta);
  return isLarge ? { ...encoded, payload: JSON.stringify("x".repeat(Limits.MESSAGE_BYTES_MAX)) } : encoded;
};

const append = (messages: ReadonlyArray<Message.Encoded>) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox;
    yield* (yield* UnitOfWork).commit(outbox.append(messages));
  });

/** A real bus in memory, and the ids that came out of it, in order. */
const recording = Effect.gen(function* () {
  const broker = yield* MemoryBus.make();
  const bus = yield* Effect.provide(MessageBus, MemoryBus.layerOf(broker));
  yield* bus.ensureTopics(M.catalogue.topics);
  const published: Array<string> = [];
  const publish: MessageBus["Service"]["publish"] = (messages) =>
    Effect.tap(bus.publish(messages), (verdicts) =>
      Effect.sync(() => published.push(...messages.filter((_, index) => verdicts[index] === "Published").map(({ id }) => id))),
    );
  return { bus: { ...bus, publish }, published };
});

const discard = { action: "Discard", by: "ada", reason: "" } as const;

const five = [command(1, "a1"), command(1, "a2", true), command(1, "a3"), command(1, "a4", true), command(2, "b1")];

describe("what is refused for good", () => {
  it("holds back its key by default, until a person decides; other keys go on", () => {
    simulate(() =>
      Effect.gen(function* () {
        const { bus, published } = yield* recording;
        const drain = OutboxRelay.drainOnce.pipe(Effect.provideService(MessageBus, bus));
        yield* append(five);
        expect(yield* drain).toBe(5);
        expect(published.toSorted()).toEqual(["a1", "b1"]);
        yield* append([command(1, "a5"), command(2, "b2")]);
        yield* drain;
        expect(published.toSorted()).toEqual(["a1", "b1", "b2"]);
        const outbox = yield* Outbox;
        expect(yield* outbox.backlog).toMatchObject({ pending: 0, parked: 1, held: 3 });
        yield* outbox.settleParked(["a2"], discard);
        yield* drain;
        yield* outbox.settleParked(["a4"], discard);
        yield* drain;
        expect(published.filter((id) => id.startsWith("a"))).toEqual(["a1", "a3", "a5"]);
        expect(yield* outbox.backlog).toMatchObject({ pending: 0, parked: 0, held: 0 });
      }),
    );
  });

  it("is set aside where its key's messages stand for themselves", () => {
    simulate(() =>
      Effect.gen(function* () {
        const { bus, published } = yield* recording;
        const drain = OutboxRelay.drainOnceWith({ onRefused: "follow" }).pipe(Effect.provideService(MessageBus, bus));
        yield* append([...five, command(1, "a5")]);
        yield* drain;
        expect(published.filter((id) => id.startsWith("a"))).toEqual(["a1", "a3", "a5"]);
        const outbox = yield* Outbox;
        expect(yield* outbox.backlog).toMatchObject({ pending: 0, parked: 2, held: 0 });
        expect((yield* outbox.parked(10)).map(({ blocks, message }) => [message.id, blocks])).toEqual([
          ["a2", false],
          ["a4", false],
        ]);
      }),
    );
  });

  it("a bus that holds what nothing blocks is not believed", () => {
    simulate(() =>
      Effect.gen(function* () {
        const odd = busOf((messages) => Effect.succeed(messages.map(() => "Held" as const)));
        yield* append([command(1, "a1")]);
        for (const onRefused of ["wait", "follow"] as const) {
          const failure = yield* Effect.flip(OutboxRelay.drainOnceWith({ onRefused }).pipe(Effect.provideService(MessageBus, odd)));
          expect(failure).toMatchObject({ reason: "Misuse" });
        }
        expect((yield* (yield* Outbox).backlog).pending).toBe(1);
      }),
    );
  });
});

describe("a relay's options", () => {
  it("bound its batches and the shards it drains at a time", () => {
    simulate(() =>
      Effect.gen(function* () {
        let [now, most, largest] = [0, 0, 0];
        const bus = busOf((messages) =>
          Effect.gen(function* () {
            now += 1;
            most = Math.max(most, now);
            largest = Math.max(largest, messages.length);
            yield* Effect.sleep(10);
            now -= 1;
            return messages.map(() => "Published" as const);
          }),
        );
        yield* append(Array.from({ length: 60 }, (_, index) => command(index % 20, `m-${index}`)));
        const relay = OutboxRelay.layerWith({ batchMax: 2, shardsInFlight: 3 });
        yield* Effect.raceFirst(Layer.launch(Layer.provide(relay, Layer.succeed(MessageBus, bus))), Effect.sleep(5_000));
        expect([most, largest]).toEqual([3, 2]);
        expect((yield* (yield* Outbox).backlog).pending).toBe(0);
      }),
    );
  });

  it("that make no sense are refused at start", () => {
    expect(() => OutboxRelay.layerWith({ batchMax: 0 })).toThrow(/batchMax must be a whole number of at least 1, not 0/);
    expect(() => OutboxRelay.layerWith({ shardsInFlight: 1.5 })).toThrow(/shardsInFlight/);
  });
});

describe("the outbox monitor", () => {
  /** The gauges of one outbox, by name. */
  const gauges = (outbox: string) =>
    Effect.map(Metric.snapshot, (all) =>
      Object.fromEntries(
        all.flatMap((one) =>
          one.type === "Gauge" && one.attributes?.["outbox"] === outbox ? [[one.id, Number(one.state.value)] as const] : [],
        ),
      ),
    );

  it("tells what waits, how long the oldest has waited, and what waits for a person", () => {
    simulate(() =>
      Effect.gen(function* () {
        const { bus } = yield* recording;
        const occurredAt = yield* Effect.clockWith((clock) => clock.currentTimeMillis);
        yield* append(five);
        yield* OutboxRelay.drainOnce.pipe(Effect.provideService(MessageBus, bus));
        yield* append([
          { ...command(3, "c1"), occurredAt },
          { ...command(3, "c2"), occurredAt: occurredAt + 1_000 },
        ]);
        const look = OutboxMonitor.LOOK_EVERY_MS;
        yield* Effect.raceFirst(Layer.launch(OutboxMonitor.layer("shop")), Effect.sleep(Duration.millis(look + 1)));
        expect(yield* gauges("shop")).toEqual({
          saga_outbox_pending: 2,
          saga_outbox_oldest_age_seconds: look / 1_000,
          saga_outbox_parked: 1,
          saga_outbox_held: 2,
        });
        yield* OutboxRelay.drainOnce.pipe(Effect.provideService(MessageBus, bus));
        yield* OutboxMonitor.lookOnce("shop");
        expect(yield* gauges("shop")).toMatchObject({ saga_outbox_pending: 0, saga_outbox_oldest_age_seconds: 0 });
      }),
    );
  });

  it("counts no further than is of use", () => {
    simulate(() =>
      Effect.gen(function* () {
        const outbox = yield* Outbox;
        yield* append(Array.from({ length: BACKLOG_COUNT_MAX + 1 }, (_, index) => command(index % 100, `m-${index}`)));
        expect((yield* outbox.backlog).pending).toBe(BACKLOG_COUNT_MAX);
      }),
    );
  });
});
