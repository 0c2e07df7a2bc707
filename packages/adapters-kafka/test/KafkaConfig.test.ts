/** Configuration: defaults that fit together, the environment, secrets that stay secret, names that Kafka takes. */
import { ConfigProvider, Effect, Exit, Layer, Redacted } from "effect";
import { describe, expect, it } from "vitest";
import { KafkaBus, KafkaClient, KafkaConfig, TopicName } from "../src/index.ts";
import { MessageBus } from "@org/saga-core";

const fromEnvironment = (variables: Record<string, string>) =>
  Effect.runPromiseExit(
    KafkaConfig.KafkaConfig.pipe(
      Effect.provide(KafkaConfig.layerConfig),
      Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(variables))),
    ),
  );

describe("KafkaConfig", () => {
  it("has defaults that fit together", () => {
    const settings = KafkaConfig.settings({ brokers: ["127.0.0.1:9092"] });
    expect(settings.heartbeatMillis * 3).toBeLessThan(settings.sessionTimeoutMillis);
    expect(settings.sessionTimeoutMillis).toBeLessThan(settings.rebalanceTimeoutMillis);
    expect(settings.requestTimeoutMillis).toBeLessThan(settings.publishTimeoutMillis);
    expect(settings.fetchWaitMillis).toBeLessThan(settings.heartbeatMillis);
    expect(settings.requestBytesMax).toBeLessThan(1_048_588);
    expect(settings.source).toBe("/saga");
  });

  it("names the source after the client", () => {
    expect(KafkaConfig.settings({ brokers: [], clientId: "order" }).source).toBe("/order");
  });

  it("reads the environment", async () => {
    const exit = await fromEnvironment({
      KAFKA_BROKERS: "one:9092, two:9092,",
      KAFKA_CLIENT_ID: "order",
      KAFKA_TOPIC_PREFIX: "shop.",
      KAFKA_SSL: "true",
      KAFKA_SASL_MECHANISM: "scram-sha-512",
      KAFKA_SASL_USERNAME: "me",
      KAFKA_SASL_PASSWORD: "hush",
      KAFKA_PARTITIONS: "12",
      KAFKA_REPLICATION_FACTOR: "3",
      KAFKA_TOPIC_RETENTION: "12 hours",
    });
    if (Exit.isFailure(exit)) throw new Error(String(exit));
    const { brokers, clientId, partitions, replicationFactor, sasl, ssl, topicPrefix, topicRetentionMillis } = exit.value;
    expect({ brokers, clientId, partitions, replicationFactor, ssl, topicPrefix, topicRetentionMillis }).toEqual({
      brokers: ["one:9092", "two:9092"],
      clientId: "order",
      partitions: 12,
      replicationFactor: 3,
      ssl: true,
      topicPrefix: "shop.",
      topicRetentionMillis: 43_200_000,
    });
    expect(sasl?.mechanism).toBe("scram-sha-512");
    expect(sasl === null ? "" : Redacted.value(sasl.password)).toBe("hush");
    expect(JSON.stringify(exit.value)).not.toContain("hush");
  });

  it("needs brokers, and nothing else", async () => {
    expect(Exit.isFailure(await fromEnvironment({}))).toBe(true);
    const exit = await fromEnvironment({ KAFKA_BROKERS: "one:9092" });
    expect(Exit.isSuccess(exit) && exit.value.sasl).toBe(null);
  });
});

describe("KafkaClient", () => {
  const made = (options: Partial<KafkaConfig.Options>) =>
    Effect.map(KafkaClient.KafkaClient, (client) =>
      client
        .make()
        .producer({ createPartitioner: () => () => 0 })
        .isIdempotent(),
    ).pipe(
      Effect.provide(KafkaClient.layer),
      Effect.provide(KafkaConfig.layer({ brokers: ["127.0.0.1:1"], ...options })),
      Effect.runPromise,
    );

  it.each(["plain", "scram-sha-256", "scram-sha-512"] as const)("takes SASL %s, and connects to nothing yet", async (mechanism) => {
    expect(await made({ sasl: { mechanism, username: "me", password: Redacted.make("hush") } })).toBe(false);
  });

  it("takes TLS with authorities of one's own", async () => {
    expect(await made({ ssl: Redacted.make({ ca: "pem" }) })).toBe(false);
  });
});

describe("KafkaBus without a broker", () => {
  it("is built, says Unavailable within its time, and is closed", async () => {
    const options = { brokers: ["127.0.0.1:1"], topicPrefix: "t-", publishTimeoutMillis: 300, ensureTimeoutMillis: 300 };
    const answers = await Effect.gen(function* () {
      const bus = yield* MessageBus;
      expect(yield* bus.publish([])).toEqual([]);
      yield* bus.ensureTopics([]);
      return [yield* Effect.flip(bus.publish([MESSAGE])), yield* Effect.flip(bus.ensureTopics(["topic"]))];
    }).pipe(Effect.provide(KafkaBus.layer(options)), Effect.runPromise);
    expect(answers.map(({ reason }) => reason)).toEqual(["Unavailable", "Unavailable"]);
  });

  it("refuses a message whose topic no broker would take, and asks none", async () => {
    const verdicts = await Effect.flatMap(MessageBus, (bus) => bus.publish([{ ...MESSAGE, topic: "no topic" }])).pipe(
      Effect.provide(KafkaBus.layer({ brokers: ["127.0.0.1:1"] })),
      Effect.runPromise,
    );
    expect(verdicts).toEqual(["Refused"]);
  });

  it("refuses to consume or to create what cannot be", async () => {
    const errors = await Effect.gen(function* () {
      const bus = yield* MessageBus;
      const consume = bus.consume({ group: "group", topics: ["a.b_c"], batchMax: 1 }, () => Effect.void);
      return [yield* Effect.flip(consume), yield* Effect.flip(bus.ensureTopics(["__own"]))];
    }).pipe(Effect.provide(KafkaBus.layer({ brokers: ["127.0.0.1:1"] })), Effect.runPromise);
    expect(errors.map(({ reason }) => reason)).toEqual(["Refused", "Refused"]);
  });

  it("is built from the environment, too", async () => {
    const environment = ConfigProvider.layer(ConfigProvider.fromUnknown({ KAFKA_BROKERS: "127.0.0.1:1" }));
    const exit = await Effect.runPromiseExit(Effect.scoped(Layer.build(Layer.provide(KafkaBus.layerConfig, environment))));
    expect(Exit.isSuccess(exit)).toBe(true);
  });
});

const MESSAGE = {
  id: "id",
  type: "sample.v1",
  topic: "topic",
  key: "key",
  occurredAt: 0,
  correlationId: "id",
  causationId: null,
  stepKey: null,
  saga: null,
  traceparent: null,
  tracestate: null,
  payload: "1",
};

describe("TopicName", () => {
  it.each(["order.created", "order_pending", "a", "A-1", "x".repeat(249)])("takes %s", (name) => {
    expect(TopicName.problemOf(name)).toBe(null);
  });

  it.each(["", "x".repeat(250), "a b", "ä", ".", "..", "__consumer_offsets", "a.b_c", "a/b"])("refuses '%s'", (name) => {
    expect(TopicName.problemOf(name)).not.toBe(null);
  });
});
