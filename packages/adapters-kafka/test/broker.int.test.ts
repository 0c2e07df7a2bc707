/** What only a real Kafka has: its limits, foreign records, partitions, groups that notice a busy consumer. */
import { type Delivery, MessageBus } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Effect, Fiber, Logger } from "effect";
import { Partitioners } from "kafkajs";
import { afterAll, describe, expect, test } from "vitest";
import * as Broker from "./Broker.ts";
import { consumeInto, ensure, firsts, message, payloads, publish, until } from "./Traffic.ts";

const brokers = realServer("kafka") ?? [];
const prefix = Broker.prefixed("broker");
const run = <A, E>(effect: Effect.Effect<A, E, MessageBus>): Promise<A> =>
  effect.pipe(Effect.provide(Broker.busOf(brokers, prefix)), Effect.provide(Logger.layer([])), Effect.runPromise);

/** Uses a plain admin client. */
const asAdmin = async <A>(use: (admin: ReturnType<ReturnType<typeof Broker.plain>["admin"]>) => Promise<A>): Promise<A> => {
  const admin = Broker.plain(brokers).admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
};

describe.runIf(brokers.length > 0)("KafkaBus on a broker", () => {
  afterAll(() => Broker.clean(brokers, prefix));

  test("refuses only the message that the topic's limit forbids; what is behind it in its key is held, its neighbours arrive in order", async () => {
    const configEntries = [{ name: "max.message.bytes", value: "20000" }];
    await asAdmin((admin) =>
      admin.createTopics({ topics: [{ topic: `${prefix}small`, numPartitions: 2, configEntries }], waitForLeaders: true }),
    );
    const pad = "x".repeat(3_000);
    const messages = ["1", "2", "3", "4", "5", "6", "7", "8", "9"].map((name, index) =>
      message("small", index % 2 === 0 ? "key" : "neighbour", name === "5" ? "x".repeat(30_000) : `${name}${pad}`),
    );
    await run(
      Effect.gen(function* () {
        yield* ensure("small");
        const verdicts = yield* publish(messages);
        const [sent, refused, held] = ["Published", "Refused", "Held"];
        expect(verdicts).toEqual([sent, sent, sent, sent, refused, sent, held, sent, held]);
        const got: Array<Delivery> = [];
        const consumer = yield* Effect.forkChild(consumeInto("small", ["small"], got));
        yield* until(() => got.length >= 6);
        yield* Fiber.interrupt(consumer);
        const arrived = firsts(payloads(got)).map((payload) => payload.slice(0, 1));
        const of = (names: ReadonlyArray<string>) => arrived.filter((name) => names.includes(name));
        expect([of(["1", "3", "7", "9"]), of(["2", "4", "6", "8"])]).toEqual([
          ["1", "3"],
          ["2", "4", "6", "8"],
        ]);
      }),
    );
  });

  test("hands over records that are not ours as Foreign, with their positions, and goes on", async () => {
    await run(
      Effect.gen(function* () {
        yield* ensure("foreign");
        const topic = `${prefix}foreign`;
        const producer = Broker.plain(brokers).producer({ createPartitioner: Partitioners.DefaultPartitioner });
        yield* Effect.promise(() => producer.connect());
        const headers = { ce_specversion: "1.0", ce_id: "1", ce_type: "other.v1", "content-type": "application/json" };
        yield* Effect.promise(() =>
          producer.send({
            topic,
            messages: [
              { key: "key", value: null },
              { key: "key", value: "plain text" },
              { key: "key", value: Buffer.of(0xff), headers },
              { key: "key", value: "{}", headers: { ...headers, ce_id: ["a", "b"], extra: "kept by nobody" } },
            ],
          }),
        );
        yield* Effect.promise(() => producer.disconnect());
        yield* publish([message("foreign", "key", "ours")]);
        const got: Array<Delivery> = [];
        const consumer = yield* Effect.forkChild(consumeInto("foreign", ["foreign"], got, undefined, 2));
        yield* until(() => got.length >= 5);
        yield* Fiber.interrupt(consumer);
        expect(got.map((delivery) => (delivery._tag === "Foreign" ? delivery.problem : delivery.message.id.length))).toEqual([
          "tombstone",
          "notCloudEvent",
          "notText",
          1,
          36,
        ]);
        const partition = got[0]?.position.partition;
        expect(got.map(({ position }) => position)).toEqual([0, 1, 2, 3, 4].map((offset) => ({ topic, partition, offset })));
        expect(got.every((delivery) => (delivery._tag === "Foreign" ? delivery.topic : delivery.message.topic) === "foreign")).toBe(true);
      }),
    );
  });

  test("puts a key where Java's clients put it (murmur2)", async () => {
    await run(
      Effect.gen(function* () {
        yield* ensure("partitioned");
        // Hashes from Kafka's UtilsTest.testMurmur2: 21 → -973932308, foobar → -790332482, a-little-bit-long-string → -985981536.
        yield* publish(["21", "foobar", "a-little-bit-long-string"].map((key) => message("partitioned", key, key)));
        const got: Array<Delivery> = [];
        const consumer = yield* Effect.forkChild(consumeInto("partitioned", ["partitioned"], got));
        yield* until(() => got.length >= 3);
        yield* Fiber.interrupt(consumer);
        const partitions = Object.fromEntries(
          got.flatMap((each) => (each._tag === "Readable" ? [[each.message.key, each.position.partition]] : [])),
        );
        const expected = (hash: number): number => (hash & 0x7fffffff) % 6;
        expect(partitions).toEqual({
          "21": expected(-973932308),
          foobar: expected(-790332482),
          "a-little-bit-long-string": expected(-985981536),
        });
      }),
    );
  });

  test("creates topics as configured, and leaves those that are there as they are", async () => {
    await asAdmin((admin) => admin.createTopics({ topics: [{ topic: `${prefix}old`, numPartitions: 1 }] }));
    await Effect.runPromise(
      ensure("old", "new", "new").pipe(Effect.provide(Broker.busOf(brokers, prefix, { partitions: 3, replicationFactor: 1 }))),
    );
    const { topics } = await asAdmin((admin) => admin.fetchTopicMetadata({ topics: [`${prefix}old`, `${prefix}new`] }));
    expect(Object.fromEntries(topics.map(({ name, partitions }) => [name, partitions.length]))).toEqual({
      [`${prefix}old`]: 1,
      [`${prefix}new`]: 3,
    });
  });

  test("says Refused when the cluster cannot create a topic as configured", async () => {
    const error = await Effect.runPromise(
      Effect.flip(ensure("replicated")).pipe(Effect.provide(Broker.busOf(brokers, prefix, { replicationFactor: 7 }))),
    );
    expect(error).toMatchObject({ reason: "Refused", message: "the broker answered INVALID_REPLICATION_FACTOR" });
  });

  test("says Unavailable for a topic that is not there, and consumes from it once it is", async () => {
    await run(
      Effect.gen(function* () {
        const bus = yield* MessageBus;
        expect((yield* Effect.flip(bus.publish([message("later", "key", "1")]))).reason).toBe("Unavailable");
        const got: Array<Delivery> = [];
        const consumer = yield* Effect.forkChild(consumeInto("later", ["later"], got));
        yield* Effect.sleep("300 millis");
        yield* ensure("later");
        yield* publish([message("later", "key", "1")]);
        yield* until(() => got.length >= 1);
        yield* Fiber.interrupt(consumer);
      }),
    );
  });

  test("a handler that takes longer than the session is not taken for dead", async () => {
    await run(
      Effect.gen(function* () {
        yield* ensure("slow");
        yield* publish([message("slow", "key", "1"), message("slow", "key", "2")]);
        const got: Array<Delivery> = [];
        const slowFirst = () => (got.length === 1 ? Effect.sleep("8 seconds") : Effect.void);
        const consumer = yield* Effect.forkChild(consumeInto("slow", ["slow"], got, slowFirst, 1));
        yield* until(() => got.length >= 2);
        yield* Effect.sleep("500 millis");
        yield* Fiber.interrupt(consumer);
        expect(payloads(got)).toEqual(["1", "2"]);
      }),
    );
  });

  test("a rebalance in the middle of a batch neither loses nor inverts", async () => {
    await run(
      Effect.gen(function* () {
        yield* ensure("moving");
        const keys = Array.from({ length: 24 }, (_, index) => `key-${index}`);
        const first: Array<Delivery> = [];
        const second: Array<Delivery> = [];
        const slowly = () => Effect.sleep("30 millis");
        const one = yield* Effect.forkChild(consumeInto("moving", ["moving"], first, slowly, 2));
        for (let turn = 1; turn <= 10; turn++) yield* publish(keys.map((key) => message("moving", key, `${key}:${turn}`)));
        yield* until(() => first.length > 20);
        const two = yield* Effect.forkChild(consumeInto("moving", ["moving"], second, slowly, 2));
        const everything = (): ReadonlySet<string> => new Set(payloads([...first, ...second]));
        yield* until(() => everything().size >= keys.length * 10);
        yield* Fiber.interrupt(one);
        yield* Fiber.interrupt(two);
        expect(second.length).toBeGreaterThan(0);
        for (const got of [first, second]) {
          for (const key of keys) {
            const turns = firsts(payloads(got).filter((payload) => payload.startsWith(`${key}:`))).map((payload) =>
              Number(payload.split(":")[1]),
            );
            expect(turns).toEqual(turns.toSorted((left, right) => left - right));
          }
        }
      }),
    );
  });

  test("a consumer that is interrupted leaves its group at once", async () => {
    await run(
      Effect.gen(function* () {
        yield* ensure("leaving");
        const got: Array<Delivery> = [];
        const consumer = yield* Effect.forkChild(consumeInto("leaving", ["leaving"], got, () => Effect.never));
        yield* publish([message("leaving", "key", "1")]);
        yield* until(() => got.length >= 1);
        const members = () => Effect.promise(() => asAdmin((admin) => admin.describeGroups([`${prefix}leaving`])));
        expect((yield* members()).groups[0]?.members.length).toBe(1);
        yield* Fiber.interrupt(consumer);
        expect((yield* members()).groups[0]?.members.length).toBe(0);
      }),
    );
  });

  test("a consumer that is interrupted while it connects is gone, too", async () => {
    await run(
      Effect.gen(function* () {
        yield* ensure("fleeting");
        for (const millis of [0, 5, 20, 50]) {
          const consumer = yield* Effect.forkChild(consumeInto("fleeting", ["fleeting"], []));
          yield* Effect.sleep(millis);
          yield* Fiber.interrupt(consumer);
        }
        const { groups } = yield* Effect.promise(() => asAdmin((admin) => admin.describeGroups([`${prefix}fleeting`])));
        expect(groups[0]?.members.length).toBe(0);
      }),
    );
  });

  test("a handler that interrupts itself ends the consumer", async () => {
    const exit = await run(
      Effect.gen(function* () {
        yield* ensure("ending");
        yield* publish([message("ending", "key", "1")]);
        return yield* Effect.exit(consumeInto("ending", ["ending"], [], () => Effect.interrupt));
      }),
    );
    expect(exit._tag).toBe("Failure");
  });
});
