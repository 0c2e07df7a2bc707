/**
 * A shard in this process: its replica, and the connection on which that was last compared with the log.
 *
 * A new connection may lead to a server with another past (restarted empty, restored, failed over): nothing is appended on it
 * before this process has found its own last entry there.
 */
import { Effect, Semaphore } from "effect";
import type { Redis } from "ioredis";
import type { Wire } from "./RedisClient.ts";
import type { RedisError } from "./RedisError.ts";
import { baseOf, placeOf, type Recorded, Replica, snapshotsOf } from "./StockReplica.ts";
import { Turn } from "./StockTurn.ts";
import * as StockStream from "./StockStream.ts";
import type { Watch } from "./StockWatch.ts";

export interface Shard {
  readonly wire: Wire;
  readonly keys: StockStream.Keys;
  /** What an entry that does not follow means to whoever loads the log: the end of its generation, or nothing. */
  readonly broken: "end" | "pass";
  /** One append of this process at a time. */
  readonly mutex: Semaphore.Semaphore;
  replica: Replica | null;
  /** Where the replica was compared. */
  redis: Redis | null;
  /** Generations up to this one have ended. */
  ended: number;
  isSnapshotting: boolean;
  readonly turn: Turn;
  readonly watch: Watch;
}

export const make = (wire: Wire, keys: StockStream.Keys, broken: "end" | "pass", watch: Watch): Shard => ({
  wire,
  keys,
  broken,
  mutex: Semaphore.makeUnsafe(1),
  replica: null,
  redis: null,
  ended: -1,
  isSnapshotting: false,
  turn: new Turn(),
  watch,
});

/** A replica, and the connection that it may append on. */
export interface Ready {
  readonly replica: Replica;
  readonly line: StockStream.Line;
}

export const lineOf = (shard: Shard, redis: Redis): StockStream.Line => ({ wire: shard.wire, redis, keys: shard.keys });

/** The replica if it needs nothing; null: `prepare` it. */
export const ready = (shard: Shard, generation: number): Ready | null => {
  const { replica, redis } = shard;
  return replica?.generation === generation && redis !== null && redis === shard.wire.current()
    ? { replica, line: lineOf(shard, redis) }
    : null;
};

/** Reads the log, or compares what is known with it. Null: the generation has ended. */
export const prepare = Effect.fnUntraced(function* (shard: Shard, generation: number): Effect.fn.Return<Ready | null, RedisError> {
  const usable = ready(shard, generation);
  if (usable !== null) return usable;
  if (generation <= shard.ended) return null;
  const redis = yield* shard.wire.connect("StockLog.connect");
  const line = lineOf(shard, redis);
  const known = shard.replica?.generation === generation ? shard.replica : null;
  const replica = known !== null && (yield* isThere(line, known)) ? known : yield* load(shard, line, generation, known);
  // Asked too early: it is looked for again.
  if (replica === "Unopened") return null;
  if (replica === null) return end(shard, generation);
  shard.replica = replica;
  shard.redis = redis;
  return { replica, line };
});

/** Follows the log to its end. */
export const catchUp = (shard: Shard, ready: Ready): Effect.Effect<Moved, RedisError> =>
  Effect.flatMap(StockStream.entries(ready.line, `(${ready.replica.generation}-${ready.replica.n}`), (news) => follow(shard, ready, news));

/** `Same`: there was nothing new. `Lost`: the replica is no good any more. */
type Moved = "Same" | "Moved" | "Lost";

/** Waits until it is the turn of `origin`, as long as others take theirs. */
export const takeTurn = Effect.fnUntraced(function* (
  shard: Shard,
  ready: Ready,
  origin: string,
  elapsed: () => number,
): Effect.fn.Return<Moved, RedisError> {
  const { replica, line } = ready;
  for (;;) {
    const ahead = replica.row.ahead(origin);
    const rest = shard.turn.rest(ahead, elapsed());
    if (rest <= 0) return "Same";
    const { n } = replica;
    const news = yield* shard.watch.news(replica, line, ahead, rest);
    if (news.length === 0) return yield* catchUp(shard, ready);
    if ((yield* follow(shard, ready, news)) === "Lost") return "Lost";
    shard.turn.heard(replica.n - n, elapsed());
  }
});

const follow = Effect.fnUntraced(function* (
  shard: Shard,
  { replica }: Ready,
  news: ReadonlyArray<Recorded>,
): Effect.fn.Return<Moved, RedisError> {
  for (const entry of news) {
    const followed = replica.follow(entry);
    if (followed === "Corrupt") return yield* StockStream.corrupt;
    if (followed === "Followed") continue;
    if (followed === "Broken" && placeOf(entry.place).n > replica.n + 1) {
      // Who has not looked for long finds the log trimmed behind a snapshot: it is read again, and compared with what was known.
      shard.redis = null;
      return "Lost";
    }
    if (followed === "Ended" || shard.broken === "end") end(shard, replica.generation);
    else if (shard.replica === replica) shard.replica = null;
    return "Lost";
  }
  return news.length > 0 ? "Moved" : "Same";
});

export const end = (shard: Shard, generation: number): null => {
  shard.ended = Math.max(shard.ended, generation);
  shard.replica = null;
  return null;
};

/** Is the log what the replica knows, with or without more? */
const isThere = Effect.fnUntraced(function* (line: StockStream.Line, replica: Replica): Effect.fn.Return<boolean, RedisError> {
  const place = `${replica.generation}-${replica.n}`;
  const [own, ...news] = yield* StockStream.entries(line, place);
  if (own?.place !== place || !own.text.includes(`"${replica.id}"`)) return false;
  return news.every((entry) => replica.follow(entry) === "Followed");
});

/** Loads of a log whose snapshot was replaced meanwhile. */
const LOADS_MAX = 5;

/** From nothing. `Unopened`: nobody has begun the generation, as far as is known here. `known`: what this process knew before; a log that ends below it has lost something. */
const load = Effect.fnUntraced(function* (
  shard: Shard,
  line: StockStream.Line,
  generation: number,
  known: Replica | null,
): Effect.fn.Return<Replica | "Unopened" | null, RedisError> {
  const last = (yield* StockStream.top(line)) ?? "0-0";
  if (known === null && placeOf(last).generation < generation) return "Unopened";
  for (let attempt = 0; attempt < LOADS_MAX; attempt++) {
    const entries = yield* StockStream.entries(line, "-");
    const top = placeOf(entries.at(-1)?.place ?? "0-0");
    if (top.generation !== generation) return null;
    if (known !== null && shard.broken === "end" && isShorter(entries, top.n, known)) return null;
    const base = baseOf(entries, generation);
    if (base === null) return yield* StockStream.corrupt;
    const replica = new Replica(generation, base);
    const size = base.snapshot === "" ? 0 : yield* StockStream.pages(line, base.snapshot, (writes) => replica.fold.apply(writes, 0));
    if (size === null) continue;
    for (const name of snapshotsOf(entries)) replica.snapshots.add(name);
    for (const entry of entries) {
      const followed = replica.follow(entry);
      if (followed === "Corrupt") return yield* StockStream.corrupt;
      if (followed === "Broken" && shard.broken === "end") return null;
      if (followed === "Broken") replica.pass(entry);
    }
    replica.size = size;
    return replica;
  }
  return yield* StockStream.corrupt;
});

/** What was known has been trimmed away only if the log begins above it. */
const isShorter = (entries: ReadonlyArray<Recorded>, top: number, known: Replica): boolean => {
  const first = placeOf(entries[0]?.place ?? "0-0");
  return top < known.n || first.generation < known.generation || first.n <= known.n;
};
