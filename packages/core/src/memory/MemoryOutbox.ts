/**
 * `Outbox` on a `MemoryDatabase`. Transactions run one after another, so the sequence follows the commit order by itself.
 *
 * Fault points of a drain: `Outbox.drain.beforePublish`, `.afterPublish` (on the bus, not marked: it comes again) and
 * `.afterMark`.
 */
import { Duration, Effect, Layer } from "effect";
import * as Shard from "../domain/Shard.ts";
import {
  type Backlog,
  BACKLOG_COUNT_MAX,
  type DrainResult,
  type DrainVerdict,
  Outbox,
  OUTBOX_SHARDS,
  type Parked,
  type ParkedDecision,
  verdictProblem,
} from "../ports/Outbox.ts";
import type { BusError, StoreError } from "../ports/StoreError.ts";
import type * as Message from "../domain/Message.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";
import { keyOf } from "./MemoryTable.ts";

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
        return [];
      }),
      backlog: FaultPoint.around(
        "Outbox.backlog",
        Effect.sync(() => backlogOf(database)),
      ),
      sweep: (before) =>
        FaultPoint.around(
          "Outbox.sweep",
          Effect.sync(() => database.outboxSent.removeCommittedWhere((row) => row.appendedAt < before)),
        ),
      parked: (max) =>
        FaultPoint.around(
          "Outbox.parked",
          Effect.sync(() => parkedOf(database).slice(0, max)),
        ),
      settleParked: (messageIds, decision) =>
        FaultPoint.around("Outbox.settleParked", settleParked(database, new Set(messageIds), decision)),
      decisions: (max) =>
        FaultPoint.around(
          "Outbox.decisions",
          Effect.sync(() => database.outboxDecisions.toReversed().slice(0, max)),
        ),
    };
  }),
);

type Publish<R> = (messages: ReadonlyArray<Message.Encoded>) => Effect.Effect<ReadonlyArray<DrainVerdict>, BusError, R>;

const append = Effect.fnUntraced(function* (database: MemoryDatabase.Database, messages: ReadonlyArray<Message.Encoded>) {
  const { now } = yield* MemoryDatabase.current(database, "Outbox.append");
  for (const message of messages) {
    const seq = database.nextSeq();
    database.outboxPending.put(seq, { seq, shard: Shard.of(message.key, OUTBOX_SHARDS), message, appendedAt: now });
  }
});

const drain = <R>(
  database: MemoryDatabase.Database,
  shard: number,
  max: number,
  publish: Publish<R>,
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
  publish: Publish<R>,
): Effect.fn.Return<DrainResult, StoreError | BusError, R> {
  const claimed = pending(database)
    .filter((row) => row.shard === shard)
    .slice(0, max);
  const blocked = blockedLanes(database);
  const [held, rows] = [claimed.filter((row) => blocked.has(laneOf(row))), claimed.filter((row) => !blocked.has(laneOf(row)))];
  yield* FaultPoint.hit("Outbox.drain.beforePublish");
  const messages = rows.map((row) => row.message);
  const verdicts = messages.length === 0 ? [] : yield* publish(messages);
  yield* FaultPoint.hit("Outbox.drain.afterPublish");
  const problem = verdictProblem(messages, verdicts);
  if (problem !== null) return yield* MemoryDatabase.failure("Misuse", "Outbox.drain", problem);
  const now = yield* MemoryDatabase.now;
  const counts = { published: 0, refused: 0, held: held.length };
  const park = (row: MemoryDatabase.OutboxRow, as: MemoryDatabase.ParkedRow["as"]): void => {
    database.outboxPending.removeCommitted(row.seq);
    database.outboxParked.putCommitted(row.seq, { ...row, parkedAt: now, as });
  };
  for (const row of held) park(row, "held");
  for (const [index, row] of rows.entries()) {
    const verdict = verdicts[index];
    if (verdict === "Published") {
      database.outboxPending.removeCommitted(row.seq);
      database.outboxSent.putCommitted(row.seq, row);
      counts.published += 1;
    } else if (verdict === "Held") {
      park(row, "held");
      counts.held += 1;
    } else {
      park(row, verdict === "Refused" ? "blocking" : "aside");
      counts.refused += 1;
    }
  }
  yield* FaultPoint.hit("Outbox.drain.afterMark");
  return { _tag: "Drained", ...counts };
});

/** Messages that keep an order among themselves: those of a topic and key. */
const laneOf = ({ message }: MemoryDatabase.OutboxRow): string => keyOf(message.topic, message.key);

const blockedLanes = (database: MemoryDatabase.Database): ReadonlySet<string> =>
  new Set([...database.outboxParked.committed.values()].filter(({ as }) => as === "blocking").map(laneOf));

/** Committed and unpublished rows, in seq order. */
const pending = (database: MemoryDatabase.Database): ReadonlyArray<MemoryDatabase.OutboxRow> =>
  [...database.outboxPending.committed.values()].toSorted((left, right) => left.seq - right.seq);

const refusedRows = (database: MemoryDatabase.Database): ReadonlyArray<MemoryDatabase.ParkedRow> =>
  [...database.outboxParked.committed.values()].filter(({ as }) => as !== "held").toSorted((left, right) => left.seq - right.seq);

const heldRows = (database: MemoryDatabase.Database): ReadonlyArray<MemoryDatabase.ParkedRow> =>
  [...database.outboxParked.committed.values()].filter(({ as }) => as === "held");

const backlogOf = (database: MemoryDatabase.Database): Backlog => {
  const rows = pending(database);
  return {
    pending: Math.min(rows.length, BACKLOG_COUNT_MAX),
    oldestAt: rows[0]?.message.occurredAt ?? null,
    parked: Math.min(refusedRows(database).length, BACKLOG_COUNT_MAX),
    held: Math.min(heldRows(database).length, BACKLOG_COUNT_MAX),
  };
};

const parkedOf = (database: MemoryDatabase.Database): ReadonlyArray<Parked> =>
  refusedRows(database).map((row) => ({
    message: metaOf(row.message),
    parkedAt: row.parkedAt,
    blocks: row.as === "blocking",
    held: row.as === "blocking" ? heldRows(database).filter((held) => laneOf(held) === laneOf(row)).length : 0,
  }));

const metaOf = ({ payload: _, ...meta }: Message.Encoded): Message.Meta => meta;

const settleParked = Effect.fnUntraced(function* (
  database: MemoryDatabase.Database,
  messageIds: ReadonlySet<string>,
  decision: ParkedDecision,
): Effect.fn.Return<ReadonlyArray<Message.Meta>, StoreError> {
  const chosen = refusedRows(database).filter((row) => messageIds.has(row.message.id));
  const parked = chosen.map((row) => metaOf(row.message));
  if (parked.length < messageIds.size) return parked;
  if (chosen.some((row) => database.busyShards.has(row.shard))) {
    return yield* MemoryDatabase.failure("Contention", "Outbox.settleParked", "a relay is publishing the shard");
  }
  const now = yield* MemoryDatabase.now;
  const resume = (row: MemoryDatabase.ParkedRow): void => {
    const { as: _as, parkedAt: _parkedAt, ...kept } = row;
    database.outboxParked.removeCommitted(row.seq);
    database.outboxPending.putCommitted(row.seq, kept);
  };
  for (const row of chosen) {
    if (decision.action === "Retry") resume(row);
    else database.outboxParked.removeCommitted(row.seq);
    const { id, key, topic, type } = row.message;
    database.outboxDecisions.push({ ...decision, message: { id, key, topic, type }, at: now });
  }
  const lanes = new Set(chosen.map(laneOf));
  const blocked = blockedLanes(database);
  for (const row of heldRows(database)) if (lanes.has(laneOf(row)) && !blocked.has(laneOf(row))) resume(row);
  database.appends += 1;
  yield* database.appended.release;
  return parked;
});
