/** What is acknowledged when, and what the driver is told: without a broker, on a test clock. */
import type { Delivery } from "@org/saga-core";
import { Effect, Exit, Fiber, Logger } from "effect";
import { TestClock } from "effect/testing";
import type { EachBatchPayload, KafkaMessage } from "kafkajs";
import { describe, expect, it } from "vitest";
import { KafkaConfig } from "../src/index.ts";
import * as PartitionWork from "../src/PartitionWork.ts";

const settings = KafkaConfig.settings({ brokers: [], topicPrefix: "t-", heartbeatMillis: 1_000 });

/** One partition of the driver, and what was asked of it. */
class Driver {
  readonly calls: Array<string> = [];
  isRunning = true;
  isStale = false;
  /** Fails the next commits or heartbeats. */
  commitFailure: unknown = null;
  beatFailure: Error | null = null;

  payload(count: number): EachBatchPayload {
    const messages = Array.from({ length: count }, (_, offset) => record(String(offset)));
    return {
      batch: {
        topic: "t-topic",
        partition: 3,
        highWatermark: String(count),
        messages,
        isEmpty: () => count === 0,
        firstOffset: () => "0",
        lastOffset: () => String(count - 1),
        offsetLag: () => "0",
        offsetLagLow: () => "0",
      },
      resolveOffset: (offset) => void this.calls.push(`resolve ${offset}`),
      heartbeat: () => {
        this.calls.push("heartbeat");
        return this.beatFailure === null ? Promise.resolve() : Promise.reject(this.beatFailure);
      },
      pause: () => {
        this.calls.push("pause");
        return () => void this.calls.push("resume");
      },
      commitOffsetsIfNecessary: (offsets) => {
        this.calls.push(`commit ${JSON.stringify(offsets?.topics[0])}`);
        return this.commitFailure === null ? Promise.resolve() : Promise.reject(this.commitFailure);
      },
      uncommittedOffsets: () => ({ topics: [] }),
      isRunning: () => this.isRunning,
      isStale: () => this.isStale,
    };
  }
}

/** A record of ours would do as well: foreign ones are acknowledged like any other. */
const record = (offset: string): KafkaMessage => ({ key: null, value: null, timestamp: "0", attributes: 0, offset, headers: {} });

const commit = (next: number): string => `commit {"topic":"t-topic","partitions":[{"partition":3,"offset":"${next}"}]}`;

const work = <E>(handle: PartitionWork.Handle<E, never>, batchMax = 2, fork: (effect: Effect.Effect<void>) => void = () => undefined) =>
  PartitionWork.make({ settings, subscription: { group: "group", topics: ["topic"], batchMax }, handle, fork });

const run = <A, E>(effect: Effect.Effect<A, E>): Promise<A> =>
  Effect.runPromise(effect.pipe(Effect.provide(TestClock.layer()), Effect.provide(Logger.layer([]))));

const sizes = (into: Array<number>) => (batch: ReadonlyArray<Delivery>) => Effect.sync(() => void into.push(batch.length));

describe("PartitionWork", () => {
  it("commits each batch after it was handled, before the next one", async () => {
    const driver = new Driver();
    const handled: Array<number> = [];
    const outcome = await run(
      work((batch) => Effect.sync(() => void (handled.push(batch.length), driver.calls.push("handle"))))(driver.payload(3)),
    );
    expect(outcome).toEqual({ _tag: "Over" });
    expect(handled).toEqual([2, 1]);
    expect(driver.calls).toEqual(["handle", commit(2), "resolve 1", "heartbeat", "handle", commit(3), "resolve 2", "heartbeat"]);
  });

  it("hands over positions on the cluster and topics of the port", async () => {
    const got: Array<Delivery> = [];
    await run(work((batch) => Effect.sync(() => void got.push(...batch)))(new Driver().payload(1)));
    expect(got).toEqual([
      { _tag: "Foreign", topic: "topic", position: { topic: "t-topic", partition: 3, offset: 0 }, problem: "tombstone" },
    ]);
  });

  it("commits nothing of a batch that failed, and lets the partition rest, longer each time", async () => {
    const driver = new Driver();
    const forked: Array<Effect.Effect<void>> = [];
    await run(
      Effect.gen(function* () {
        let isBroken = true;
        const handle = () => Effect.suspend(() => (isBroken ? Effect.fail("broken") : Effect.void));
        const handler = work(handle, 2, (effect) => void forked.push(effect));
        for (const pause of [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) {
          driver.calls.length = 0;
          expect(yield* handler(driver.payload(3))).toEqual({ _tag: "Over" });
          expect(driver.calls).toEqual(["pause"]);
          const resuming = yield* Effect.forkChild(forked.pop() ?? Effect.void);
          yield* TestClock.adjust(pause - 1);
          expect(driver.calls).toEqual(["pause"]);
          yield* TestClock.adjust(1);
          yield* Fiber.join(resuming);
          expect(driver.calls).toEqual(["pause", "resume"]);
        }
        isBroken = false;
        yield* handler(driver.payload(1));
        isBroken = true;
        yield* handler(driver.payload(1));
        const resuming = yield* Effect.forkChild(forked.pop() ?? Effect.void);
        yield* TestClock.adjust(100);
        yield* Fiber.join(resuming);
      }),
    );
  });

  it("treats a defect as a failure", async () => {
    const driver = new Driver();
    await run(work(() => Effect.die(new Error("broken")))(driver.payload(1)));
    expect(driver.calls).toEqual(["pause"]);
  });

  it("is interrupted with its handler, and commits nothing", async () => {
    const driver = new Driver();
    const exit = await run(Effect.exit(work(() => Effect.interrupt)(driver.payload(1))));
    expect(Exit.hasInterrupts(exit)).toBe(true);
    expect(driver.calls).toEqual([]);
  });

  it("tells the driver when the group refuses a commit, and neither resolves nor goes on", async () => {
    const driver = new Driver();
    driver.commitFailure = new Error("ILLEGAL_GENERATION");
    const handled: Array<number> = [];
    const outcome = await run(work(sizes(handled))(driver.payload(4)));
    expect(outcome).toEqual({ _tag: "Left", cause: driver.commitFailure });
    expect(handled).toEqual([2]);
    expect(driver.calls).toEqual([commit(2)]);
  });

  it("gives the driver an error where it failed without one", async () => {
    const driver = new Driver();
    driver.commitFailure = "nothing";
    const outcome = await run(work(sizes([]))(driver.payload(1)));
    expect(outcome).toEqual({ _tag: "Left", cause: new Error("the driver failed without an error") });
  });

  it("sends heartbeats while a handler works, and lets it finish when the group rebalances", async () => {
    const driver = new Driver();
    const rebalancing = new Error("REBALANCE_IN_PROGRESS");
    await run(
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(work(() => Effect.sleep("5500 millis"))(driver.payload(4)));
        yield* TestClock.adjust("2 seconds");
        yield* Effect.promise(() => Promise.resolve());
        yield* TestClock.adjust("1 second");
        expect(driver.calls.filter((call) => call === "heartbeat").length).toBeGreaterThanOrEqual(2);
        driver.beatFailure = rebalancing;
        yield* TestClock.adjust("1 second");
        driver.beatFailure = null;
        yield* TestClock.adjust("5 seconds");
        expect(yield* Fiber.join(fiber)).toEqual({ _tag: "Left", cause: rebalancing });
      }),
    );
    expect(driver.calls.slice(-3)).toEqual([commit(2), "resolve 1", "heartbeat"]);
  });

  it("begins no batch once the driver stops or was sent elsewhere", async () => {
    const [stopped, sent] = [new Driver(), new Driver()];
    stopped.isRunning = false;
    sent.isStale = true;
    const handled: Array<number> = [];
    for (const driver of [stopped, sent]) {
      expect(await run(work(sizes(handled))(driver.payload(2)))).toEqual({ _tag: "Over" });
    }
    expect(handled).toEqual([]);
  });
});
