/**
 * `StockLog` on Redis, without Lua: a stream per shard that is appended by compare-and-append.
 *
 * A process folds the log in memory (`StockReplica`). A batch is decided against that and appended as one entry, by
 * `XADD log NOMKSTREAM <generation>-<n+1>`: Redis refuses it unless the top is smaller, so whoever comes second reads what
 * came first and decides again. A batch that changes nothing only asks whether there is anything newer.
 *
 * - A lost answer: the batch is decided and appended again on a new connection, even if there is nothing left to write. If
 *   the first entry is there, or still on its way, one of the two is refused; commands are idempotent, so the answers are right.
 * - Time is the server's (`ServerTime`), and never below the log's last.
 * - Snapshots keep the log short (`StockSnapshot`).
 *
 * It is as durable as the server. Memory: the state of each shard in each process that uses it.
 */
import { type LogServer, type LogVerdict, StockLedger, type StockCommand, StockLog, type StoreError } from "@org/saga-core";
import { Clock, Duration, Effect, Layer, Random, Scope } from "effect";
import type { Redis } from "ioredis";
import { RedisClient, type Wire } from "./RedisClient.ts";
import { RedisError, toStoreError } from "./RedisError.ts";
import * as ServerTime from "./ServerTime.ts";
import * as StockEntry from "./StockEntry.ts";
import { pagesOf, placeOf, snapshotsOf } from "./StockReplica.ts";
import * as StockShard from "./StockShard.ts";
import * as StockSnapshot from "./StockSnapshot.ts";
import * as StockStream from "./StockStream.ts";
import { Watch } from "./StockWatch.ts";

export interface Options {
  /** Entries since the last snapshot may become so long, in characters, and as long as the snapshot. */
  readonly snapshotAfter?: number;
  /** What an entry that does not follow means to whoever loads the log: the end of its generation, or nothing. */
  readonly broken?: "end" | "pass";
}

/** The port, and what an engine needs that has nothing but the log. */
export type Log = StockLog["Service"] & {
  /** The generation that the log has; null: there is no log. */
  readonly top: (shard: number) => Effect.Effect<number | null, StoreError>;
  /** The generation that the log has, or else a new one that begins with nothing. */
  readonly begin: (shard: number) => Effect.Effect<number, StoreError>;
  /** Whatever this process knew of the shard, it reads it again. */
  readonly forget: (shard: number) => Effect.Effect<void>;
};

/** How long a batch whose answer was lost is tried to be settled, in milliseconds, before its callers are told that it is unknown. */
const SETTLE_FOR_MS = 5_000;

/** A server that was not heard for so long, in milliseconds, is asked whether it is there. */
const SILENCE_MAX_MS = 200;

/** Pause between two tries, in milliseconds. */
const SETTLE_PAUSE_MS = 10;

export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Log, never, RedisClient | Scope.Scope> {
  const client = yield* RedisClient;
  const wire = yield* client.wire;
  const clock = yield* Clock.Clock;
  const scope = yield* Effect.scope;
  const nextId = StockEntry.idsOf(yield* Random.next);
  const process: Process = {
    wire,
    scope,
    time: ServerTime.make(wire, clock),
    nextId,
    origin: StockEntry.originOf(nextId()),
    // Processes that follow the same log do not all write its snapshot at once.
    snapshotAfter: (options.snapshotAfter ?? StockSnapshot.AFTER) * (1 + (yield* Random.next) / 2),
  };
  const shards = new Map<number, StockShard.Shard>();
  const shardOf = (number: number): StockShard.Shard => {
    const known = shards.get(number);
    if (known !== undefined) return known;
    const keys = StockStream.keysOf(client.prefix, number);
    const made = StockShard.make(wire, keys, options.broken ?? "end", new Watch(Scope.provide(client.wire, scope), scope, keys));
    shards.set(number, made);
    return made;
  };
  const lineOf = (shard: number) => Effect.map(wire.connect("StockLog.connect"), (redis) => StockShard.lineOf(shardOf(shard), redis));
  const asked = <A>(effect: Effect.Effect<A, RedisError>): Effect.Effect<A, StoreError> =>
    Effect.mapError(dropping(wire, effect), toStoreError);
  const top = (shard: number) =>
    Effect.map(Effect.flatMap(lineOf(shard), StockStream.top), (place) => (place === null ? null : placeOf(place).generation));
  const read = (shard: StockShard.Shard, generation: number) => current(shard, generation);
  /** A connection leads to one server for as long as it lives: it is asked once, and again only to hear whether it is there. */
  const servers = new WeakMap<Redis, LogServer>();
  const serverOf = (redis: Redis): Effect.Effect<LogServer, RedisError> => {
    const known = servers.get(redis);
    if (known !== undefined && wire.silence() < SILENCE_MAX_MS) return Effect.succeed(known);
    return Effect.map(StockStream.server({ wire, redis }), (server) => {
      servers.set(redis, server);
      return server;
    });
  };
  return {
    server: asked(Effect.flatMap(wire.connect("StockLog.connect"), serverOf)),
    open: Effect.fn("StockLog.open")((shard, generation, view) => asked(open(process, shardOf(shard), generation, view))),
    execute: (shard, generation, commands) => {
      const own = shardOf(shard);
      return own.mutex.withPermit(Effect.mapError(settled(process, own, generation, commands), toStoreError));
    },
    read: Effect.fn("StockLog.read")((shard, generation) =>
      asked(Effect.map(read(shardOf(shard), generation), (it) => it?.replica.fold ?? null)),
    ),
    expired: Effect.fn("StockLog.expired")((shard, generation, max) =>
      asked(
        Effect.gen(function* () {
          const it = yield* read(shardOf(shard), generation);
          if (it === null) return null;
          const now = yield* process.time.now(it.line.redis);
          return it.replica.fold.expired(Math.max(now, it.replica.fold.last), max);
        }),
      ),
    ),
    top: (shard) => asked(top(shard)),
    begin: (shard) =>
      asked(
        Effect.gen(function* () {
          const known = yield* top(shard);
          if (known !== null) return known;
          const generation = yield* Effect.flatMap(lineOf(shard), StockStream.agree);
          yield* open(process, shardOf(shard), generation, StockLedger.empty);
          return (yield* top(shard)) ?? generation;
        }),
      ),
    forget: (shard) =>
      Effect.sync(() => {
        const own = shardOf(shard);
        own.replica = null;
        own.ended = -1;
      }),
  };
});

export const layerWith = (options: Options): Layer.Layer<StockLog, never, RedisClient> => Layer.effect(StockLog, make(options));

export const layer: Layer.Layer<StockLog, never, RedisClient> = layerWith({});

type Process = StockSnapshot.Process & {
  readonly time: ServerTime.ServerTime;
  /** As this process's entries name it. */
  readonly origin: string;
};

const GONE = new RedisError({ reason: "Unavailable", operation: "StockLog.open", message: "a draft was gone before it was done" });

const ENDED: LogVerdict = { _tag: "Ended" };

/** One batch, until it is written or known not to be. Nearly always the first try is the only one, and costs nothing more. */
const settled = (
  process: Process,
  shard: StockShard.Shard,
  generation: number,
  commands: ReadonlyArray<StockCommand>,
): Effect.Effect<LogVerdict, RedisError> => {
  const attempt = (lostAt: number | null): Effect.Effect<LogVerdict, RedisError> =>
    decided(process, shard, generation, commands, lostAt !== null).pipe(
      Effect.catch((error) => Effect.andThen(drop(process.wire), again(error, lostAt))),
    );
  const again = (error: RedisError, lostAt: number | null): Effect.Effect<LogVerdict, RedisError> => {
    if (lostAt === null && error.reason !== "Unknown") return Effect.fail(error);
    const now = process.time.elapsed();
    const since = lostAt ?? now;
    if (now - since >= SETTLE_FOR_MS || error.reason === "Refused" || error.reason === "Misconfigured") {
      // It may have been written: to say "nothing happened" would be a guess.
      return Effect.fail(new RedisError({ reason: "Unknown", operation: error.operation, message: error.message }));
    }
    return Effect.andThen(
      Effect.sleep(Duration.millis(SETTLE_PAUSE_MS)),
      Effect.suspend(() => attempt(since)),
    );
  };
  return attempt(null);
};

/** `isLost`: an entry of this batch may be on its way. Only an entry of ours keeps it out. */
const decided = Effect.fnUntraced(function* (
  process: Process,
  shard: StockShard.Shard,
  generation: number,
  commands: ReadonlyArray<StockCommand>,
  isLost: boolean,
): Effect.fn.Return<LogVerdict, RedisError> {
  for (;;) {
    const ready = StockShard.ready(shard, generation) ?? (yield* StockShard.prepare(shard, generation));
    if (ready === null) return ENDED;
    const { replica, line } = ready;
    if (replica.row.ahead(process.origin) > 0) {
      if ((yield* StockShard.takeTurn(shard, ready, process.origin, process.time.elapsed)) === "Lost") continue;
    }
    const beganAt = process.time.elapsed();
    const clock = process.time.known() ?? (yield* process.time.now(line.redis));
    const now = Math.max(clock, replica.fold.last);
    const { answers, writes } = StockLedger.decideBatch(replica.fold, commands, now);
    if (!isLost && isNothing(writes)) {
      if ((yield* StockShard.catchUp(shard, ready)) === "Same") return { _tag: "Decided", answers, writes };
      continue;
    }
    const id = process.nextId();
    const text = StockEntry.encodeBatch(replica.link(id, now), writes);
    const n = replica.n + 1;
    // Goes out with the append; without an answer the last one is good for a while.
    if (process.time.isDue()) yield* Effect.forkIn(Effect.ignore(process.time.ask(line.redis)), process.scope);
    const appended = yield* StockStream.append(line, `${generation}-${n}`, text);
    if (appended === "Gone") return StockShard.end(shard, generation) ?? ENDED;
    if (appended === "Appended") {
      // Somebody who only reads may have come upon it before.
      if (replica.n < n) {
        replica.fold.apply(writes, now);
        replica.appended(id, text);
      }
      shard.turn.appended(beganAt, process.time.elapsed());
      if (StockSnapshot.isDue(process, shard, replica)) yield* StockSnapshot.begin(process, shard, ready);
      return { _tag: "Decided", answers, writes };
    }
    yield* StockShard.catchUp(shard, ready);
  }
});

/** The shard at the end of its log. */
const current = Effect.fnUntraced(function* (
  shard: StockShard.Shard,
  generation: number,
): Effect.fn.Return<StockShard.Ready | null, RedisError> {
  for (;;) {
    const ready = StockShard.ready(shard, generation) ?? (yield* shard.mutex.withPermit(StockShard.prepare(shard, generation)));
    if (ready === null || (yield* StockShard.catchUp(shard, ready)) !== "Lost") return ready;
  }
});

const open = Effect.fnUntraced(function* (
  process: Process,
  shard: StockShard.Shard,
  generation: number,
  view: StockLedger.StockView,
): Effect.fn.Return<"Opened" | "Ended", RedisError> {
  const line = StockShard.lineOf(shard, yield* shard.wire.connect("StockLog.open"));
  const before = yield* StockStream.entries(line, "-");
  const last = placeOf(before.at(-1)?.place ?? "0-0").generation;
  if (last > generation) return "Ended";
  const at = yield* process.time.now(line.redis);
  const snapshot = isEmpty(view) ? "" : process.nextId();
  if (last < generation) {
    const kept = yield* StockStream.kept(line);
    if ((yield* StockStream.draft(line, snapshot, pagesOf(view, at))) === null) return yield* GONE;
    const text = StockEntry.encodeOpening({ id: process.nextId(), previous: "", at }, snapshot);
    const appended = yield* StockStream.open(line, `${generation}-0`, text, snapshot);
    if (appended === "Appended") yield* StockStream.trim(line, [...snapshotsOf(before), ...kept], `${generation}-0`);
    else {
      // It was refused: nobody reads its pages.
      if (snapshot !== "") yield* StockStream.trim(line, [snapshot], "0-0");
      if (placeOf((yield* StockStream.top(line)) ?? "0-0").generation > generation) return "Ended";
    }
  }
  if (shard.ended >= generation) shard.ended = generation - 1;
  return "Opened";
});

/** Whatever went wrong, the next user gets another connection: what this one still has to say is about something else. */
const dropping = <A>(wire: Wire, effect: Effect.Effect<A, RedisError>): Effect.Effect<A, RedisError> =>
  Effect.tapError(effect, () => drop(wire));

const drop = (wire: Wire): Effect.Effect<void> =>
  Effect.suspend(() => {
    const redis = wire.current();
    return redis === null ? Effect.void : wire.drop(redis);
  });

const isNothing = ({ skus, holds, adjustments, buyers }: StockLedger.StockWrites): boolean =>
  skus.length + holds.length + adjustments.length + buyers.length === 0;

const isEmpty = ({ skus, holds, adjustments, buyers }: StockLedger.StockView): boolean =>
  skus.size + holds.size + adjustments.size + buyers.size === 0;
