/**
 * Publishing: acks=all, in list order, one request in flight per broker.
 *
 * The list is sent in pieces that fit into a request, one after another; a piece that the broker finds too large is cut in
 * two until the culprit stands alone. Nothing of its topic and key is sent after it. The first failure ends it: the caller sends the same list again, and what was already
 * there comes twice, never out of first-occurrence order.
 *
 * The idempotent producer is not used: it would spare the log some duplicates of a retry, not those of a caller that
 * publishes again, and kafkajs never recovers from a lost sequence. Correctness rests on the inbox.
 */
import { Limits, type Message, type PublishVerdict } from "@org/saga-core";
import { Duration, Effect, type Scope } from "effect";
import { Partitioners, type Message as DriverMessage, type Producer, type RecordMetadata } from "kafkajs";
import * as CloudEvents from "./CloudEvents.ts";
import { attempt, type Client, RETRY, topicOf } from "./KafkaClient.ts";
import { failure, type KafkaError } from "./KafkaError.ts";

/** Bytes of a record beside its key, value and headers: lengths, offsets, attributes. Rounded up. */
const RECORD_OVERHEAD = 64;
const HEADER_OVERHEAD = 8;

const OPERATION = "MessageBus.publish";

/** A producer that is not closed by then is closed in the background, in milliseconds. */
const CLOSE_TIMEOUT_MS = 5_000;

/** Every replica in sync has it. */
const ACKS_ALL = -1;

export type Publish = (messages: ReadonlyArray<Message.Encoded>) => Effect.Effect<ReadonlyArray<PublishVerdict>, KafkaError>;

/** Connects with the first message, and again whenever it must; disconnects with the scope. */
export const make = Effect.fnUntraced(function* (client: Client): Effect.fn.Return<Publish, never, Scope.Scope> {
  const { settings } = client;
  // Filled by the partitioner: the driver's answer has to cover every partition that a message went to.
  const partitionOf = new WeakMap<DriverMessage, number>();
  const producer = client.make().producer({
    createPartitioner: () => {
      const choose = Partitioners.DefaultPartitioner();
      return (args) => {
        const partition = choose(args);
        partitionOf.set(args.message, partition);
        return partition;
      };
    },
    allowAutoTopicCreation: false,
    idempotent: false,
    maxInFlightRequests: 1,
    retry: RETRY,
  });
  const driver = yield* connecting(producer);
  const send = Effect.fnUntraced(function* (piece: ReadonlyArray<Item>): Effect.fn.Return<void, KafkaError> {
    const sent = yield* driver(() =>
      producer.sendBatch({ acks: ACKS_ALL, timeout: settings.requestTimeoutMillis, topicMessages: byTopic(piece) }),
    );
    const acknowledged = new Set(sent.filter(isAcknowledged).map(({ topicName, partition }) => `${topicName}/${partition}`));
    // kafkajs 2.2.4 leaves out a partition whose leader moved, during its retries, to a broker that had already answered.
    const lost = piece.find(({ record, topic }) => !acknowledged.has(`${topic}/${partitionOf.get(record)}`));
    if (lost !== undefined) return yield* failure("Unavailable", OPERATION, "the brokers did not acknowledge every partition");
  });
  /** Sends what is open; finds the items that are too large even alone. */
  const sendSplitting = (piece: ReadonlyArray<Item>, verdicts: Verdicts): Effect.Effect<void, KafkaError> =>
    Effect.suspend(() => {
      const open = piece.filter((item) => verdicts.isOpen(item));
      const [first, second] = open;
      if (first === undefined) return Effect.void;
      const split = (error: KafkaError): Effect.Effect<void, KafkaError> => {
        if (error.reason !== "TooLarge") return Effect.fail(error);
        if (second === undefined) return Effect.sync(() => verdicts.refuse(first));
        const half = Math.ceil(open.length / 2);
        return Effect.andThen(sendSplitting(open.slice(0, half), verdicts), sendSplitting(open.slice(half), verdicts));
      };
      return send(open).pipe(Effect.catch(split));
    });
  return Effect.fnUntraced(
    function* (messages) {
      const items = yield* Effect.forEach(messages, (message, index) => itemOf(client, message, index));
      const verdicts = new Verdicts();
      for (const item of items) if (item.problem !== null) verdicts.refuse(item);
      const open = items.filter((item) => verdicts.isOpen(item));
      for (const piece of pieces(open, settings.requestBytesMax)) yield* sendSplitting(piece, verdicts);
      return items.map((item) => verdicts.of(item));
    },
    Effect.timeoutOrElse({
      duration: Duration.millis(settings.publishTimeoutMillis),
      orElse: () => Effect.fail(failure("Unavailable", OPERATION, `no answer within ${settings.publishTimeoutMillis} ms`)),
    }),
  );
});

type Driver = <A>(run: () => Promise<A>) => Effect.Effect<A, KafkaError>;

/**
 * Runs the producer, connected: it is opened by the first call, and the driver reopens what it loses later. At the end
 * what is still under way comes to its own end first: a retry would open the connection again.
 */
const connecting = Effect.fnUntraced(function* (producer: Producer): Effect.fn.Return<Driver, never, Scope.Scope> {
  let connected: Promise<void> | null = null;
  const connect = (): Promise<void> =>
    (connected ??= producer.connect().catch((cause: unknown) => {
      connected = null;
      return Promise.reject(cause);
    }));
  const underWay = new Set<Promise<unknown>>();
  yield* Effect.addFinalizer(() => {
    const closed = Promise.allSettled(underWay).then(() => producer.disconnect());
    return Effect.ignore(
      Effect.timeout(
        attempt(OPERATION, () => closed),
        Duration.millis(CLOSE_TIMEOUT_MS),
      ),
    );
  });
  return (run) =>
    attempt(OPERATION, () => {
      const promise = connect().then(run);
      underWay.add(promise);
      const forget = (): void => void underWay.delete(promise);
      promise.then(forget, forget);
      return promise;
    });
});

/** What became of the items of one call: nothing of a topic and key is sent behind one that was refused. */
class Verdicts {
  /** The place of the first refused item of a lane. */
  readonly #refused = new Map<string, number>();

  refuse(item: Item): void {
    this.#refused.set(item.lane, Math.min(item.index, this.#refused.get(item.lane) ?? item.index));
  }

  of({ index, lane }: Item): PublishVerdict {
    const refused = this.#refused.get(lane) ?? Number.POSITIVE_INFINITY;
    if (index === refused) return "Refused";
    return index > refused ? "Held" : "Published";
  }

  /** Is it to be sent, or has it been? */
  isOpen(item: Item): boolean {
    return this.of(item) === "Published";
  }
}

/** A message on its way. */
interface Item {
  /** Its place in the list. */
  readonly index: number;
  readonly topic: string;
  /** Topic and key: what keeps an order. */
  readonly lane: string;
  readonly record: DriverMessage;
  readonly bytes: number;
  /** Why no broker would take it. */
  readonly problem: string | null;
}

const itemOf = (client: Client, message: Message.Encoded, index: number): Effect.Effect<Item> => {
  const outgoing = CloudEvents.encode(message, client.settings.source);
  const bytes = bytesOf(outgoing);
  // Above the domain's bound no consumer of ours would read it.
  const isTooLarge = bytes > client.settings.requestBytesMax || message.payload.length > Limits.MESSAGE_BYTES_MAX;
  const record: DriverMessage = { key: outgoing.key, value: outgoing.value, headers: { ...outgoing.headers } };
  const lane = JSON.stringify([message.topic, message.key]);
  return topicOf(client, OPERATION, message.topic).pipe(
    Effect.map((topic) => ({ index, topic, lane, record, bytes, problem: isTooLarge ? "too large" : null })),
    Effect.catch((error) => Effect.succeed({ index, topic: message.topic, lane, record, bytes, problem: error.message })),
  );
};

/** In order, in pieces of at most `max` bytes. */
const pieces = (items: ReadonlyArray<Item>, max: number): ReadonlyArray<ReadonlyArray<Item>> => {
  const result: Array<Array<Item>> = [];
  let bytes = max;
  for (const item of items) {
    bytes += item.bytes;
    if (bytes > max) {
      result.push([]);
      bytes = item.bytes;
    }
    result.at(-1)?.push(item);
  }
  return result;
};

const byTopic = (piece: ReadonlyArray<Item>): Array<{ topic: string; messages: Array<DriverMessage> }> =>
  [...Map.groupBy(piece, ({ topic }) => topic)].map(([topic, items]) => ({ topic, messages: items.map(({ record }) => record) }));

const bytesOf = ({ headers, key, value }: CloudEvents.Outgoing): number => {
  let bytes = RECORD_OVERHEAD + Buffer.byteLength(key) + Buffer.byteLength(value);
  for (const [name, text] of Object.entries(headers)) bytes += HEADER_OVERHEAD + name.length + Buffer.byteLength(text);
  return bytes;
};

const isAcknowledged = ({ errorCode }: RecordMetadata): boolean => errorCode === 0;
