/**
 * `InboxQueue` on a `MemoryDatabase`.
 *
 * Fault points of a pass: `InboxQueue.process.beforeHandle`, `.afterHandle` (handled, not marked: it comes again) and
 * `.afterMark`.
 */
import { Duration, Effect, Layer } from "effect";
import * as Shard from "../domain/Shard.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import {
  type ClaimedMessage,
  type FollowerPolicy,
  type InboxBacklog,
  type InboxMark,
  InboxQueue,
  INBOX_SHARDS,
  type ProcessResult,
  type StoredMessage,
  type StoreVerdict,
} from "../ports/InboxQueue.ts";
import { formatPosition, type Position } from "../ports/MessageBus.ts";
import type { StoreError } from "../ports/StoreError.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";
import { keyOf } from "./MemoryTable.ts";

type Database = MemoryDatabase.Database;
type Row = MemoryDatabase.StoredRow;

export const layer: Layer.Layer<InboxQueue, never, MemoryDatabase.CurrentDatabase> = Layer.effect(
  InboxQueue,
  Effect.map(MemoryDatabase.CurrentDatabase, (database) => {
    let seen = database.stores;
    return {
      store: (consumer, fence, messages) => FaultPoint.around("InboxQueue.store", store(database, consumer, fence, messages)),
      pendingShards: (consumer) =>
        FaultPoint.around(
          "InboxQueue.pendingShards",
          Effect.map(MemoryDatabase.now, (now) => pendingShards(database, consumer, now)),
        ),
      process: (consumer, shard, max, policy, handle) =>
        FaultPoint.around("InboxQueue.process", process(database, { consumer, shard, max, policy }, handle)),
      awaitPending: Effect.fnUntraced(function* (_consumer, atMost) {
        yield* FaultPoint.hit("InboxQueue.awaitPending.before");
        if (database.stores === seen) yield* Effect.timeoutOption(database.stored.await, Duration.max(atMost, Duration.zero));
        seen = database.stores;
        yield* FaultPoint.hit("InboxQueue.awaitPending.after");
      }),
      backlog: (consumer) =>
        FaultPoint.around(
          "InboxQueue.backlog",
          Effect.sync(() => backlogOf(database, consumer)),
        ),
    };
  }),
);

const nameOf = (row: Row): string => keyOf(row.consumer, row.message.id);

const store = Effect.fnUntraced(function* (database: Database, consumer: string, fence: number, messages: ReadonlyArray<StoredMessage>) {
  const { now } = yield* MemoryDatabase.current(database, "InboxQueue.store");
  if ((database.pullerFences.get(consumer) ?? 0) > fence) return { _tag: "Fenced" } satisfies StoreVerdict;
  database.pullerFences.put(consumer, fence);
  let added = 0;
  for (const { message, position, problem } of messages) {
    const key = keyOf(consumer, message.id);
    if (database.inboxQueue.get(key) !== undefined) continue;
    const shard = Shard.of(message.key, INBOX_SHARDS);
    const row: Row = { consumer, shard, message, position, problem, state: "ready", attempts: 0, nextAt: 0, storedAt: now };
    database.inboxQueue.put(key, row);
    added += 1;
  }
  return { _tag: "Stored", added } satisfies StoreVerdict;
});

const rowsOf = (database: Database, consumer: string): ReadonlyArray<Row> =>
  [...database.inboxQueue.committed.values()].filter((row) => row.consumer === consumer);

const isDue = (row: Row, now: Timestamp): boolean => row.state === "failed" && row.nextAt <= now;

const pendingShards = (database: Database, consumer: string, now: Timestamp): ReadonlyArray<number> => {
  const shards = rowsOf(database, consumer).flatMap((row) => (row.state === "ready" || isDue(row, now) ? [row.shard] : []));
  return [...new Set(shards)].toSorted((left, right) => left - right);
};

interface Pass {
  readonly consumer: string;
  readonly shard: number;
  readonly max: number;
  readonly policy: FollowerPolicy;
}

type Handle<R> = (messages: ReadonlyArray<ClaimedMessage>) => Effect.Effect<ReadonlyArray<InboxMark>, StoreError, R>;

const process = <R>(database: Database, pass: Pass, handle: Handle<R>): Effect.Effect<ProcessResult, StoreError, R> => {
  const name = keyOf(pass.consumer, String(pass.shard));
  return Effect.acquireUseRelease(
    Effect.sync(() => {
      if (database.busyQueues.has(name)) return false;
      database.busyQueues.add(name);
      return true;
    }),
    (isOwner) => (isOwner ? processOwned(database, pass, handle) : Effect.succeed<ProcessResult>({ _tag: "Busy" })),
    (isOwner) =>
      Effect.sync(() => {
        if (isOwner) database.busyQueues.delete(name);
      }),
  );
};

const processOwned = Effect.fnUntraced(function* <R>(
  database: Database,
  pass: Pass,
  handle: Handle<R>,
): Effect.fn.Return<ProcessResult, StoreError, R> {
  const { claimed, held } = claim(database, pass, yield* MemoryDatabase.now);
  const result = { _tag: "Processed", handled: 0, failed: 0, dead: 0, held: held.length } as const;
  for (const row of held) database.inboxQueue.putCommitted(nameOf(row), { ...row, state: "held" });
  if (claimed.length === 0) return result;
  yield* FaultPoint.hit("InboxQueue.process.beforeHandle");
  const marks = yield* handle(claimed.map(({ attempts, message, position, problem }) => ({ attempts, message, position, problem })));
  yield* FaultPoint.hit("InboxQueue.process.afterHandle");
  if (marks.length !== claimed.length) {
    return yield* MemoryDatabase.failure("Misuse", "InboxQueue.process", `${marks.length} marks for ${claimed.length} messages`);
  }
  const now = yield* MemoryDatabase.now;
  for (const [index, row] of claimed.entries()) mark(database, row, marks[index] ?? { _tag: "Left" }, now);
  promote(database, pass, claimed, now);
  yield* FaultPoint.hit("InboxQueue.process.afterMark");
  const count = (tag: InboxMark["_tag"]): number => marks.filter(({ _tag }) => _tag === tag).length;
  return { ...result, handled: count("Handled"), failed: count("Failed"), dead: count("Dead") };
});

const comparePositions = (left: Position, right: Position): number =>
  left.topic === right.topic ? left.partition - right.partition || left.offset - right.offset : left.topic < right.topic ? -1 : 1;

/** What is due has half of a pass, so that it never keeps what is new from its turn. */
const claim = (database: Database, { consumer, shard, max, policy }: Pass, now: Timestamp) => {
  const rows = rowsOf(database, consumer)
    .filter((row) => row.shard === shard)
    .toSorted((left, right) => comparePositions(left.position, right.position));
  const share = Math.ceil(max / 2);
  const due = rows
    .filter((row) => isDue(row, now))
    .toSorted((left, right) => left.nextAt - right.nextAt)
    .slice(0, share);
  const dueKeys = new Set(due.map(({ message }) => message.key));
  const behind = rows.filter((row) => row.state === "held" && dueKeys.has(row.message.key)).slice(0, share - due.length);
  const again = [...due, ...behind].toSorted((left, right) => comparePositions(left.position, right.position));
  const fresh = rows.filter((row) => row.state === "ready").slice(0, max - again.length);
  const stuck = new Set(rows.filter((row) => row.state !== "ready").map(({ message }) => message.key));
  const isHeld = (row: Row): boolean => policy === "wait" && stuck.has(row.message.key);
  return { claimed: [...again, ...fresh.filter((row) => !isHeld(row))], held: fresh.filter(isHeld) };
};

const mark = (database: Database, row: Row, verdict: InboxMark, now: Timestamp): void => {
  const key = nameOf(row);
  const attempts = row.attempts + 1;
  switch (verdict._tag) {
    case "Handled":
      database.inboxQueue.removeCommitted(key);
      return;
    case "Left":
      return;
    case "Failed":
      database.inboxQueue.putCommitted(key, { ...row, state: "failed", attempts, nextAt: now + verdict.afterMillis });
      return;
    case "Dead": {
      const { consumer, message, position } = row;
      const { detail, problem } = verdict;
      if (database.deadLetters.committed.get(key) === undefined) {
        const letter = { consumer, message, position: formatPosition(position), problem, detail, attempts, at: now };
        database.deadLetters.putCommitted(key, letter);
      }
      database.inboxQueue.removeCommitted(key);
    }
  }
};

/** Where messages are held back behind nothing any more, the first of them is due now, and leads the others. */
const promote = (database: Database, { consumer }: Pass, claimed: ReadonlyArray<Row>, now: Timestamp): void => {
  for (const key of new Set(claimed.map(({ message }) => message.key))) {
    const left = rowsOf(database, consumer).filter((row) => row.message.key === key && row.state !== "ready");
    if (left.some((row) => row.state === "failed")) continue;
    const [first] = left.toSorted((one, other) => comparePositions(one.position, other.position));
    if (first !== undefined) database.inboxQueue.putCommitted(nameOf(first), { ...first, state: "failed", nextAt: now });
  }
};

const backlogOf = (database: Database, consumer: string): InboxBacklog => {
  const rows = rowsOf(database, consumer);
  const oldestAt = rows.reduce<number | null>((oldest, row) => (oldest === null ? row.storedAt : Math.min(oldest, row.storedAt)), null);
  return { unprocessed: rows.length, failed: rows.filter((row) => row.attempts > 0).length, oldestAt };
};
