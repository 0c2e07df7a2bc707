/** What every `Outbox` has to prove: G4 (no lost, no phantom event) and G5 (order per key) begin here. */
import { Duration, Effect, Exit, Fiber } from "effect";
import type * as Message from "../../domain/Message.ts";
import { DocumentStore } from "../../ports/DocumentStore.ts";
import { Outbox, OUTBOX_SHARDS, type PublishVerdict } from "../../ports/Outbox.ts";
import { BusError } from "../../ports/StoreError.ts";
import { UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import * as Samples from "./Samples.ts";

export type Ports = UnitOfWork | Outbox | DocumentStore;

type Messages = ReadonlyArray<Message.Encoded>;

const UNLIMITED = 1_000;

/** Appends in a transaction of its own. */
const append = Effect.fnUntraced(function* (messages: Messages) {
  yield* (yield* UnitOfWork).commit((yield* Outbox).append(messages));
});

const publishAll = (batch: Messages): Effect.Effect<ReadonlyArray<PublishVerdict>> => Effect.succeed(batch.map(() => "Published"));

/** One drain that publishes everything; what it was handed, in order. */
const drain = Effect.fnUntraced(function* (shard: number, max: number = UNLIMITED) {
  const handed: Array<Message.Encoded> = [];
  const result = yield* (yield* Outbox).drain(shard, max, (batch) => {
    handed.push(...batch);
    return publishAll(batch);
  });
  yield* Contract.equal(result, { _tag: "Drained", published: handed.length, refused: 0 }, "the drain's answer");
  return handed;
});

/** A key whose shard has nothing pending: what earlier cases left there is published first. */
const freshKey = Effect.fnUntraced(function* () {
  const key = yield* Contract.unique("outbox");
  while ((yield* drain(Samples.shardOf(key))).length > 0);
  return key;
});

const ids = (messages: Messages): ReadonlyArray<string> => messages.map((message) => message.id);

const isPending = Effect.fnUntraced(function* (key: string) {
  return (yield* (yield* Outbox).pendingShards).includes(Samples.shardOf(key));
});

/** What a drain meets that goes wrong: `publish` never gives an answer. */
const comesAgainAfter = (ending: Effect.Effect<never, BusError>) =>
  Effect.gen(function* () {
    const key = yield* freshKey();
    const messages = yield* Samples.messages(key, 3);
    yield* append(messages);
    const exit = yield* Effect.exit((yield* Outbox).drain(Samples.shardOf(key), UNLIMITED, () => ending));
    yield* Contract.isTrue(Exit.isFailure(exit), "the drain should fail as its publish did");
    yield* Contract.isTrue(yield* isPending(key), "nothing was marked");
    yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages), "handed over again");
  });

const appending: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a committed message is handed over once, with everything that it carries",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const bare = yield* Samples.message(key, { text: "Grüße, 世界 👋", list: [1, null, true] });
      const full = yield* Samples.message(key, "full", {
        causationId: yield* Contract.uuid,
        stepKey: `${key}:reserve-stock:1`,
        saga: "checkout@1",
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        tracestate: "vendor=value",
      });
      yield* append([bare, full]);
      yield* Contract.equal(yield* drain(Samples.shardOf(key)), [bare, full], "handed over");
      yield* Contract.equal(yield* drain(Samples.shardOf(key)), [], "handed over again");
    }),
  ),
  Contract.check(
    "a message of a transaction that was rolled back is never handed over",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const outbox = yield* Outbox;
      const phantom = outbox.append(yield* Samples.messages(key, 1));
      yield* Effect.flip((yield* UnitOfWork).commit(Effect.andThen(phantom, Effect.fail("no"))));
      yield* Contract.isTrue(!(yield* isPending(key)), "nothing should be pending");
      yield* Contract.equal(yield* drain(Samples.shardOf(key)), [], "handed over");
    }),
  ),
  Contract.check(
    "appending nothing appends nothing",
    Effect.gen(function* () {
      const key = yield* freshKey();
      yield* append([]);
      yield* Contract.isTrue(!(yield* isPending(key)), "nothing should be pending");
    }),
  ),
  Contract.check(
    "the shards with something pending are listed once each, in ascending order",
    Effect.gen(function* () {
      const keys = [yield* freshKey(), yield* freshKey(), yield* freshKey()];
      for (const key of keys) yield* append(yield* Samples.messages(key, 2));
      const shards = yield* (yield* Outbox).pendingShards;
      yield* Contract.equal(
        shards,
        [...new Set(shards)].toSorted((left, right) => left - right),
        "the list",
      );
      for (const key of keys) yield* Contract.isTrue(shards.includes(Samples.shardOf(key)), "each shard is in the list");
      for (const key of keys) yield* drain(Samples.shardOf(key));
      for (const key of keys) yield* Contract.isTrue(!(yield* isPending(key)), "a drained shard is not in the list");
    }),
  ),
];

const ordering: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "the messages of a key come in commit order, also when transactions compete for it",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const unit = yield* UnitOfWork;
      const outbox = yield* Outbox;
      const documents = yield* DocumentStore;
      yield* unit.commit(documents.save([Samples.document(key, 1, 1)]));
      const competitors = 12;
      const step = Effect.gen(function* () {
        const revision = ((yield* documents.load(Samples.KIND, [key])).get(key)?.revision ?? 0) + 1;
        yield* documents.save([Samples.document(key, revision, revision)]);
        yield* outbox.append([yield* Samples.message(key, revision), yield* Samples.message(key, revision)]);
      });
      yield* Effect.forEach(Array.from({ length: competitors }), () => unit.commit(step), { concurrency: "unbounded" });
      const bodies = (yield* drain(Samples.shardOf(key))).map((message) => Number(message.payload));
      const commits = Array.from({ length: competitors }, (_, index) => index + 2).flatMap((revision) => [revision, revision]);
      yield* Contract.equal(bodies, commits, "revisions in the order of their publishing");
    }),
  ),
  Contract.check(
    "a shard is handed over in the order of appending, across its keys",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const other = yield* Samples.neighbour(key);
      const [a, b, c] = [yield* Samples.messages(key, 2), yield* Samples.messages(other, 2), yield* Samples.messages(key, 1)];
      for (const part of [a, b, c]) yield* append(part);
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids([...a, ...b, ...c]), "handed over");
    }),
  ),
  Contract.check(
    "a drain takes the oldest first, and never more than it was allowed",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const messages = yield* Samples.messages(key, 5);
      yield* append(messages);
      const shard = Samples.shardOf(key);
      const parts = [yield* drain(shard, 2), yield* drain(shard, 2), yield* drain(shard, 2)];
      yield* Contract.equal(parts.map(ids), [ids(messages.slice(0, 2)), ids(messages.slice(2, 4)), ids(messages.slice(4))], "handed over");
    }),
  ),
  Contract.check(
    "a drain takes only messages of its shard",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const messages = yield* Samples.messages(key, 1);
      yield* append(messages);
      const elsewhere = yield* drain((Samples.shardOf(key) + 1) % OUTBOX_SHARDS);
      yield* Contract.isTrue(!ids(elsewhere).includes(messages[0]?.id ?? ""), "the message belongs to another shard");
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages), "handed over");
    }),
  ),
];

const failing: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "when publishing fails nothing is marked: the messages come again, in the same order",
    comesAgainAfter(Effect.fail(new BusError({ reason: "Unavailable", operation: "MessageBus.publish", message: "no broker" }))),
  ),
  Contract.check(
    "when publishing dies nothing is marked: the messages come again, in the same order",
    comesAgainAfter(Effect.die("a bug")),
  ),
  Contract.check(
    "when a drain is interrupted nothing is marked, and its shard is free again",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const messages = yield* Samples.messages(key, 2);
      yield* append(messages);
      const publishing = yield* Contract.gate;
      const stuck = () => Effect.andThen(publishing.open, Effect.never);
      const fiber = yield* Effect.forkChild((yield* Outbox).drain(Samples.shardOf(key), UNLIMITED, stuck));
      yield* publishing.passed;
      yield* Fiber.interrupt(fiber);
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages), "handed over again");
    }),
  ),
  Contract.check(
    "a failed drain keeps newer messages behind the older ones",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const [older, newer] = [yield* Samples.messages(key, 2), yield* Samples.messages(key, 2)];
      yield* append(older);
      yield* Effect.exit((yield* Outbox).drain(Samples.shardOf(key), UNLIMITED, () => Effect.die("a bug")));
      yield* append(newer);
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids([...older, ...newer]), "handed over");
    }),
  ),
  Contract.check(
    "an answer with too few verdicts marks nothing and is refused with Misuse",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const messages = yield* Samples.messages(key, 2);
      yield* append(messages);
      const short = (yield* Outbox).drain(Samples.shardOf(key), UNLIMITED, () => Effect.succeed(["Published"]));
      yield* Contract.failsWith(short, ["Misuse"], "a drain with one verdict for two messages");
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages), "handed over again");
    }),
  ),
  Contract.check(
    "a refused message is parked, never handed over again, and does not hold up the others",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const outbox = yield* Outbox;
      const messages = yield* Samples.messages(key, 3);
      const before = yield* outbox.backlog;
      yield* append(messages);
      const refuseSecond = (batch: Messages): Effect.Effect<ReadonlyArray<PublishVerdict>> =>
        Effect.succeed(batch.map((message) => (message.id === messages[1]?.id ? "Refused" : "Published")));
      const result = yield* outbox.drain(Samples.shardOf(key), UNLIMITED, refuseSecond);
      yield* Contract.equal(result, { _tag: "Drained", published: 2, refused: 1 }, "the drain's answer");
      yield* Contract.equal(yield* drain(Samples.shardOf(key)), [], "handed over again");
      yield* Contract.isTrue(!(yield* isPending(key)), "a parked message is not pending");
      const after = yield* outbox.backlog;
      yield* Contract.equal(after.parked - before.parked, 1, "parked");
      yield* Contract.equal(after.pending - before.pending, 0, "pending");
    }),
  ),
  Contract.checkWithTwoConnections(
    "a shard that is being drained is Busy for others, who are handed nothing; other shards are not",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const outbox = yield* Outbox;
      yield* append(yield* Samples.messages(key, 1));
      const [publishing, finish] = [yield* Contract.gate, yield* Contract.gate];
      const slow = (batch: Messages) => Effect.andThen(publishing.open, Effect.andThen(finish.passed, publishAll(batch)));
      const owner = yield* Effect.forkChild(outbox.drain(Samples.shardOf(key), UNLIMITED, slow));
      yield* publishing.passed;
      const busy = yield* outbox.drain(Samples.shardOf(key), UNLIMITED, () => Effect.die("two owners of one shard"));
      yield* Contract.equal(busy, { _tag: "Busy" }, "the second drain");
      const elsewhere = yield* outbox.drain((Samples.shardOf(key) + 1) % OUTBOX_SHARDS, UNLIMITED, publishAll);
      yield* Contract.equal(elsewhere._tag, "Drained", "a drain of another shard");
      yield* finish.open;
      yield* Contract.equal(yield* Fiber.join(owner), { _tag: "Drained", published: 1, refused: 0 }, "the owner's answer");
      yield* Contract.equal(yield* drain(Samples.shardOf(key)), [], "handed over again");
    }),
  ),
  Contract.checkWithTwoConnections(
    "messages are pending until the bus has answered",
    Effect.gen(function* () {
      const key = yield* freshKey();
      yield* append(yield* Samples.messages(key, 1));
      const [publishing, finish] = [yield* Contract.gate, yield* Contract.gate];
      const slow = (batch: Messages) => Effect.andThen(publishing.open, Effect.andThen(finish.passed, publishAll(batch)));
      const owner = yield* Effect.forkChild((yield* Outbox).drain(Samples.shardOf(key), UNLIMITED, slow));
      yield* publishing.passed;
      yield* Contract.isTrue(yield* isPending(key), "still pending while publishing");
      yield* finish.open;
      yield* Fiber.join(owner);
      yield* Contract.isTrue(!(yield* isPending(key)), "no longer pending after the answer");
    }),
  ),
];

const keeping: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "the backlog counts what is pending and tells the oldest time",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const outbox = yield* Outbox;
      const before = yield* outbox.backlog;
      const ancient = 1_000;
      yield* append([yield* Samples.message(key, 1, { occurredAt: ancient + 1 }), yield* Samples.message(key, 2, { occurredAt: ancient })]);
      const during = yield* outbox.backlog;
      yield* Contract.equal(during.pending - before.pending, 2, "pending");
      yield* Contract.equal(during.oldestAt, ancient, "the oldest time");
      yield* drain(Samples.shardOf(key));
      yield* Contract.equal(yield* outbox.backlog, before, "after the drain");
    }),
  ),
  Contract.check(
    "a sweep deletes what was sent before its time, and counts it",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const outbox = yield* Outbox;
      yield* append(yield* Samples.messages(key, 3));
      yield* drain(Samples.shardOf(key));
      yield* Contract.equal(yield* outbox.sweep(Samples.PAST), 0, "swept of what was sent in the past");
      yield* Contract.isTrue((yield* outbox.sweep(Samples.FUTURE)) >= 3, "the sweep should count what it deleted");
      yield* Contract.equal(yield* outbox.sweep(Samples.FUTURE), 0, "swept by a second sweep");
    }),
  ),
  Contract.check(
    "a sweep never deletes what is pending or parked",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const outbox = yield* Outbox;
      yield* append(yield* Samples.messages(key, 1));
      yield* outbox.drain(Samples.shardOf(key), UNLIMITED, (batch) => Effect.succeed(batch.map(() => "Refused")));
      const messages = yield* Samples.messages(key, 1);
      yield* append(messages);
      const before = yield* outbox.backlog;
      yield* outbox.sweep(Samples.FUTURE);
      yield* Contract.equal(yield* outbox.backlog, before, "the backlog");
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages), "handed over");
    }),
  ),
  Contract.check(
    "a wait ends when something is appended",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const outbox = yield* Outbox;
      // Waits until the news of earlier appends is used up, so that the next wait really waits.
      yield* Effect.forkChild(outbox.awaitPending(Duration.millis(1)));
      yield* Contract.settle;
      const waiter = yield* Effect.forkChild(outbox.awaitPending(Duration.hours(1)));
      yield* Contract.settle;
      yield* append(yield* Samples.messages(key, 1));
      yield* Contract.settle;
      for (let turn = 0; turn < 5 && waiter.pollUnsafe() === undefined; turn += 1) yield* Contract.settle;
      yield* Contract.isTrue(waiter.pollUnsafe() !== undefined, "the wait should have ended");
      yield* drain(Samples.shardOf(key));
    }),
  ),
  Contract.check(
    "an append between two waits is not slept through",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const outbox = yield* Outbox;
      yield* append(yield* Samples.messages(key, 1));
      const waiter = yield* Effect.forkChild(outbox.awaitPending(Duration.hours(1)));
      for (let turn = 0; turn < 5 && waiter.pollUnsafe() === undefined; turn += 1) yield* Contract.settle;
      yield* Contract.isTrue(waiter.pollUnsafe() !== undefined, "the wait should have ended");
      yield* drain(Samples.shardOf(key));
    }),
  ),
  Contract.check(
    "a wait ends at the latest after its time",
    Effect.gen(function* () {
      const outbox = yield* Outbox;
      const waiter = yield* Effect.forkChild(Effect.replicateEffect(outbox.awaitPending(Duration.millis(30)), 2));
      for (let turn = 0; turn < 5 && waiter.pollUnsafe() === undefined; turn += 1) yield* Contract.settle;
      yield* Contract.isTrue(waiter.pollUnsafe() !== undefined, "the wait should have ended");
    }),
  ),
];

export const cases: ReadonlyArray<Contract.Case<Ports>> = [...appending, ...ordering, ...failing, ...keeping];
