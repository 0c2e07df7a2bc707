/** Publishing against a driver that answers as told. */
import type { Message, PublishVerdict } from "@org/saga-core";
import { Effect, Exit } from "effect";
import { Kafka, type Producer, type ProducerBatch, type ProducerConfig, type RecordMetadata } from "kafkajs";
import { describe, expect, it } from "vitest";
import { KafkaConfig, type KafkaError } from "../src/index.ts";
import * as KafkaPublisher from "../src/KafkaPublisher.ts";

type Sent = ReadonlyArray<{ readonly topic: string; readonly values: ReadonlyArray<string> }>;

/** A Kafka whose producer answers with `reply`. One partition, 0, for each topic. */
class FakeKafka extends Kafka {
  readonly sent: Array<Sent> = [];
  connects = 0;
  disconnects = 0;
  readonly reply: (sent: Sent, attempt: number) => Promise<Array<RecordMetadata>>;

  constructor(reply: (sent: Sent, attempt: number) => Promise<Array<RecordMetadata>>) {
    super({ brokers: ["127.0.0.1:1"] });
    this.reply = reply;
  }

  override producer(config?: ProducerConfig): Producer {
    const partitioner = config?.createPartitioner?.();
    return {
      ...super.producer(config),
      connect: () => {
        this.connects += 1;
        return this.connects === 1 ? Promise.reject(new Error("not yet")) : Promise.resolve();
      },
      disconnect: () => {
        this.disconnects += 1;
        return Promise.resolve();
      },
      sendBatch: ({ topicMessages = [] }: ProducerBatch) => {
        for (const { messages, topic } of topicMessages) {
          for (const message of messages) partitioner?.({ topic, partitionMetadata: [PARTITION], message });
        }
        const sent = topicMessages.map(({ messages, topic }) => ({ topic, values: messages.map(({ value }) => String(value)) }));
        this.sent.push(sent);
        return this.reply(sent, this.sent.length);
      },
    };
  }
}

const PARTITION = { partitionErrorCode: 0, partitionId: 0, leader: 0, replicas: [0], isr: [0] };

const acknowledged = (sent: Sent): Promise<Array<RecordMetadata>> =>
  Promise.resolve(sent.map(({ topic }) => ({ topicName: topic, partition: 0, errorCode: 0 })));

const tooLarge = (): Promise<never> => Promise.reject(Object.assign(new Error("x"), { type: "MESSAGE_TOO_LARGE" }));

const message = (payload: string, topic = "topic", key = payload): Message.Encoded => ({
  id: payload.slice(0, 8),
  type: "sample.v1",
  topic,
  key,
  occurredAt: 0,
  correlationId: "c",
  causationId: null,
  stepKey: null,
  saga: null,
  traceparent: null,
  tracestate: null,
  payload,
});

/** Publishes twice: the first time there is no connection. */
const publish = (
  kafka: FakeKafka,
  messages: ReadonlyArray<Message.Encoded>,
  options: Partial<KafkaConfig.Options> = {},
): Promise<Exit.Exit<ReadonlyArray<PublishVerdict>, KafkaError.KafkaError>> => {
  const settings = KafkaConfig.settings({ brokers: [], ...options });
  return Effect.gen(function* () {
    const send = yield* KafkaPublisher.make({ settings, make: () => kafka });
    const first = yield* Effect.exit(send([message("0")]));
    expect(Exit.isFailure(first)).toBe(true);
    return yield* Effect.exit(send(messages));
  }).pipe(Effect.scoped, Effect.runPromise);
};

const values = (kafka: FakeKafka): ReadonlyArray<ReadonlyArray<string>> => kafka.sent.map((sent) => sent.flatMap((each) => each.values));

describe("KafkaPublisher", () => {
  it("connects again after it could not, once, and disconnects at the end", async () => {
    const kafka = new FakeKafka(acknowledged);
    expect(await publish(kafka, [message("1"), message("2")])).toEqual(Exit.succeed(["Published", "Published"]));
    expect([kafka.connects, kafka.disconnects]).toEqual([2, 1]);
    expect(values(kafka)).toEqual([["1", "2"]]);
  });

  it("groups by topic, keeping the order in each", async () => {
    const kafka = new FakeKafka(acknowledged);
    await publish(kafka, [message("1", "b"), message("2", "a"), message("3", "b")], { topicPrefix: "t-" });
    expect(kafka.sent).toEqual([
      [
        { topic: "t-b", values: ["1", "3"] },
        { topic: "t-a", values: ["2"] },
      ],
    ]);
  });

  it("cuts the list into requests that are small enough, in order", async () => {
    const kafka = new FakeKafka(acknowledged);
    const payloads = Array.from({ length: 7 }, (_, index) => `${index}${"x".repeat(300)}`);
    const exit = await publish(
      kafka,
      payloads.map((payload) => message(payload)),
      { requestBytesMax: 2_000 },
    );
    expect(Exit.isSuccess(exit)).toBe(true);
    expect(values(kafka).length).toBeGreaterThan(1);
    expect(values(kafka).flat()).toEqual(payloads);
  });

  it("refuses what is larger than a request, without asking the broker", async () => {
    const kafka = new FakeKafka(acknowledged);
    const exit = await publish(kafka, [message("1"), message("x".repeat(5_000)), message("2")], { requestBytesMax: 4_000 });
    expect(exit).toEqual(Exit.succeed(["Published", "Refused", "Published"]));
    expect(values(kafka)).toEqual([["1", "2"]]);
  });

  it("finds the one that the broker thinks too large, and sends its neighbours in order", async () => {
    const kafka = new FakeKafka((sent) => (sent.some((each) => each.values.includes("5")) ? tooLarge() : acknowledged(sent)));
    const exit = await publish(
      kafka,
      ["1", "2", "3", "4", "5", "6", "7"].map((payload) => message(payload)),
    );
    expect(exit).toEqual(Exit.succeed(["Published", "Published", "Published", "Published", "Refused", "Published", "Published"]));
    const accepted = values(kafka).filter((sent) => !sent.includes("5"));
    expect(accepted.flat()).toEqual(["1", "2", "3", "4", "6", "7"]);
  });

  it("sends nothing of a topic and key behind one that is too large, whoever finds it so; earlier ones and other keys go", async () => {
    const large = "x".repeat(5_000);
    const list = [
      message("a1", "t", "a"),
      message(large, "t", "a"),
      message("b1", "t", "b"),
      message("a2", "t", "a"),
      message("5", "t", "c"),
      message("c2", "t", "c"),
      message("c3", "u", "c"),
      message("b2", "t", "b"),
    ];
    const kafka = new FakeKafka((sent) => (sent.some((each) => each.values.includes("5")) ? tooLarge() : acknowledged(sent)));
    const exit = await publish(kafka, list, { requestBytesMax: 4_000 });
    expect(exit).toEqual(
      Exit.succeed([
        "Published",
        "Refused",
        "Published",
        "Held",
        "Refused",
        "Held",
        "Published",
        "Published",
      ] satisfies Array<PublishVerdict>),
    );
    const accepted = values(kafka).filter((sent) => !sent.includes("5"));
    expect(accepted.flat()).toEqual(["a1", "b1", "c3", "b2"]);
  });

  it("stops at the first failure: nothing later is sent", async () => {
    const kafka = new FakeKafka((sent, attempt) => (attempt === 1 ? acknowledged(sent) : Promise.reject(new Error("lost"))));
    const payloads = Array.from({ length: 7 }, (_, index) => `${index}${"x".repeat(300)}`);
    const exit = await publish(
      kafka,
      payloads.map((payload) => message(payload)),
      { requestBytesMax: 1_200 },
    );
    expect(String(exit)).toContain("no broker could be used");
    expect(kafka.sent.length).toBe(2);
  });

  it("does not believe an answer that leaves out a partition, or names an error", async () => {
    for (const lie of [
      () => Promise.resolve([]),
      (sent: Sent) => Promise.resolve(sent.map(({ topic }) => ({ topicName: topic, partition: 0, errorCode: 6 }))),
    ]) {
      const exit = await publish(new FakeKafka(lie), [message("1")]);
      expect(String(exit)).toContain("did not acknowledge every partition");
    }
  });

  it("gives up in time, and closes after what is still under way", async () => {
    let release = (): void => undefined;
    const kafka = new FakeKafka((sent) => new Promise<void>((resolve) => (release = resolve)).then(() => acknowledged(sent)));
    setTimeout(() => release(), 150);
    const exit = await publish(kafka, [message("1")], { publishTimeoutMillis: 50 });
    expect(String(exit)).toContain("no answer within 50 ms");
    expect(kafka.disconnects).toBe(1);
  });
});
