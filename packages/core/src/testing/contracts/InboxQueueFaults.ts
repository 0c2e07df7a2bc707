/** What every `InboxQueue` has to prove when handling fails, dies, or is done twice at once. */
import { Effect, Exit, Fiber } from "effect";
import { DeadLetters } from "../../ports/DeadLetters.ts";
import { InboxQueue } from "../../ports/InboxQueue.ts";
import { StoreError } from "../../ports/StoreError.ts";
import type { UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import { AGAIN, HANDLED, LEFT, NEVER, offsets, only, run, shardOf, store, stored, UNLIMITED, work, workOut } from "./InboxQueueFixture.ts";
import * as Samples from "./Samples.ts";

type Ports = UnitOfWork | InboxQueue | DeadLetters;

/** A pass whose handler never gives an answer. */
const comesAgainAfter = (ending: Effect.Effect<never, StoreError>) =>
  Effect.gen(function* () {
    const consumer = yield* Contract.unique("queue");
    yield* store(consumer, yield* run("key", 3));
    const exit = yield* Effect.exit((yield* InboxQueue).process(consumer, shardOf("key"), UNLIMITED, "wait", () => ending));
    yield* Contract.isTrue(Exit.isFailure(exit), "the pass should fail as its handler did");
    const again = yield* work(consumer, shardOf("key"));
    yield* Contract.equal(
      again.map(({ attempts, position }) => [position.offset, attempts]),
      [
        [1, 0],
        [2, 0],
        [3, 0],
      ],
      "handed over again, no attempt counted",
    );
  });

const outages: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "when handling fails nothing is marked: the messages come again, in the same order",
    comesAgainAfter(Effect.fail(new StoreError({ reason: "Unavailable", operation: "x", message: "away" }))),
  ),
  Contract.check("when handling dies nothing is marked: the messages come again, in the same order", comesAgainAfter(Effect.die("a bug"))),
  Contract.check(
    "when a pass is interrupted nothing is marked, and its shard is free again",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      yield* store(consumer, yield* run("key", 2));
      const handling = yield* Contract.gate;
      const stuck = () => Effect.andThen(handling.open, Effect.never);
      const fiber = yield* Effect.forkChild((yield* InboxQueue).process(consumer, shardOf("key"), UNLIMITED, "wait", stuck));
      yield* handling.passed;
      yield* Fiber.interrupt(fiber);
      yield* Contract.equal(offsets(yield* work(consumer, shardOf("key"))), [1, 2], "handed over again");
    }),
  ),
  Contract.check(
    "an answer with too few marks marks nothing and is refused with Misuse",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      yield* store(consumer, yield* run("key", 2));
      const short = (yield* InboxQueue).process(consumer, shardOf("key"), UNLIMITED, "wait", () => Effect.succeed([HANDLED]));
      yield* Contract.failsWith(short, ["Misuse"], "a pass with one mark for two messages");
      yield* Contract.equal(offsets(yield* work(consumer, shardOf("key"))), [1, 2], "handed over again");
    }),
  ),
  Contract.check(
    "what is left comes again at once, and no attempt is counted",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      yield* store(consumer, yield* run("key", 3));
      yield* work(consumer, shardOf("key"), { mark: ({ position }) => (position.offset === 1 ? HANDLED : LEFT) });
      const again = yield* work(consumer, shardOf("key"));
      yield* Contract.equal(
        again.map(({ attempts, position }) => [position.offset, attempts]),
        [
          [2, 0],
          [3, 0],
        ],
        "handed over again",
      );
    }),
  ),
  Contract.checkWithTwoConnections(
    "a shard that is worked at is Busy for others, who are handed nothing; other shards are not, nor other consumers",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      const queue = yield* InboxQueue;
      yield* store(consumer, yield* run("key", 1));
      const [handling, finish] = [yield* Contract.gate, yield* Contract.gate];
      const slow = () => Effect.andThen(handling.open, Effect.as(finish.passed, [HANDLED]));
      const owner = yield* Effect.forkChild(queue.process(consumer, shardOf("key"), UNLIMITED, "wait", slow));
      yield* handling.passed;
      const busy = yield* queue.process(consumer, shardOf("key"), UNLIMITED, "wait", () => Effect.die("two owners of one shard"));
      yield* Contract.equal(busy, { _tag: "Busy" }, "the second pass");
      yield* work(consumer, (shardOf("key") + 1) % 64);
      yield* work(yield* Contract.unique("queue"), shardOf("key"));
      // The owner is no obstacle to a puller.
      yield* store(consumer, yield* run("key", 1, 2));
      yield* finish.open;
      yield* Contract.equal(yield* Fiber.join(owner), { _tag: "Processed", handled: 1, failed: 0, dead: 0, held: 0 }, "the owner's answer");
      yield* Contract.equal(offsets(yield* work(consumer, shardOf("key"))), [2], "handed over next");
    }),
  ),
];

const failures: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a message that failed comes again when its time has come, not before, and its attempts are counted",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      const queue = yield* InboxQueue;
      yield* store(consumer, yield* run("key", 1));
      yield* work(consumer, shardOf("key"), { mark: () => AGAIN });
      const second = yield* work(consumer, shardOf("key"), { mark: () => ({ _tag: "Failed", afterMillis: 1_500 }) });
      yield* Contract.equal(second[0]?.attempts, 1, "attempts before the second one");
      yield* Contract.equal(yield* queue.pendingShards(consumer), [], "pending shards meanwhile");
      yield* Contract.equal(yield* work(consumer, shardOf("key")), [], "handed over meanwhile");
      yield* Contract.wait(1_600);
      yield* Contract.equal(yield* queue.pendingShards(consumer), [shardOf("key")], "pending shards afterwards");
      yield* Contract.equal((yield* work(consumer, shardOf("key")))[0]?.attempts, 2, "attempts before the third one");
      yield* Contract.equal((yield* queue.backlog(consumer)).unprocessed, 0, "left");
    }),
  ),
  Contract.check(
    "wait: the later messages of a key that failed are held back, others go on; then they follow in order",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      const queue = yield* InboxQueue;
      const shard = shardOf("key");
      const other = yield* Samples.neighbour("key");
      yield* store(consumer, yield* run("key", 1));
      yield* work(consumer, shard, { mark: () => ({ _tag: "Failed", afterMillis: 1_500 }) });
      yield* store(consumer, [...(yield* run("key", 5, 2)), ...(yield* run(other, 2, 10))]);
      yield* Contract.equal(offsets(yield* workOut(consumer, shard, { max: 4 })), [10, 11], "handed over meanwhile");
      yield* Contract.equal(yield* queue.pendingShards(consumer), [], "what is held back is not pending");
      yield* store(consumer, yield* run("key", 1, 7));
      yield* Contract.wait(1_600);
      yield* Contract.equal(offsets(yield* workOut(consumer, shard, { max: 4 })), [1, 2, 3, 4, 5, 6, 7], "handed over afterwards");
      yield* Contract.equal((yield* queue.backlog(consumer)).unprocessed, 0, "left");
    }),
  ),
  Contract.check(
    "wait: when a message that was held back fails in its turn, those behind it wait for it",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      const shard = shardOf("key");
      yield* store(consumer, yield* run("key", 4));
      yield* work(consumer, shard, { mark: ({ position }) => (position.offset === 1 ? AGAIN : LEFT) });
      const mark = ({ position }: { readonly position: { readonly offset: number } }) =>
        position.offset === 1 ? HANDLED : position.offset === 2 ? NEVER : LEFT;
      const seen = yield* workOut(consumer, shard, { mark });
      yield* Contract.isTrue(offsets(seen).includes(2), "the second one was handed over");
      yield* Contract.equal(yield* work(consumer, shard), [], "handed over meanwhile");
      yield* Contract.equal(
        yield* (yield* InboxQueue).backlog(consumer).pipe(Effect.map(({ failed, unprocessed }) => [unprocessed, failed])),
        [3, 1],
        "left",
      );
    }),
  ),
  Contract.check(
    "follow: the later messages of a key that failed go on",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      const shard = shardOf("key");
      yield* store(consumer, yield* run("key", 2));
      yield* work(consumer, shard, { policy: "follow", mark: only(1, NEVER) });
      yield* store(consumer, yield* run("key", 1, 3));
      yield* Contract.equal(offsets(yield* work(consumer, shard, { policy: "follow" })), [3], "handed over meanwhile");
      yield* Contract.equal(yield* (yield* InboxQueue).backlog(consumer).pipe(Effect.map(({ unprocessed }) => unprocessed)), 1, "left");
    }),
  ),
  Contract.check(
    "a dead one leaves the queue for the dead letters, with its attempts and position, and its followers go on",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      const shard = shardOf("key");
      const [first, second] = [yield* stored("key", 1), yield* stored("key", 2)];
      yield* store(consumer, [first, second]);
      yield* work(consumer, shard, { mark: ({ position }) => (position.offset === 1 ? AGAIN : LEFT) });
      const dead = { _tag: "Dead", problem: "poisoned", detail: "a bug" } as const;
      const seen = yield* workOut(consumer, shard, { mark: only(1, dead) });
      yield* Contract.equal(offsets(seen), [1, 2], "handed over");
      const letters = yield* (yield* DeadLetters).list(consumer, 10);
      yield* Contract.equal(
        letters.map(({ at: _, ...letter }) => letter),
        [{ consumer, message: first.message, position: "contract.sample/0/1", problem: "poisoned", detail: "a bug", attempts: 2 }],
        "dead letters",
      );
      yield* Contract.equal((yield* (yield* InboxQueue).backlog(consumer)).unprocessed, 0, "left");
    }),
  ),
  Contract.check(
    "what failed never keeps what is new from its turn, nor the other way round",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("queue");
      const shard = shardOf("key");
      const keys = yield* Effect.replicateEffect(Samples.neighbour("key"), 6);
      yield* store(consumer, yield* Effect.forEach(keys, (key, index) => stored(key, index + 1)));
      yield* work(consumer, shard, { mark: () => AGAIN });
      yield* store(consumer, yield* run("key", 6, 10));
      const both = offsets(yield* work(consumer, shard, { max: 4, mark: () => LEFT }));
      yield* Contract.isTrue(both.some((offset) => offset < 10) && both.some((offset) => offset >= 10), "both kinds are handed over");
    }),
  ),
];

export const faults: ReadonlyArray<Contract.Case<Ports>> = [...outages, ...failures];
