/** The memory bus keeps the contract of `MessageBus`, on a test clock, and what else a broker does: crashes, chaos, an end. */
import { Effect, Exit, Fiber, Layer, Logger } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, it } from "vitest";
import type * as Message from "../../src/domain/Message.ts";
import * as MemoryBroker from "../../src/memory/MemoryBroker.ts";
import * as MemoryBus from "../../src/memory/MemoryBus.ts";
import { type Delivery, MessageBus, type Subscription } from "../../src/ports/MessageBus.ts";
import * as Contract from "../../src/testing/Contract.ts";
import * as MessageBusContract from "../../src/testing/contracts/MessageBusContract.ts";
import * as Samples from "../../src/testing/contracts/Samples.ts";
import * as Simulator from "../../src/testing/Simulator.ts";
import { crashAt } from "./Process.ts";

const quiet = Layer.merge(TestClock.layer(), Logger.layer([]));

describe("MemoryBus keeps the contract of MessageBus:", () => {
  for (const { name, run } of MessageBusContract.cases) {
    it(name, () =>
      run.pipe(
        Effect.provideService(Contract.Wait, (millis) => TestClock.adjust(millis)),
        Effect.provide(Layer.merge(MemoryBus.layer, quiet)),
        Effect.runPromise,
      ),
    );
  }
});

const TOPIC = "topic";
const subscription: Subscription = { group: "group", topics: [TOPIC], batchMax: 3 };

const message = (key: string, body: unknown): Effect.Effect<Message.Encoded> => Samples.message(key, body, { topic: TOPIC });

const payloadsOf = (batch: ReadonlyArray<Delivery>): ReadonlyArray<string> =>
  batch.flatMap((delivery) => (delivery._tag === "Readable" ? [delivery.message.payload] : []));

const on = <A, E, R>(broker: MemoryBus.Broker, effect: Effect.Effect<A, E, R | MessageBus>) =>
  Effect.provide(effect, MemoryBus.layerOf(broker));

const publish = (...messages: ReadonlyArray<Message.Encoded>) => Effect.flatMap(MessageBus, (bus) => bus.publish(messages));

const consumeInto = (got: Array<string>) =>
  Effect.flatMap(MessageBus, (bus) => bus.consume(subscription, (batch) => Effect.sync(() => void got.push(...payloadsOf(batch)))));

const run = <A, E>(effect: Effect.Effect<A, E>): Promise<A> => Effect.runPromise(Effect.provide(effect, quiet));

const withTopic = Effect.tap(MemoryBus.make({ keepsPublished: true }), (broker) => Effect.sync(() => broker.ensure(TOPIC)));

describe("MemoryBus", () => {
  it("outlives the layers on top of it", () =>
    run(
      Effect.gen(function* () {
        const broker = yield* withTopic;
        yield* on(broker, publish(yield* message("key", 1)));
        const got: Array<string> = [];
        const fiber = yield* Effect.forkChild(on(broker, consumeInto(got)));
        yield* TestClock.adjust(1);
        yield* Fiber.interrupt(fiber);
        expect(got).toEqual(["1"]);
        expect(broker.lag("group")).toBe(0);
        expect(broker.published.map(({ payload }) => payload)).toEqual(["1"]);
        expect([broker.topics, broker.groups]).toEqual([[TOPIC], ["group"]]);
      }),
    ));

  it("says Unavailable for a topic that nobody created, and a consumer waits for it", () =>
    run(
      Effect.gen(function* () {
        const broker = yield* MemoryBus.make();
        const error = yield* Effect.flip(on(broker, publish(yield* message("key", 1))));
        expect(error).toMatchObject({ reason: "Unavailable", isRetryable: true });
        const got: Array<string> = [];
        const fiber = yield* Effect.forkChild(on(broker, consumeInto(got)));
        yield* TestClock.adjust(1);
        broker.ensure(TOPIC);
        yield* on(broker, publish(yield* message("key", 1)));
        yield* TestClock.adjust(1);
        expect(got).toEqual(["1"]);
        yield* Fiber.interrupt(fiber);
      }),
    ));

  it("delivers again what was handled by a process that died before its acknowledgement", () =>
    run(
      Effect.gen(function* () {
        const broker = yield* withTopic;
        yield* on(broker, publish(yield* message("key", 1), yield* message("key", 2)));
        const got: Array<string> = [];
        const dead = yield* Effect.exit(on(broker, consumeInto(got)).pipe(crashAt("MessageBus.consume.afterHandle")));
        expect(Exit.hasInterrupts(dead)).toBe(true);
        expect([got, broker.lag("group")]).toEqual([["1", "2"], 2]);
        yield* Effect.exit(on(broker, consumeInto(got)).pipe(crashAt("MessageBus.consume.beforeHandle")));
        expect(got).toEqual(["1", "2"]);
        const fiber = yield* Effect.forkChild(on(broker, consumeInto(got)));
        yield* TestClock.adjust(1);
        expect([got, broker.lag("group")]).toEqual([["1", "2", "1", "2"], 0]);
        yield* Fiber.interrupt(fiber);
      }),
    ));

  it("has the messages of a publisher that died before it heard so", () =>
    run(
      Effect.gen(function* () {
        const broker = yield* withTopic;
        yield* Effect.exit(on(broker, publish(yield* message("key", 1))).pipe(crashAt("MessageBus.publish.after")));
        yield* Effect.exit(on(broker, publish(yield* message("key", 2))).pipe(crashAt("MessageBus.publish.before")));
        expect(broker.published.map(({ payload }) => payload)).toEqual(["1"]);
      }),
    ));

  it("ends with a handler that is interrupted", () =>
    run(
      Effect.gen(function* () {
        const broker = yield* withTopic;
        yield* on(broker, publish(yield* message("key", 1)));
        const consume = Effect.flatMap(MessageBus, (bus) => bus.consume(subscription, () => Effect.interrupt));
        expect(Exit.hasInterrupts(yield* Effect.exit(on(broker, consume)))).toBe(true);
        expect(broker.lag("group")).toBe(1);
      }),
    ));

  it("keeps the acknowledgement of who lost the partition meanwhile from counting", () => {
    const broker = new MemoryBroker.Broker(1);
    broker.ensure(TOPIC);
    const [first, second] = [{ topics: new Set([TOPIC]) }, { topics: new Set([TOPIC]) }];
    const partition = broker.partitionsOf(TOPIC)[0];
    if (partition === undefined) throw new Error("there should be a partition");
    broker.join("group", first);
    const claim = broker.claim("group", partition, first);
    if (claim === undefined) throw new Error("the first should own it");
    broker.join("group", second);
    expect(broker.claim("group", partition, second)).toBe(undefined);
    broker.leave("group", first);
    broker.leave("group", first);
    expect(broker.commit("group", partition, claim, 1)).toBe(false);
    const next = broker.claim("group", partition, second);
    expect(next !== undefined && broker.commit("group", partition, next, 1)).toBe(true);
    expect(broker.committed("group", partition)).toBe(1);
    broker.leave("group", second);
    expect(broker.claim("group", partition, second)).toBe(undefined);
  });

  it("forgets what every group has had for long, and nothing else", async () => {
    const broker = new MemoryBroker.Broker(1);
    broker.ensure(TOPIC);
    const sample = await Effect.runPromise(message("key", 1));
    const [partition] = broker.partitionsOf(TOPIC);
    const member = { topics: new Set([TOPIC]) };
    broker.join("slow", member);
    const claim = partition === undefined ? undefined : broker.claim("slow", partition, member);
    if (partition === undefined || claim === undefined) throw new Error("the member should own the partition");
    const many = MemoryBroker.RETAINED_MAX * 2;
    for (let count = 0; count < many; count++) broker.append([sample]);
    expect(partition.records.length).toBe(many);
    broker.commit("slow", partition, claim, many - 5);
    expect(partition.records.length).toBe(MemoryBroker.RETAINED_MAX);
    expect([partition.base, partition.end]).toEqual([many - MemoryBroker.RETAINED_MAX, many]);
    expect(partition.read(many - 2, 10).length).toBe(2);
    expect(broker.committed("new", partition)).toBe(partition.base);
    expect(broker.lag("slow")).toBe(5);
  });

  it("keeps the newest of what was published, if it is asked to", async () => {
    const sample = await Effect.runPromise(message("key", 1));
    const kept = [true, false].map((keepsPublished) => {
      const broker = new MemoryBroker.Broker(1, keepsPublished);
      broker.ensure(TOPIC);
      for (let count = 0; count < MemoryBroker.PUBLISHED_MAX + 1_000; count++) broker.append([sample]);
      return broker.published.length;
    });
    expect(kept).toEqual([MemoryBroker.PUBLISHED_MAX, 0]);
  });
});

const KEYS = ["ada", "bob", "cleo", "dan", "eve"];
const PER_KEY = 20;

/** Consumers that crash and come back, under everything a broker may do, until all is acknowledged. */
const chaos = (seed: number) =>
  Simulator.run(
    { seed },
    Effect.gen(function* () {
      const broker = yield* MemoryBus.make({ duplicate: 0.2, rewind: 0.2, delay: 0.2, shuffle: 0.5, until: 1_767_225_660_000 });
      broker.ensure(TOPIC);
      const got: Array<Message.Encoded> = [];
      const handle = (batch: ReadonlyArray<Delivery>) =>
        Effect.sync(() => void got.push(...batch.flatMap((delivery) => (delivery._tag === "Readable" ? [delivery.message] : []))));
      const consumer = Layer.effectDiscard(
        Effect.flatMap(MessageBus, (bus) => Effect.forkScoped(bus.consume({ ...subscription, batchMax: 10 }, handle))),
      ).pipe(Layer.provide(MemoryBus.layerOf(broker)));
      const faults: Simulator.Faults = { crash: 0.1, delay: 0.2, delayMaxMillis: 500, downMaxMillis: 2_000, until: 1_767_225_660_000 };
      const consumers = yield* Effect.forEach(["one", "two"], (name) => Effect.forkChild(Simulator.process(name, consumer, faults)));
      for (let turn = 1; turn <= PER_KEY; turn++) {
        yield* on(broker, publish(...(yield* Effect.forEach(KEYS, (key) => message(key, turn)))));
        yield* Effect.sleep("500 millis");
      }
      yield* Effect.sleep("5 minutes");
      for (const fiber of consumers) yield* Fiber.interrupt(fiber);
      return { got, lag: broker.lag("group") };
    }).pipe(Effect.provide(Logger.layer([]))),
  );

describe("MemoryBus under chaos", () => {
  const expected = Array.from({ length: PER_KEY }, (_, index) => String(index + 1));
  const runs = Array.from({ length: 30 }, (_, seed) => chaos(seed));
  const outcomes = runs.map(({ exit }) => {
    if (Exit.isFailure(exit)) throw new Error(Simulator.explain(exit));
    return exit.value;
  });

  it("delivers every message, and acknowledges it in the end", () => {
    for (const { got, lag } of outcomes) {
      expect(lag).toBe(0);
      expect(new Set(got.map(({ id }) => id)).size).toBe(KEYS.length * PER_KEY);
    }
  });

  it("keeps the order of each key, by first occurrences", () => {
    for (const { got } of outcomes) {
      for (const key of KEYS) {
        expect([...new Set(got.filter((each) => each.key === key).map(({ payload }) => payload))]).toEqual(expected);
      }
    }
  });

  it("delivers twice, and mixes keys: it is chaos", () => {
    expect(outcomes.every(({ got }) => got.length > KEYS.length * PER_KEY)).toBe(true);
    const orders = new Set(outcomes.map(({ got }) => [...new Map(got.map(({ id, key }) => [id, key])).values()].join()));
    expect(orders.size).toBeGreaterThan(1);
  });

  it("repeats a seed exactly", () => {
    expect(chaos(7).fingerprint).toBe(runs[7]?.fingerprint);
    expect(chaos(8).fingerprint).not.toBe(runs[7]?.fingerprint);
  });
});
