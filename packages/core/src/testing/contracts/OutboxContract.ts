/** What every `Outbox` has to prove: G4 (no lost, no phantom event) and G5 (order per key) begin here. */
import { Duration, Effect } from "effect";
import { DocumentStore } from "../../ports/DocumentStore.ts";
import { Outbox, OUTBOX_SHARDS } from "../../ports/Outbox.ts";
import { UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import { faults } from "./OutboxFaults.ts";
import { append, drain, freshKey, ids, isPending, UNLIMITED } from "./OutboxFixture.ts";
import { parking } from "./OutboxParking.ts";
import * as Samples from "./Samples.ts";

export type Ports = UnitOfWork | Outbox | DocumentStore;

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
        yield* outbox.append([yield* Samples.message(key, 2 * revision), yield* Samples.message(key, 2 * revision + 1)]);
      });
      yield* Effect.forEach(Array.from({ length: competitors }), () => unit.commit(step), { concurrency: "unbounded" });
      const bodies = (yield* drain(Samples.shardOf(key))).map((message) => Number(message.payload));
      const commits = Array.from({ length: competitors * 2 }, (_, index) => index + 4);
      yield* Contract.equal(bodies, commits, "two messages a revision, in the order of their publishing");
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

const keeping: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "the backlog counts what is pending and tells the time of what was appended first",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const outbox = yield* Outbox;
      for (const shard of yield* outbox.pendingShards) while ((yield* drain(shard)).length > 0);
      const before = yield* outbox.backlog;
      const ancient = 1_000;
      yield* append([yield* Samples.message(key, 1, { occurredAt: ancient }), yield* Samples.message(key, 2, { occurredAt: ancient - 1 })]);
      const during = yield* outbox.backlog;
      yield* Contract.equal(during.pending - before.pending, 2, "pending");
      yield* Contract.equal(during.oldestAt, ancient, "the oldest time");
      yield* drain(Samples.shardOf(key));
      yield* Contract.equal(yield* outbox.backlog, before, "after the drain");
    }),
  ),
  Contract.check(
    "a sweep forgets what is sent and was appended before its time, and counts it",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const outbox = yield* Outbox;
      yield* append(yield* Samples.messages(key, 3));
      yield* drain(Samples.shardOf(key));
      yield* Contract.equal(yield* outbox.sweep(Samples.PAST), 0, "swept of what was appended in the past");
      yield* Contract.isTrue((yield* outbox.sweep(Samples.FUTURE)) >= 3, "the sweep should count what it deleted");
      yield* Contract.equal(yield* outbox.sweep(Samples.FUTURE), 0, "swept by a second sweep");
    }),
  ),
  Contract.check(
    "a sweep never forgets what is pending, parked or held",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const outbox = yield* Outbox;
      yield* append(yield* Samples.messages(key, 2));
      yield* outbox.drain(Samples.shardOf(key), UNLIMITED, (batch) =>
        Effect.succeed(batch.map((_, index) => (index === 0 ? "Refused" : "Held"))),
      );
      const messages = yield* Samples.messages(yield* Samples.neighbour(key), 1);
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

export const cases: ReadonlyArray<Contract.Case<Ports>> = [...appending, ...ordering, ...faults, ...parking, ...keeping];
