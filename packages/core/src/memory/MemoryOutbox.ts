/**
 * `Outbox` on a `MemoryDatabase`. Transactions run one after another, so the sequence follows the commit order by itself.
 *
 * Fault points of a drain: `Outbox.drain.beforePublish`, `.afterPublish` (on the bus, not marked: it comes again) and
 * `.afterMark`.
 */
import { Duration, Effect, Layer } from "effect";
import * as Shard from "../domain/Shard.ts";
import { type Backlog, type DrainResult, Outbox, OUTBOX_SHARDS, type PublishVerdict } from "../ports/Outbox.ts";
import type { BusError, StoreError } from "../ports/StoreError.ts";
import type * as Message from "../domain/Message.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";

export const layer: Layer.Layer<Outbox, never, MemoryDatabase.CurrentDatabase> = Layer.effect(
  Outbox,
  Effect.map(MemoryDatabase.CurrentDatabase, (database) => {
    // What this process has not been told of yet wakes its next wait at once, so no append is slept through.
    let seen = database.appends;
    return {
      append: (messages) => FaultPoint.around("Outbox.append", append(database, messages)),
      pendingShards: FaultPoint.around(
        "Outbox.pendingShards",
        Effect.sync(() => [...new Set(pending(database).map((row) => row.shard))].toSorted((left, right) => left - right)),
      ),
      drain: (shard, max, publish) => FaultPoint.around("Outbox.drain", drain(database, shard, max, publish)),
      awaitPending: Effect.fnUntraced(function* (atMost) {
        yield* FaultPoint.hit("Outbox.awaitPending.before");
        if (database.appends === seen) yield* Effect.timeoutOption(database.appended.await, Duration.max(atMost, Duration.zero));
        seen = database.appends;
        yield* FaultPoint.hit("Outbox.awaitPending.after");
      }),
      backlog: FaultPoint.around(
        "Outbox.backlog",
        Effect.sync(() => backlogOf(database)),
      ),
      sweep: (before) =>
        FaultPoint.around(
          "Outbox.sweep",
          Effect.sync(() => database.outboxSent.removeCommittedWhere((row) => row.sentAt < before)),
        ),
    };
  }),
);

const append = Effect.fnUntraced(function* (database: MemoryDatabase.Database, messages: ReadonlyArray<Message.Encoded>) {
  yield* MemoryDatabase.current(database, "Outbox.append");
  for (const message of messages) {
    const seq = database.nextSeq();
    database.outboxPending.put(seq, { seq, shard: Shard.of(message.key, OUTBOX_SHARDS), message });
  }
});

const drain = <R>(
  database: MemoryDatabase.Database,
  shard: number,
  max: number,
  publish: (messages: ReadonlyArray<Message.Encoded>) => Effect.Effect<ReadonlyArray<PublishVerdict>, BusError, R>,
): Effect.Effect<DrainResult, StoreError | BusError, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      if (database.busyShards.has(shard)) return false;
      database.busyShards.add(shard);
      return true;
    }),
    (isOwner) => (isOwner ? drainOwned(database, shard, max, publish) : Effect.succeed<DrainResult>({ _tag: "Busy" })),
    (isOwner) =>
      Effect.sync(() => {
        if (isOwner) database.busyShards.delete(shard);
      }),
  );

const drainOwned = Effect.fnUntraced(function* <R>(
  database: MemoryDatabase.Database,
  shard: number,
  max: number,
  publish: (messages: ReadonlyArray<Message.Encoded>) => Effect.Effect<ReadonlyArray<PublishVerdict>, BusError, R>,
): Effect.fn.Return<DrainResult, StoreError | BusError, R> {
  const rows = pending(database)
    .filter((row) => row.shard === shard)
    .slice(0, max);
  if (rows.length === 0) return { _tag: "Drained", published: 0, refused: 0 };
  yield* FaultPoint.hit("Outbox.drain.beforePublish");
  const verdicts = yield* publish(rows.map((row) => row.message));
  yield* FaultPoint.hit("Outbox.drain.afterPublish");
  if (verdicts.length !== rows.length) {
    return yield* MemoryDatabase.failure("Misuse", "Outbox.drain", `${verdicts.length} verdicts for ${rows.length} messages`);
  }
  const sentAt = yield* MemoryDatabase.now;
  let published = 0;
  for (const [index, row] of rows.entries()) {
    database.outboxPending.removeCommitted(row.seq);
    if (verdicts[index] === "Published") {
      database.outboxSent.putCommitted(row.seq, { ...row, sentAt });
      published += 1;
    } else {
      database.outboxParked.putCommitted(row.seq, row);
    }
  }
  yield* FaultPoint.hit("Outbox.drain.afterMark");
  return { _tag: "Drained", published, refused: rows.length - published };
});

/** Committed and unpublished rows; rows are inserted in seq order, so this is seq order. */
const pending = (database: MemoryDatabase.Database): ReadonlyArray<MemoryDatabase.OutboxRow> => [
  ...database.outboxPending.committed.values(),
];

const backlogOf = (database: MemoryDatabase.Database): Backlog => {
  const rows = pending(database);
  const oldestAt = rows.reduce<number | null>(
    (oldest, row) => (oldest === null ? row.message.occurredAt : Math.min(oldest, row.message.occurredAt)),
    null,
  );
  return { pending: rows.length, oldestAt, parked: database.outboxParked.committed.size };
};
