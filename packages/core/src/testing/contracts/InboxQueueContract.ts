/** What every `InboxQueue` has to prove: what is stored is handled, in order per key, and never lost. */
import { Duration, Effect, Fiber } from "effect";
import type { DeadLetters } from "../../ports/DeadLetters.ts";
import { InboxQueue } from "../../ports/InboxQueue.ts";
import { UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import { faults } from "./InboxQueueFaults.ts";
import { offsets, run, shardOf, store, stored, TOPIC, work } from "./InboxQueueFixture.ts";
import * as Samples from "./Samples.ts";

export type Ports = UnitOfWork | InboxQueue | DeadLetters;

const storing: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a stored message is handed over once, with everything that it carries",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      const message = yield* Samples.message("key", { text: "Grüße, 世界 👋 \u0000" }, { stepKey: "k:reserve:1", saga: "checkout@1" });
      const position = { topic: TOPIC, partition: 3, offset: 9_007_199_254_740_991 };
      const broken = yield* Samples.message("key", "broken");
      const foreign = { position: { ...position, partition: 4 }, message: { ...broken, payload: "{" }, problem: "notCloudEvent" };
      yield* store(consumer, [{ position, message, problem: null }, foreign]);
      const handed = yield* work(consumer, shardOf("key"));
      yield* Contract.equal(
        handed,
        [
          { position, message, problem: null, attempts: 0 },
          { ...foreign, attempts: 0 },
        ],
        "handed over",
      );
      yield* Contract.equal(yield* work(consumer, shardOf("key")), [], "handed over again");
    }),
  ),
  Contract.check(
    "what is stored already is not stored again, within a call and across calls, wherever it stood",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      const [first, second] = [yield* stored("key", 1), yield* stored("key", 2)];
      const copy = { ...first, position: { ...first.position, offset: 3 } };
      yield* Contract.equal(yield* store(consumer, [first, first, copy]), { _tag: "Stored", added: 1 }, "the first call");
      yield* Contract.equal(yield* store(consumer, [copy, second]), { _tag: "Stored", added: 1 }, "the second call");
      yield* Contract.equal(yield* store(consumer, []), { _tag: "Stored", added: 0 }, "a call with nothing");
      yield* Contract.equal(offsets(yield* work(consumer, shardOf("key"))), [1, 2], "handed over");
    }),
  ),
  Contract.check(
    "what was rolled back was never stored",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      const queue = yield* InboxQueue;
      const phantom = queue.store(consumer, 7, yield* run("key", 1));
      yield* Effect.flip((yield* UnitOfWork).commit(Effect.andThen(phantom, Effect.fail("no"))));
      yield* Contract.equal(yield* queue.pendingShards(consumer), [], "pending shards");
      yield* Contract.equal(
        yield* store(consumer, yield* run("key", 1), 1),
        { _tag: "Stored", added: 1 },
        "the fence was rolled back, too",
      );
    }),
  ),
  Contract.check(
    "a puller with an older lease is Fenced once a newer one has stored, and stores nothing",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      yield* Contract.equal(yield* store(consumer, yield* run("key", 1), 5), { _tag: "Stored", added: 1 }, "the owner");
      yield* Contract.equal(yield* store(consumer, yield* run("key", 1, 2), 6), { _tag: "Stored", added: 1 }, "the successor");
      yield* Contract.equal(yield* store(consumer, yield* run("key", 1, 3), 5), { _tag: "Fenced" }, "the one that was frozen");
      yield* Contract.equal(yield* store(consumer, yield* run("key", 1, 4), 6), { _tag: "Stored", added: 1 }, "the successor again");
      yield* Contract.equal(yield* store(yield* Contract.unique("queue"), [], 1), { _tag: "Stored", added: 0 }, "another consumer");
      yield* Contract.equal(offsets(yield* work(consumer, shardOf("key"))), [1, 2, 4], "handed over");
    }),
  ),
  Contract.check(
    "consumers have queues of their own, and shards list what is theirs",
    Effect.gen(function* () {
      const [one, other] = [yield* Contract.unique("queue"), yield* Contract.unique("queue")];
      const queue = yield* InboxQueue;
      const messages = yield* run("key", 2);
      yield* store(one, messages);
      yield* store(other, messages.slice(0, 1));
      yield* Contract.equal(yield* queue.pendingShards(one), [shardOf("key")], "pending shards");
      yield* Contract.equal(yield* work(one, (shardOf("key") + 1) % 64), [], "another shard");
      yield* Contract.equal(offsets(yield* work(one, shardOf("key"))), [1, 2], "of the one");
      yield* Contract.equal(offsets(yield* work(other, shardOf("key"))), [1], "of the other");
      yield* Contract.equal(yield* queue.pendingShards(one), [], "pending shards afterwards");
    }),
  ),
  Contract.check(
    "a shard is handed over by topic, partition and offset, whatever was stored first, and never more than allowed",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      const at = (topic: string, partition: number, offset: number) => stored("key", offset, { position: { topic, partition, offset } });
      const order = [
        ["a", 0, 2],
        ["a", 0, 10],
        ["a", 2, 1],
        ["a", 10, 0],
        ["a-b", 0, 0],
        ["b", 0, 1],
      ] as const;
      const messages = yield* Effect.forEach(order, ([topic, partition, offset]) => at(topic, partition, offset));
      yield* store(consumer, messages.toReversed());
      const first = yield* work(consumer, shardOf("key"), { max: 4 });
      const rest = yield* work(consumer, shardOf("key"), { max: 4 });
      const seen = [...first, ...rest].map(({ position }) => [position.topic, position.partition, position.offset]);
      yield* Contract.equal(first.length, 4, "the first pass");
      yield* Contract.equal(seen, order, "handed over");
    }),
  ),
  Contract.check(
    "the backlog counts what is stored and what failed, and tells the oldest time",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      const queue = yield* InboxQueue;
      yield* Contract.equal(yield* queue.backlog(consumer), { unprocessed: 0, failed: 0, oldestAt: null }, "of nothing");
      yield* store(consumer, yield* run("key", 3));
      const before = yield* queue.backlog(consumer);
      yield* Contract.isTrue(
        before.oldestAt !== null && before.oldestAt > Samples.PAST && before.oldestAt < Samples.FUTURE,
        "the oldest time",
      );
      yield* work(consumer, shardOf("key"), {
        mark: ({ position }) => (position.offset === 1 ? { _tag: "Failed", afterMillis: 60_000 } : { _tag: "Left" }),
      });
      yield* Contract.equal(yield* queue.backlog(consumer), { ...before, unprocessed: 3, failed: 1 }, "after a failure");
    }),
  ),
  Contract.check(
    "whoever waits hears of what was stored",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      const queue = yield* InboxQueue;
      // Kept from earlier stores, a kick may end the first wait at once.
      yield* queue.awaitPending(consumer, Duration.zero);
      const waiting = yield* Effect.forkChild(queue.awaitPending(consumer, Duration.minutes(10)));
      yield* Contract.settle;
      yield* Contract.isWaiting(waiting, "the wait");
      yield* store(consumer, yield* run("key", 1));
      yield* Fiber.join(waiting);
    }),
  ),
];

export const cases: ReadonlyArray<Contract.Case<Ports>> = [...storing, ...faults];
