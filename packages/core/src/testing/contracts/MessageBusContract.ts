/**
 * What every `MessageBus` has to prove: order per key, at least once, an acknowledgement that follows the handler, groups
 * that know nothing of each other.
 *
 * Each case has a topic and groups of its own. A broker needs time to form a group: cases wait for what has to come, and
 * only then look whether something came that should not have.
 */
import { Deferred, Effect, Fiber } from "effect";
import { MESSAGE_BYTES_MAX } from "../../domain/Limits.ts";
import type * as Message from "../../domain/Message.ts";
import { type Delivery, MessageBus } from "../../ports/MessageBus.ts";
import type { BusError } from "../../ports/StoreError.ts";
import * as Contract from "../Contract.ts";
import * as Samples from "./Samples.ts";

export type Ports = MessageBus;

type Messages = ReadonlyArray<Message.Encoded>;

const BATCH_MAX = 100;

/** Looks at what has to come, and the wait between them, in milliseconds: 30 seconds for a broker that forms a group. */
const LOOKS = 600;
const LOOK_EVERY_MS = 50;

/** Waits until `condition` holds; fails with `what` if it never does. */
const eventually = Effect.fnUntraced(function* (condition: () => boolean, what: string) {
  for (let look = 0; look < LOOKS; look += 1) {
    if (condition()) return;
    yield* Contract.wait(LOOK_EVERY_MS);
  }
  return yield* Contract.fail(`${what} did not happen`);
});

const freshTopic = Effect.fnUntraced(function* () {
  const topic = yield* Contract.unique("contract.bus");
  yield* (yield* MessageBus).ensureTopics([topic]);
  return topic;
});

/** Messages of one key with the bodies `first` to `first + count - 1`. */
const numbered = (topic: string, key: string, count: number, first = 1): Effect.Effect<Messages> =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => first + index),
    (body) => Samples.message(key, body, { topic }),
  );

const publish = Effect.fnUntraced(function* (messages: Messages) {
  const verdicts = yield* (yield* MessageBus).publish(messages);
  yield* Contract.equal(
    verdicts,
    messages.map(() => "Published"),
    "the verdicts",
  );
});

/** A consumer in the background, and what it got. */
interface Reader {
  readonly batches: Array<Messages>;
  readonly got: (key?: string) => ReadonlyArray<string>;
  readonly stop: Effect.Effect<void>;
}

type Handle = (batch: Messages) => Effect.Effect<void, string>;

/** Starts a consumer of `group`; what `handle` gets is noted before it is called. */
const read = Effect.fnUntraced(function* (
  topics: ReadonlyArray<string>,
  group: string,
  handle: Handle = () => Effect.void,
  batchMax: number = BATCH_MAX,
) {
  const bus = yield* MessageBus;
  const batches: Array<Messages> = [];
  const consume: Effect.Effect<never, BusError | string> = bus.consume({ group, topics, batchMax }, (deliveries) =>
    Effect.suspend(() => {
      const batch = deliveries.flatMap(messageOf);
      batches.push(batch);
      return handle(batch);
    }),
  );
  const fiber = yield* Effect.forkChild(consume);
  const reader: Reader = {
    batches,
    got: (key) => batches.flat().flatMap((message) => (key === undefined || message.key === key ? [message.payload] : [])),
    stop: Fiber.interrupt(fiber),
  };
  return reader;
});

const messageOf = (delivery: Delivery): Messages => (delivery._tag === "Readable" ? [delivery.message] : []);

const payloads = (messages: Messages): ReadonlyArray<string> => messages.map((message) => message.payload);

/** Each once, in the order of its first coming. */
const firsts = (values: ReadonlyArray<string>): ReadonlyArray<string> => [...new Set(values)];

const publishing: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a message arrives as it was published, field by field",
    Effect.gen(function* () {
      const topic = yield* freshTopic();
      const plain = yield* Samples.message("order-1", { text: "ünïcödé ✓ 🚀" }, { topic });
      const full: Message.Encoded = {
        ...(yield* Samples.message("order-1", { empty: [] }, { topic })),
        occurredAt: 1_767_225_600_123,
        correlationId: "corrélation-1",
        causationId: yield* Contract.uuid,
        stepKey: "order-1:reserve-stock:1",
        saga: "checkout@1",
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        tracestate: "vendor=value",
      };
      yield* publish([plain, full]);
      const reader = yield* read([topic], yield* Contract.unique("group"));
      yield* eventually(() => reader.got().length >= 2, "the arrival of both");
      yield* reader.stop;
      yield* Contract.equal(reader.batches.flat(), [plain, full], "what arrived");
    }),
  ),
  Contract.check(
    "no message, no verdict",
    Effect.gen(function* () {
      yield* Contract.equal(yield* (yield* MessageBus).publish([]), [], "the verdicts");
    }),
  ),
  Contract.check(
    "behind a message that is too large its topic and key are Held; earlier ones, other keys and other topics arrive",
    Effect.gen(function* () {
      const [topic, elsewhere] = [yield* freshTopic(), yield* freshTopic()];
      const large = yield* Samples.message("key", "x".repeat(MESSAGE_BYTES_MAX * 2), { topic });
      const [first, behind] = yield* numbered(topic, "key", 2);
      const [other] = yield* numbered(topic, "other", 1, 10);
      const [same] = yield* numbered(elsewhere, "key", 1, 20);
      if (first === undefined || behind === undefined || other === undefined || same === undefined)
        return yield* Contract.fail("no messages");
      const bus = yield* MessageBus;
      const verdicts = yield* bus.publish([first, large, other, behind, same]);
      yield* Contract.equal(verdicts, ["Published", "Refused", "Published", "Held", "Published"], "the verdicts");
      yield* Contract.equal(yield* bus.publish([behind]), ["Published"], "the verdict of a later call");
      const reader = yield* read([topic, elsewhere], yield* Contract.unique("group"));
      yield* eventually(() => reader.got().length >= 4, "the arrival of the others");
      yield* reader.stop;
      yield* Contract.equal(reader.got().toSorted(), payloads([first, other, behind, same]).toSorted(), "what arrived");
    }),
  ),
  Contract.check(
    "many messages that are large together are all Published, in order",
    Effect.gen(function* () {
      const topic = yield* freshTopic();
      const padding = "x".repeat(100_000);
      const messages = yield* Effect.forEach(
        Array.from({ length: 24 }, (_, index) => index),
        (index) => Samples.message("key", `${index}-${padding}`, { topic }),
      );
      yield* publish(messages);
      const reader = yield* read([topic], yield* Contract.unique("group"));
      yield* eventually(() => reader.got().length >= messages.length, "the arrival of all");
      yield* reader.stop;
      yield* Contract.isTrue(reader.got().join() === payloads(messages).join(), "all should have arrived once, in order");
    }),
  ),
  Contract.check(
    "topics may be ensured again, by many at once, and keep what they hold",
    Effect.gen(function* () {
      const bus = yield* MessageBus;
      const topics = [yield* Contract.unique("contract.bus"), yield* Contract.unique("contract.bus")];
      yield* Effect.replicateEffect(bus.ensureTopics(topics), 3, { concurrency: "unbounded" });
      const messages = yield* Effect.forEach(topics, (topic) => Samples.message("key", topic, { topic }));
      yield* publish(messages);
      yield* bus.ensureTopics(topics);
      const reader = yield* read(topics, yield* Contract.unique("group"));
      yield* eventually(() => firsts(reader.got()).length >= 2, "the arrival of both");
      yield* reader.stop;
      yield* Contract.equal(firsts(reader.got()).toSorted(), payloads(messages).toSorted(), "what arrived");
    }),
  ),
];

const ordering: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "the messages of a key arrive in publish order, in batches that are not larger than asked for",
    Effect.gen(function* () {
      const topic = yield* freshTopic();
      const keys = ["ada", "bob", "cleo", "dan", "eve"];
      const lanes = yield* Effect.forEach(keys, (key) => numbered(topic, key, 20));
      const interleaved = Array.from({ length: 20 }, (_, turn) => lanes.flatMap((lane) => lane.slice(turn, turn + 1))).flat();
      yield* publish(interleaved.slice(0, 33));
      const reader = yield* read([topic], yield* Contract.unique("group"), undefined, 7);
      yield* publish(interleaved.slice(33));
      yield* eventually(() => keys.every((key) => reader.got(key).includes("20")), "the arrival of all");
      yield* reader.stop;
      // A broker may have taken a part of a request that was then sent again.
      for (const [index, key] of keys.entries()) {
        yield* Contract.equal(firsts(reader.got(key)), payloads(lanes[index] ?? []), `the order of ${key}`);
      }
      yield* Contract.isTrue(
        reader.batches.every((batch) => batch.length > 0 && batch.length <= 7),
        "a batch has 1 to 7 messages",
      );
    }),
  ),
  Contract.check(
    "what a handler fails at comes again, before any later message of its key",
    Effect.gen(function* () {
      const topic = yield* freshTopic();
      const messages = yield* numbered(topic, "key", 30);
      yield* publish(messages);
      const handled: Array<string> = [];
      let failures = 0;
      const failing: Handle = (batch) =>
        Effect.suspend(() => {
          if (batch.some(({ payload }) => payload === "12") && failures < 3) {
            failures += 1;
            return Effect.fail("not yet");
          }
          handled.push(...payloads(batch));
          return Effect.void;
        });
      const reader = yield* read([topic], yield* Contract.unique("group"), failing, 5);
      yield* eventually(() => handled.length >= messages.length, "the handling of all");
      yield* reader.stop;
      yield* Contract.equal(failures, 3, "failures");
      yield* Contract.equal(handled, payloads(messages), "what was handled");
      yield* Contract.equal(reader.got().filter((payload) => payload === "12").length, 4, "deliveries of what failed");
    }),
  ),
  Contract.check(
    "a handler that dies of a defect is a handler that failed",
    Effect.gen(function* () {
      const topic = yield* freshTopic();
      yield* publish(yield* numbered(topic, "key", 1));
      let attempts = 0;
      const dying: Handle = () => Effect.suspend(() => (++attempts === 1 ? Effect.die(new Error("broken")) : Effect.void));
      const reader = yield* read([topic], yield* Contract.unique("group"), dying);
      yield* eventually(() => attempts >= 2, "another attempt");
      yield* reader.stop;
      yield* Contract.equal(reader.got(), ["1", "1"], "what arrived");
    }),
  ),
  Contract.check(
    "while a key's batch fails, other keys go on",
    Effect.gen(function* () {
      const topic = yield* freshTopic();
      const keys = Array.from({ length: 40 }, (_, index) => `key-${index}`);
      yield* publish(yield* Effect.forEach(keys, (key) => Samples.message(key, key, { topic })));
      const failing: Handle = (batch) => (batch.some(({ key }) => key === "key-0") ? Effect.fail("never") : Effect.void);
      const reader = yield* read([topic], yield* Contract.unique("group"), failing, 1);
      yield* eventually(() => reader.got("key-0").length >= 2 && firsts(reader.got()).length > keys.length / 2, "progress of most others");
      yield* reader.stop;
    }),
  ),
];

const grouping: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a consumer goes on after what its group has acknowledged; what the last one died over comes again",
    Effect.gen(function* () {
      const topic = yield* freshTopic();
      const messages = yield* numbered(topic, "key", 20);
      yield* publish(messages);
      const group = yield* Contract.unique("group");
      const reached = yield* Deferred.make<void>();
      const stuckAtTen: Handle = (batch) =>
        batch.some(({ payload }) => payload === "10") ? Effect.andThen(Deferred.succeed(reached, undefined), Effect.never) : Effect.void;
      const first = yield* read([topic], group, stuckAtTen, 4);
      yield* eventually(() => first.got().includes("10"), "the arrival of the tenth");
      yield* Deferred.await(reached);
      yield* first.stop;
      const dead = payloads(first.batches.at(-1) ?? []);
      const second = yield* read([topic], group, undefined, 4);
      yield* eventually(() => second.got().length >= 20 - first.got().length + dead.length, "the arrival of the rest");
      yield* Contract.settle;
      yield* second.stop;
      const acknowledged = first.got().slice(0, -dead.length);
      yield* Contract.equal([...acknowledged, ...second.got()], payloads(messages), "acknowledged by the first, and got by the second");
    }),
  ),
  Contract.check(
    "groups are independent, and a group that comes late gets what was published before",
    Effect.gen(function* () {
      const topic = yield* freshTopic();
      const messages = yield* numbered(topic, "key", 10);
      yield* publish(messages);
      const failing = yield* read([topic], yield* Contract.unique("group"), () => Effect.fail("never"));
      const healthy = yield* read([topic], yield* Contract.unique("group"));
      yield* eventually(() => healthy.got().length >= 10 && failing.got().length > 0, "arrival in both groups");
      const late = yield* read([topic], yield* Contract.unique("group"));
      yield* eventually(() => late.got().length >= 10, "arrival in the late group");
      for (const reader of [failing, healthy, late]) yield* reader.stop;
      yield* Contract.equal(healthy.got(), payloads(messages), "the healthy group");
      yield* Contract.equal(late.got(), payloads(messages), "the late group");
    }),
  ),
  Contract.check(
    "consumers of a group share the work; who leaves hands over to the others",
    Effect.gen(function* () {
      const topic = yield* freshTopic();
      const group = yield* Contract.unique("group");
      const keys = Array.from({ length: 30 }, (_, index) => `key-${index}`);
      const round = (turn: number) =>
        Effect.flatMap(
          Effect.forEach(keys, (key) => Samples.message(key, turn, { topic })),
          publish,
        );
      const [first, second] = [yield* read([topic], group), yield* read([topic], group)];
      let turns = 0;
      while (first.got().length === 0 || second.got().length === 0) {
        turns += 1;
        yield* Contract.isTrue(turns < LOOKS, "both consumers should get something");
        yield* round(turns);
        yield* Contract.wait(LOOK_EVERY_MS);
      }
      yield* first.stop;
      yield* round(turns + 1);
      const all = Array.from({ length: turns + 1 }, (_, index) => String(index + 1));
      const gotBy = (key: string): ReadonlyArray<string> => [...first.got(key), ...second.got(key)];
      yield* eventually(() => keys.every((key) => all.every((payload) => gotBy(key).includes(payload))), "the arrival of all");
      yield* second.stop;
      for (const key of keys) {
        yield* Contract.equal(firsts(second.got(key)), firsts(second.got(key)).toSorted(numerically), `the order of ${key}`);
      }
    }),
  ),
];

const numerically = (left: string, right: string): number => Number(left) - Number(right);

export const cases: ReadonlyArray<Contract.Case<Ports>> = [...publishing, ...ordering, ...grouping];
