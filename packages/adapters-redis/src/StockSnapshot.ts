/**
 * Snapshots of a shard's log: what a newcomer reads, and what Redis holds, stays within a few times the state.
 *
 * A snapshot is a list of pages under a name of its own, and an entry of the log that names it and the place it stands for.
 * Any process may write one, whenever entries have become as long as the state is: each unit written costs about one more.
 * What counts is the last one that the log names. Killed anywhere in between, nothing is lost:
 * ```
 * pages, with a TTL ─ (the TTL takes them) ─ SADD kept, PERSIST ─ (the next one takes them) ─ the entry ─ (both are good) ─
 * UNLINK what it replaces and what nobody named, XTRIM
 * ```
 * Pages are written while the shard goes on: `StockReplica.pagesOf` says why that is right. They keep pace with the log, so that
 * a large state costs a command no more than a small one, and no second is the slow one.
 */
import { Duration, Effect, type Scope } from "effect";
import type { Wire } from "./RedisClient.ts";
import type { RedisError } from "./RedisError.ts";
import * as StockEntry from "./StockEntry.ts";
import { pagesOf, type Replica } from "./StockReplica.ts";
import * as StockShard from "./StockShard.ts";
import * as StockStream from "./StockStream.ts";

/** Entries since the last snapshot may become so long, in characters: a newcomer reads them in well under a second. */
export const AFTER = 4_000_000;

/**
 * Pages grow so many times as fast as the log. As fast as it: the log would become twice as long as the state before it is trimmed.
 * As fast as they can: those of a million holds make commands 30 to 100 % dearer for a third of the time (measured).
 */
const PAGES_PER_ENTRY = 2;

/** So many characters, a page or two, are written at once: of a small state all. */
const AT_ONCE = 100_000;

/** How often it is looked whether the log has grown, and how often at most before a page: who is idle has time for it. */
const PAUSE = Duration.millis(2);
const PAUSES_MAX = 10;

/** Lost races of the one entry, against batches of other processes; then the snapshot is given up. */
const LOSSES_MAX = 100;

export interface Process {
  readonly wire: Wire;
  readonly scope: Scope.Scope;
  readonly nextId: () => string;
  readonly snapshotAfter: number;
}

export const isDue = (process: Process, shard: StockShard.Shard, replica: Replica): boolean =>
  replica.tail >= Math.max(process.snapshotAfter, replica.size) && !shard.isSnapshotting;

/** Begins one beside whatever goes on. */
export const begin = (process: Process, shard: StockShard.Shard, ready: StockShard.Ready): Effect.Effect<void> => {
  shard.isSnapshotting = true;
  return take(process, shard, ready).pipe(
    Effect.catch((error) => Effect.logDebug(`a snapshot was given up: ${error.message}`)),
    Effect.ensuring(Effect.sync(() => void (shard.isSnapshotting = false))),
    Effect.forkIn(process.scope),
    Effect.asVoid,
  );
};

const take = Effect.fnUntraced(function* (
  process: Process,
  shard: StockShard.Shard,
  { replica, line }: StockShard.Ready,
): Effect.fn.Return<void, RedisError> {
  const { generation, n, id, seen } = replica;
  const isFirst = firstOf(replica);
  // Whoever kept one of these, and has not named it yet, cannot do so behind this one's entry: it was begun before.
  const replaced = [...replica.snapshots, ...(yield* StockStream.kept(line))];
  const name = process.nextId();
  const size = yield* StockStream.draft(line, name, pagesOf(replica.fold, replica.fold.last), pace(replica));
  if (size === null || !isFirst()) return yield* StockStream.trim(line, [name], "0-0");
  if (!(yield* StockStream.keep(line, name))) return;
  if (!(yield* shard.mutex.withPermit(record(process, shard, { replica, line }, [name, `${generation}-${n}`, id], isFirst)))) {
    return yield* StockStream.trim(line, [name], "0-0");
  }
  for (const other of replaced) replica.snapshots.delete(other);
  replica.replaced(name, size, seen);
  yield* StockStream.trim(line, replaced, `${generation}-${n}`);
});

/** As far as is known here, no other process has replaced what was the last snapshot now. */
const firstOf = (replica: Pick<Replica, "latest">): (() => boolean) => {
  const { latest } = replica;
  return () => replica.latest === latest;
};

/** Waits until the log has grown enough for another page. False: another process was faster. */
export const pace = (replica: Pick<Replica, "seen" | "latest">) => {
  const begun = replica.seen;
  const isFirst = firstOf(replica);
  return Effect.fnUntraced(function* (written: number): Effect.fn.Return<boolean> {
    const isEarly = (): boolean => isFirst() && (replica.seen - begun) * PAGES_PER_ENTRY < written - AT_ONCE;
    for (let pauses = 0; pauses < PAUSES_MAX && isEarly(); pauses++) yield* Effect.sleep(PAUSE);
    return isFirst();
  });
};

/**
 * Appends the entry that names the snapshot. It is appended only behind all that is known here, so `isFirst` is the last word:
 * who was faster has trimmed away what a newcomer would have to read on top of this one.
 */
const record = Effect.fnUntraced(function* (
  process: Process,
  shard: StockShard.Shard,
  ready: StockShard.Ready,
  [name, place, last]: readonly [name: string, place: string, last: string],
  isFirst: () => boolean,
): Effect.fn.Return<boolean, RedisError> {
  const { replica, line } = ready;
  for (let losses = 0; losses < LOSSES_MAX && shard.replica === replica && isFirst(); losses++) {
    const id = process.nextId();
    const n = replica.n + 1;
    const text = StockEntry.encodeSnapshot(replica.link(id, replica.fold.last), name, place, last);
    const appended = yield* StockStream.append(line, `${replica.generation}-${n}`, text);
    if (appended === "Appended") {
      // Somebody who only reads may have come upon it before. To count it twice would put the next entry behind a gap, over what
      // others append there.
      if (replica.n < n) replica.appended(id, text);
      return true;
    }
    if (appended === "Gone" || (yield* StockShard.catchUp(shard, ready)) === "Lost") return false;
  }
  return false;
});
