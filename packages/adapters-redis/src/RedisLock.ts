/**
 * `Lock` on Redis, without Lua: a lease with a TTL, and beside it the last fence, which never expires. Both are read under
 * WATCH and written in one MULTI/EXEC. Time is the server's.
 *
 * A lease outlives neither a flush nor a failover that lost it; like every lease it saves work, the fence protects. The
 * fence grows over both: it is the greater one of the last fence + 1 and the server's time in milliseconds, so a server that
 * has forgotten everything goes on above what it gave before. That holds as long as its clock is not set back, and no name
 * is acquired more than 1,000 times a second all the time.
 */
import { type Lease, Lock, type StoreError } from "@org/saga-core";
import { Duration, Effect, Layer, Random, type Scope } from "effect";
import { RedisClient, type Session } from "./RedisClient.ts";
import { RedisError, toStoreError } from "./RedisError.ts";

/** Lost races of one call: others were faster so often that this one reports `Contention`. */
const CONFLICTS_MAX = 20;

/** Pause after a lost race, in milliseconds, jittered. */
const JITTER_MS = 10;

export const make: Effect.Effect<Lock["Service"], never, RedisClient | Scope.Scope> = Effect.gen(function* () {
  const client = yield* RedisClient;
  const session = yield* client.session;
  const keys = (name: string): Keys => {
    const tag = `{lock:${client.prefix}:${name}}`;
    return { lease: `${tag}:lease`, fence: `${tag}:fence` };
  };
  return {
    acquire: Effect.fn("Lock.acquire")((name, owner, ttlMillis) =>
      contend(acquire(session, keys(name), { name, owner, fence: 0 }, ttlMillis)),
    ),
    renew: Effect.fn("Lock.renew")((lease, ttlMillis) =>
      contend(change(session, "Lock.renew", keys(lease.name), lease, (key) => ["pexpire", key, ttlMillis])),
    ),
    release: Effect.fn("Lock.release")((lease) =>
      Effect.asVoid(contend(change(session, "Lock.release", keys(lease.name), lease, (key) => ["del", key]))),
    ),
  };
});

export const layer: Layer.Layer<Lock, never, RedisClient> = Layer.effect(Lock, make);

interface Keys {
  readonly lease: string;
  readonly fence: string;
}

const acquire = (session: Session, keys: Keys, wanted: Lease.Lease, ttlMillis: number): Effect.Effect<Lease.Lease | null, RedisError> =>
  session.use("Lock.acquire", (connection) =>
    Effect.gen(function* () {
      const [, held, last, [seconds, micros]] = yield* connection.read("Lock.acquire", (redis) =>
        Promise.all([redis.watch(keys.lease, keys.fence), redis.get(keys.lease), redis.get(keys.fence), redis.time()]),
      );
      const owner = held === null ? null : ownerOf(held);
      if (owner !== null && owner !== wanted.owner) {
        yield* connection.read("Lock.acquire", (redis) => redis.unwatch());
        return null;
      }
      const floor = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
      const lease = { ...wanted, fence: Math.max(Number(last ?? 0) + 1, floor) };
      yield* connection.write("Lock.acquire", [
        ["set", keys.fence, lease.fence],
        ["set", keys.lease, textOf(lease), "PX", ttlMillis],
      ]);
      return lease;
    }),
  );

/** Does `write` if the lease is still this one. */
const change = (
  session: Session,
  operation: string,
  keys: Keys,
  lease: Lease.Lease,
  write: (key: string) => readonly [string, ...ReadonlyArray<string | number>],
): Effect.Effect<"Renewed" | "Lost", RedisError> =>
  session.use(operation, (connection) =>
    Effect.gen(function* () {
      const [, held] = yield* connection.read(operation, (redis) => Promise.all([redis.watch(keys.lease), redis.get(keys.lease)]));
      if (held !== textOf(lease)) {
        yield* connection.read(operation, (redis) => redis.unwatch());
        return "Lost";
      }
      const [changed] = yield* connection.write(operation, [write(keys.lease)]);
      return changed === 1 ? "Renewed" : "Lost";
    }),
  );

/** A lost race is tried again for a while. */
const contend = <A>(attempt: Effect.Effect<A, RedisError>): Effect.Effect<A, StoreError> => {
  const go = (left: number): Effect.Effect<A, RedisError> =>
    Effect.catchIf(
      attempt,
      (error) => error.reason === "Conflict" && left > 0,
      () =>
        Effect.flatMap(Random.next, (random) => Effect.sleep(Duration.millis(random * JITTER_MS))).pipe(
          Effect.andThen(Effect.suspend(() => go(left - 1))),
        ),
    );
  return Effect.mapError(go(CONFLICTS_MAX), toStoreError);
};

/** `fence owner`: the owner may hold anything. */
const textOf = (lease: Lease.Lease): string => `${lease.fence} ${lease.owner}`;

const ownerOf = (text: string): string => text.slice(text.indexOf(" ") + 1);
