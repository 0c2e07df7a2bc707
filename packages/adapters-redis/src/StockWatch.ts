/**
 * Hears at once what others append to a shard's log: a blocking read, on a connection of its own, because whatever else is asked
 * on that would wait. It is opened when processes contend for the first time; until then they wait by the clock.
 *
 * It leads to the same server as the connection that it is used beside, or nothing is heard. Whatever goes wrong with it is as
 * if nothing was appended: whoever waits reads the log all the same.
 */
import { Duration, Effect, Fiber, type Scope } from "effect";
import type { Redis } from "ioredis";
import type { Wire } from "./RedisClient.ts";
import { RedisError } from "./RedisError.ts";
import type { Recorded, Replica } from "./StockReplica.ts";
import * as StockStream from "./StockStream.ts";

type News = ReadonlyArray<Recorded>;

const NOTHING: News = [];

export class Watch {
  readonly #keys: StockStream.Keys;
  readonly #wires: Effect.Effect<Wire>;
  readonly #scope: Scope.Scope;
  #wire: Wire | null = null;
  /** The connection, and the one that was found to lead to the same server. */
  #redis: Redis | null = null;
  #beside: Redis | null = null;
  #connecting: Fiber.Fiber<void> | null = null;
  /** The read that is on its way, if it was begun by somebody who does not wait any more. */
  #reading: Promise<News> | null = null;

  constructor(wires: Effect.Effect<Wire>, scope: Scope.Scope, keys: StockStream.Keys) {
    this.#wires = wires;
    this.#scope = scope;
    this.#keys = keys;
  }

  /** What was appended after the replica's last entry, as soon as that is `count` entries; nothing after `millis`. */
  news(replica: Replica, beside: StockStream.Line, count: number, millis: number): Effect.Effect<News> {
    const redis = this.#wire?.current() ?? null;
    const isKnown = redis !== null && redis === this.#redis && beside.redis === this.#beside;
    if (isKnown) return this.#heard(redis, replica, count, millis).pipe(Effect.catch(() => Effect.as(this.#drop(), NOTHING)));
    // Nobody waits for a connection that may never come.
    return Effect.flatMap(this.#connected(beside), (fiber) =>
      Effect.as(Effect.timeoutOption(Fiber.await(fiber), Duration.millis(millis)), NOTHING),
    );
  }

  #heard(redis: Redis, { generation, n }: Replica, count: number, millis: number): Effect.Effect<News, RedisError> {
    return Effect.callback((resume) => {
      const timer = setTimeout(() => resume(Effect.succeed(NOTHING)), millis);
      this.#reading ??= StockStream.awaited(redis, this.#keys, `(${generation}-${n}`, `${generation}-${n + count - 1}`);
      this.#reading.then(
        (news) => {
          clearTimeout(timer);
          this.#reading = null;
          resume(Effect.succeed(news));
        },
        () => {
          clearTimeout(timer);
          resume(Effect.fail(LOST));
        },
      );
    });
  }

  /** Connects beside whatever goes on. */
  #connected(beside: StockStream.Line): Effect.Effect<Fiber.Fiber<void>> {
    if (this.#connecting !== null) return Effect.succeed(this.#connecting);
    const wire = this.#wire === null ? Effect.map(this.#wires, (made) => (this.#wire = made)) : Effect.succeed(this.#wire);
    return Effect.flatMap(wire, (it) => connect(it, beside)).pipe(
      Effect.map((redis) => {
        this.#redis = redis;
        this.#beside = beside.redis;
        this.#reading = null;
      }),
      Effect.catch(() => this.#drop()),
      Effect.ensuring(Effect.sync(() => void (this.#connecting = null))),
      Effect.forkIn(this.#scope),
      Effect.map((fiber) => {
        this.#connecting = fiber;
        return fiber;
      }),
    );
  }

  #drop(): Effect.Effect<void> {
    const redis = this.#wire?.current() ?? null;
    this.#redis = null;
    this.#reading = null;
    return redis === null || this.#wire === null ? Effect.void : this.#wire.drop(redis);
  }
}

/** A connection to the server that the other one leads to. */
const connect = Effect.fnUntraced(function* (wire: Wire, beside: StockStream.Line): Effect.fn.Return<Redis, RedisError> {
  const redis = yield* wire.connect(OPERATION);
  const own = yield* StockStream.server({ wire, redis });
  const other = yield* StockStream.server(beside);
  return own.runId === other.runId ? redis : yield* LOST;
});

const OPERATION = "StockLog.watch";

const LOST = new RedisError({ reason: "Unavailable", operation: OPERATION, message: "nothing can be heard" });
