/**
 * A shard's keys in Redis, command by command: the log (a stream) and the pages of its snapshots (lists). All in one slot:
 * `{stk:<prefix>:<shard>}:log`, `…:snap:<name>`, `…:kept`, `…:generation`.
 */
import type { LogServer, StockLedger } from "@org/saga-core";
import { Effect } from "effect";
import type { Redis } from "ioredis";
import type { Wire } from "./RedisClient.ts";
import { RedisError } from "./RedisError.ts";
import * as StockEntry from "./StockEntry.ts";
import type { Recorded } from "./StockReplica.ts";

/** A draft that nobody finished goes by itself, in seconds; one that is being written is far from it. */
const DRAFT_TTL_S = 300;

/** Pages and entries of one read: a reply of about a megabyte. */
const READ_PAGES = 20;
const READ_ENTRIES = 200;

/** A read that waits ends by itself, in milliseconds: whoever began it has long gone on. */
const BLOCK_MS = 1_000;

export interface Keys {
  readonly log: string;
  /** Of a log that begins with nothing: everybody begins the same one. */
  readonly generation: string;
  readonly snapshot: (name: string) => string;
  /** The names of all snapshots without a TTL: a set of one, but for what somebody did not live to name or to remove. */
  readonly kept: string;
}

export const keysOf = (prefix: string, shard: number): Keys => {
  const tag = `{stk:${prefix}:${shard}}`;
  return { log: `${tag}:log`, generation: `${tag}:generation`, kept: `${tag}:kept`, snapshot: (name) => `${tag}:snap:${name}` };
};

/** One connection, for the keys of one shard. */
export interface Line {
  readonly wire: Wire;
  readonly redis: Redis;
  readonly keys: Keys;
}

/** `Behind`: somebody has appended there, or further on. `Gone`: there is no log. Both times nothing was written. */
export type Appended = "Appended" | "Behind" | "Gone";

/** Appends to the log if there is one and its top is below `place`. */
export const append = ({ wire, redis, keys }: Line, place: string, text: string): Effect.Effect<Appended, RedisError> =>
  wire.ask(APPEND, "writing", () => redis.xadd(keys.log, "NOMKSTREAM", place, "e", text).then(toAppended, toBehind));

/**
 * Begins a generation: appends its opening, to a new log if there is none. Its snapshot is a draft no more; it is among those that
 * are kept only once the opening is in, or refused: who finds it there and opens a generation all the same may remove it.
 */
export const open = ({ wire, redis, keys }: Line, place: string, text: string, snapshot: string): Effect.Effect<Appended, RedisError> =>
  wire.ask(APPEND, "writing", () =>
    Promise.all([
      redis.xadd(keys.log, place, "e", text).then(toAppended, toBehind),
      snapshot === "" ? null : redis.sadd(keys.kept, snapshot),
      snapshot === "" ? null : redis.persist(keys.snapshot(snapshot)),
    ]).then(([appended]) => appended),
  );

/** The entries from `from` on (`-`: from the first one), as many as there are. */
export const entries = Effect.fnUntraced(function* (
  { wire, redis, keys }: Line,
  from: string,
): Effect.fn.Return<ReadonlyArray<Recorded>, RedisError> {
  const all: Array<Recorded> = [];
  for (let start = from; ; start = `(${all.at(-1)?.place ?? ""}`) {
    const found = yield* wire.ask(READ, "reading", () => redis.xrange(keys.log, start, "+", "COUNT", READ_ENTRIES));
    for (const [place, fields] of found) all.push({ place, text: fields[1] ?? "" });
    if (found.length < READ_ENTRIES) return all;
  }
});

/**
 * The entries from `from` on, as soon as there is one after `after`; or after a while. Both commands go out together, and
 * nothing else is answered on the connection until then.
 */
export const awaited = (redis: Redis, keys: Keys, from: string, after: string): Promise<ReadonlyArray<Recorded>> =>
  Promise.all([
    redis.xread("COUNT", 1, "BLOCK", BLOCK_MS, "STREAMS", keys.log, after),
    redis.xrange(keys.log, from, "+", "COUNT", READ_ENTRIES),
  ]).then(([, found]) => found.map(([place, fields]) => ({ place, text: fields[1] ?? "" })));

/** Where the log ends; null: there is none. */
export const top = ({ wire, redis, keys }: Line): Effect.Effect<string | null, RedisError> =>
  wire.ask(READ, "reading", () => redis.xrevrange(keys.log, "+", "-", "COUNT", 1).then(([last]) => last?.[0] ?? null));

/**
 * Writes the pages of a snapshot and returns their size in characters. Until it is kept, it is a draft with a TTL. Before another
 * page, when so much is written, `goesOn` may wait, or end it. Null: it was ended, or its TTL was over before it was done.
 */
export const draft = Effect.fnUntraced(function* (
  { wire, redis, keys }: Line,
  name: string,
  pages: Iterable<string>,
  goesOn: (written: number) => Effect.Effect<boolean> = () => Effect.succeed(true),
): Effect.fn.Return<number | null, RedisError> {
  const key = keys.snapshot(name);
  let size = 0;
  let count = 0;
  for (const page of pages) {
    if (count > 0 && !(yield* goesOn(size))) return null;
    size += page.length;
    count += 1;
    const [length] = yield* wire.ask(SNAPSHOT, "reading", () => Promise.all([redis.rpush(key, page), redis.expire(key, DRAFT_TTL_S)]));
    if (length !== count) return null;
  }
  return size;
});

/** Before the log names it. False: it is there no more. */
export const keep = ({ wire, redis, keys }: Line, name: string): Effect.Effect<boolean, RedisError> =>
  wire.ask(SNAPSHOT, "reading", () =>
    Promise.all([redis.sadd(keys.kept, name), redis.persist(keys.snapshot(name))]).then(([, kept]) => kept === 1),
  );

/** Snapshots without a TTL, whether the log names them or not. */
export const kept = ({ wire, redis, keys }: Line): Effect.Effect<ReadonlyArray<string>, RedisError> =>
  wire.ask(READ, "reading", () => redis.smembers(keys.kept));

/** The snapshot's content, page by page, and its size; null: there is no such snapshot (any more). */
export const pages = Effect.fnUntraced(function* (
  { wire, redis, keys }: Line,
  name: string,
  put: (writes: StockLedger.StockWrites) => void,
): Effect.fn.Return<number | null, RedisError> {
  let size = 0;
  for (let from = 0; ; from += READ_PAGES) {
    const texts = yield* wire.ask(READ, "reading", () => redis.lrange(keys.snapshot(name), from, from + READ_PAGES - 1));
    for (const text of texts) {
      const writes = StockEntry.decodePage(text);
      if (writes === null) return yield* corrupt;
      put(writes);
      size += text.length;
    }
    if (texts.length < READ_PAGES) return size === 0 ? null : size;
  }
});

/** Removes snapshots, then what the log has before `place`: in this order, so that no snapshot is left that nobody names. */
export const trim = ({ wire, redis, keys }: Line, snapshots: ReadonlyArray<string>, place: string): Effect.Effect<void, RedisError> =>
  Effect.asVoid(
    wire.ask(SNAPSHOT, "reading", () =>
      Promise.all([
        snapshots.length === 0 ? null : redis.unlink(...snapshots.map(keys.snapshot)),
        snapshots.length === 0 ? null : redis.srem(keys.kept, ...snapshots),
        redis.xtrim(keys.log, "MINID", place),
      ]),
    ),
  );

/** The generation of a log that begins with nothing: the server's time, unless somebody was first. */
export const agree = ({ wire, redis, keys }: Line): Effect.Effect<number, RedisError> =>
  wire.ask(READ, "reading", async () => {
    const [seconds, micros] = await redis.time();
    const millis = Number(seconds) * MILLIS_PER_SECOND + Math.floor(Number(micros) / MICROS_PER_MILLI);
    const [, agreed] = await Promise.all([redis.setnx(keys.generation, String(millis)), redis.get(keys.generation)]);
    return Number(agreed);
  });

export const server = ({ wire, redis }: Omit<Line, "keys">): Effect.Effect<LogServer, RedisError> =>
  wire.ask("StockLog.server", "reading", () =>
    Promise.all([redis.info("server"), redis.info("replication")]).then(([info, replication]) => ({
      runId: /^run_id:(\S+)/m.exec(info)?.[1] ?? "",
      replicationId: /^master_replid:(\S+)/m.exec(replication)?.[1] ?? "",
    })),
  );

export const corrupt: Effect.Effect<never, RedisError> = Effect.suspend(() =>
  Effect.fail(new RedisError({ reason: "Refused", operation: READ, message: "an entry of the log cannot be read" })),
);

const MILLIS_PER_SECOND = 1_000;
const MICROS_PER_MILLI = 1_000;

const APPEND = "StockLog.execute";
const READ = "StockLog.read";
const SNAPSHOT = "StockLog.snapshot";

const toAppended = (place: string | null): Appended => (place === null ? "Gone" : "Appended");

/** `XADD` with an id that is not above the top. */
const toBehind = (cause: unknown): Appended | Promise<never> =>
  cause instanceof Error && cause.message.includes("equal or smaller") ? "Behind" : Promise.reject(cause);
