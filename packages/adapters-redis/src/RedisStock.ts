/**
 * `StockReservation` on Redis, without Lua: a fast gate in front of a durable ledger.
 *
 * Whatever waits in this process is one batch: WATCH and read what it touches, decide in the pure ledger, MULTI/EXEC. EXEC
 * writes only if nothing that was read has changed, so any number of processes may share the keys; a lost race is decided
 * anew after a jittered pause. After a lost answer the batch is run again: every command is idempotent.
 *
 * Keys, all in one slot (`{stk:<prefix>:<shard>}`):
 * ```
 * :s:<sku>      onHand held committed shortage at        :skus   set of all SKUs
 * :o:<order>    hold, JSON                               :live   sorted set of held orders by their end
 * :a:<id>       adjustment, JSON
 * ```
 * A hold never has a Redis TTL: it ends by a decision (`Expire`). Records of holds that have ended do.
 *
 * It is not durable: what a failover or a restart loses is lost. The ledger in PostgreSQL decides.
 */
import { type OrderId, type Sku, type StockCommand, StockLedger, StockMailbox, StockReservation, type Timestamp } from "@org/saga-core";
import { Duration, Effect, Layer, Random, Result, type Scope } from "effect";
import { type Connection, RedisClient, type Session, type Write } from "./RedisClient.ts";
import { RedisError, toStoreError } from "./RedisError.ts";
import * as Codec from "./StockCodec.ts";

export interface Options {
  /** Which part of the stock: its keys share a slot. One is enough until one Redis is not. */
  readonly shard?: string;
  /** How long ended holds are remembered, in milliseconds. */
  readonly retentionMillis?: number;
}

/** Longer than any message is retried: until then a late duplicate is answered, and a tombstone refuses. */
export const RETENTION_MS = 7 * 86_400_000;

/** Lost races of one batch. With jitter, a batch that loses so many is not contending: something rewrites its keys. */
const CONFLICTS_MAX = 200;

/** Runs of a batch whose answer was lost. */
const UNKNOWN_MAX = 3;

/** Jitter after a lost race grows by this for each one, up to the maximum, in milliseconds: a batch takes about one. */
const JITTER_STEP_MS = 1;
const JITTER_MAX_MS = 20;

/** Keys of one MGET: keeps a reply well below the server's output buffer. */
const READ_MAX = 1_000;

const MICROS_PER_MILLI = 1_000;

export const make = Effect.fnUntraced(function* (
  options: Options,
): Effect.fn.Return<StockReservation["Service"], never, RedisClient | Scope.Scope> {
  const client = yield* RedisClient;
  const shard: Shard = {
    tag: `{stk:${client.prefix}:${options.shard ?? "0"}}`,
    retentionMillis: options.retentionMillis ?? RETENTION_MS,
    last: 0,
  };
  // Two connections: what only reads does not wait for a batch.
  const [batches, reads] = [yield* client.session, yield* client.session];
  const execute = yield* StockMailbox.make("RedisStock", (commands) => Effect.mapError(run(shard, batches, commands), toStoreError));
  const balances = (operation: string, skus: ReadonlyArray<Sku>) =>
    reads.use(operation, (connection) =>
      Effect.map(fetchView(shard, connection, operation, "plain", { skus }), ({ view }) =>
        [...view.skus.values()].map(StockLedger.balanceOf),
      ),
    );
  return {
    execute,
    balances: Effect.fn("StockReservation.balances")(function* (skus) {
      const found = yield* Effect.mapError(balances("StockReservation.balances", skus), toStoreError);
      return new Map(found.map((balance) => [balance.sku, balance]));
    }),
    allBalances: Effect.gen(function* () {
      const operation = "StockReservation.allBalances";
      const names = yield* reads.use(operation, ({ read }) => read(operation, (redis) => redis.smembers(skusKey(shard))));
      return yield* balances(operation, yield* decoded(operation, Codec.decodeSkus(names.toSorted())));
    }).pipe(Effect.mapError(toStoreError), Effect.withSpan("StockReservation.allBalances")),
    expired: Effect.fn("StockReservation.expired")(function* (max) {
      const operation = "StockReservation.expired";
      const due = reads.use(
        operation,
        Effect.fnUntraced(function* ({ read }) {
          const now = clockOf(shard, yield* read(operation, (redis) => redis.time()));
          const ids = yield* read(operation, (redis) => redis.zrangebyscore(liveKey(shard), "-inf", now, "LIMIT", 0, max));
          return yield* decoded(operation, Codec.decodeOrderIds(ids));
        }),
      );
      return yield* Effect.mapError(due, toStoreError);
    }),
  };
});

export const layerWith = (options: Options): Layer.Layer<StockReservation, never, RedisClient> =>
  Layer.effect(StockReservation, make(options));

export const layer: Layer.Layer<StockReservation, never, RedisClient> = layerWith({});

interface Shard {
  readonly tag: string;
  readonly retentionMillis: number;
  /** The latest time this process has used. */
  last: Timestamp;
}

const EXECUTE = "StockReservation.execute";

/** One batch, until it is written or known not to be. */
const run = Effect.fnUntraced(function* (
  shard: Shard,
  session: Session,
  commands: ReadonlyArray<StockCommand>,
): Effect.fn.Return<ReadonlyArray<StockLedger.Answer>, RedisError> {
  let conflicts = 0;
  let unknown = 0;
  for (;;) {
    const attempt = yield* Effect.result(session.use(EXECUTE, (connection) => once(shard, connection, commands)));
    if (Result.isSuccess(attempt)) return attempt.success;
    const error = attempt.failure;
    if (error.reason === "Conflict" && conflicts < CONFLICTS_MAX) {
      conflicts += 1;
      yield* Effect.sleep(Duration.millis((yield* Random.next) * Math.min(JITTER_MAX_MS, conflicts * JITTER_STEP_MS)));
    } else if (error.reason === "Unknown" && unknown < UNKNOWN_MAX) {
      unknown += 1;
    } else if (unknown > 0 && error.isRetryable) {
      // An earlier run may have been written: to say "nothing happened" would be a guess.
      return yield* new RedisError({ reason: "Unknown", operation: EXECUTE, message: error.message });
    } else {
      return yield* error;
    }
  }
});

const once = Effect.fnUntraced(function* (
  shard: Shard,
  connection: Connection,
  commands: ReadonlyArray<StockCommand>,
): Effect.fn.Return<ReadonlyArray<StockLedger.Answer>, RedisError> {
  const { view, now } = yield* readView(shard, connection, commands);
  const { answers, writes } = StockLedger.decideBatch(view, commands, now);
  const all = writesOf(shard, view, writes);
  // Also when there is nothing to write: EXEC says whether what was read in several steps belongs together.
  yield* connection.write(EXECUTE, all.length > 0 ? all : [["exists", skusKey(shard)]]);
  return answers;
});

/** Watches and reads what the commands touch, and the time: one round trip when no hold brings SKUs that are not named. */
const readView = Effect.fnUntraced(function* (
  shard: Shard,
  connection: Connection,
  commands: ReadonlyArray<StockCommand>,
): Effect.fn.Return<{ readonly view: StockLedger.StockView; readonly now: Timestamp }, RedisError> {
  const fetch = (keys: Keys) => fetchView(shard, connection, EXECUTE, "watched", keys);
  const first = yield* fetch(StockLedger.touches(commands));
  const brought = StockLedger.skusOf(first.view.holds.values()).filter((sku) => !first.view.skus.has(sku));
  const second = brought.length === 0 ? first : yield* fetch({ skus: brought });
  const view = { ...first.view, skus: new Map([...first.view.skus, ...second.view.skus]) };
  const revocable = StockLedger.mayRevoke(view, commands);
  if (revocable.length === 0) return { view, now: second.now };

  // Rare and slow: goods were counted out. A hold of a SKU cannot appear unseen, for that changes the SKU's books, which are watched.
  const ids = yield* decoded(
    EXECUTE,
    Codec.decodeOrderIds(yield* connection.read(EXECUTE, (redis) => redis.zrange(liveKey(shard), "0", "-1"))),
  );
  const live = yield* fetchView(shard, connection, EXECUTE, "plain", { orders: ids });
  const affected = [...live.view.holds.values()].filter((hold) => hold.lines.some((line) => revocable.includes(line.sku)));
  const more = yield* fetch({ orders: affected.map((hold) => hold.orderId) });
  const others = yield* fetch({ skus: StockLedger.skusOf(more.view.holds.values()).filter((sku) => !view.skus.has(sku)) });
  return {
    view: {
      skus: new Map([...view.skus, ...others.view.skus]),
      holds: new Map([...more.view.holds, ...view.holds]),
      adjustments: view.adjustments,
      buyers: view.buyers,
    },
    now: others.now,
  };
});

type Keys = Partial<StockLedger.Touched>;

/** One round trip: WATCH (if asked to), MGET, TIME, in this order on one connection. */
const fetchView = Effect.fnUntraced(function* (
  shard: Shard,
  connection: Connection,
  operation: string,
  mode: "watched" | "plain",
  { orders = [], adjustments = [], skus = [] }: Keys,
): Effect.fn.Return<{ readonly view: StockLedger.StockView; readonly now: Timestamp }, RedisError> {
  const keys = [
    ...orders.map((id) => holdKey(shard, id)),
    ...adjustments.map((id) => adjustmentKey(shard, id)),
    ...skus.map((sku) => skuKey(shard, sku)),
  ];
  const parts: Array<ReadonlyArray<string>> = [];
  for (let from = 0; from < keys.length; from += READ_MAX) parts.push(keys.slice(from, from + READ_MAX));
  const [, values, time] = yield* connection.read(operation, (redis) =>
    Promise.all([
      mode === "watched" && keys.length > 0 ? redis.watch(...keys) : null,
      Promise.all(parts.map((part) => redis.mget(...part))),
      redis.time(),
    ]),
  );
  const texts = values.flat();
  const decode = Effect.fnUntraced(function* <K extends string, V>(
    names: ReadonlyArray<K>,
    from: number,
    read: (name: K, text: string) => Codec.Decoded<V>,
  ) {
    const found = new Map<K, V>();
    for (const [index, name] of names.entries()) {
      const text = texts[from + index];
      if (typeof text === "string") found.set(name, yield* decoded(operation, read(name, text)));
    }
    return found;
  });
  const view = {
    holds: yield* decode(orders, 0, Codec.decodeHold),
    adjustments: yield* decode(adjustments, orders.length, Codec.decodeAdjustment),
    skus: yield* decode(skus, orders.length + adjustments.length, Codec.decodeBooks),
    buyers: new Map<StockLedger.BuyerKey, StockLedger.BuyerUnits>(),
  };
  return { view, now: clockOf(shard, time) };
});

const writesOf = (shard: Shard, view: StockLedger.StockView, writes: StockLedger.StockWrites): ReadonlyArray<Write> => {
  const all: Array<Write> = [];
  for (const books of writes.skus) {
    all.push(["set", skuKey(shard, books.sku), Codec.encodeBooks(books)]);
    if (!view.skus.has(books.sku)) all.push(["sadd", skusKey(shard), books.sku]);
  }
  for (const hold of writes.holds) {
    const key = holdKey(shard, hold.orderId);
    const isLive = hold.status === "held" || hold.status === "committed";
    all.push(isLive ? ["set", key, Codec.encodeHold(hold)] : ["set", key, Codec.encodeHold(hold), "PX", shard.retentionMillis]);
    if (hold.status === "held") all.push(["zadd", liveKey(shard), hold.until, hold.orderId]);
    else if (view.holds.get(hold.orderId)?.status === "held") all.push(["zrem", liveKey(shard), hold.orderId]);
  }
  for (const adjustment of writes.adjustments) {
    // For ever: goods are counted in once, however late the same delivery is told again. There are few of them.
    all.push(["set", adjustmentKey(shard, adjustment.id), Codec.encodeAdjustment(adjustment)]);
  }
  return all;
};

/** Redis' TIME in milliseconds, never below what was used before. */
const clockOf = (shard: Shard, time: ReadonlyArray<string | number>): Timestamp => {
  const [seconds = 0, micros = 0] = time.map(Number);
  shard.last = Math.max(shard.last, seconds * 1_000 + Math.floor(micros / MICROS_PER_MILLI));
  return shard.last;
};

const decoded = <A>(operation: string, result: Codec.Decoded<A>): Effect.Effect<A, RedisError> =>
  Result.isSuccess(result)
    ? Effect.succeed(result.success)
    : Effect.fail(new RedisError({ reason: "Refused", operation, message: `a stored ${result.failure.what} cannot be read` }));

const skuKey = (shard: Shard, sku: Sku): string => `${shard.tag}:s:${sku}`;
const holdKey = (shard: Shard, orderId: OrderId): string => `${shard.tag}:o:${orderId}`;
const adjustmentKey = (shard: Shard, id: string): string => `${shard.tag}:a:${id}`;
const skusKey = (shard: Shard): string => `${shard.tag}:skus`;
const liveKey = (shard: Shard): string => `${shard.tag}:live`;
