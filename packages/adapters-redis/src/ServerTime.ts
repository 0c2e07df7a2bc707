/**
 * The server's clock without a round trip for each batch. `TIME` is asked for together with an append about once a second;
 * between two answers it is the last one plus what has passed here since it came.
 *
 * Never ahead of the server: an answer is older than its arrival. Behind by the way of one answer, and by what two clocks
 * drift apart within `MAX_MS`: less than a millisecond. A quiet connection asks first. What it says may go back by as much:
 * whoever dates by it takes the greater one of this and the last date.
 */
import type { Timestamp } from "@org/saga-core";
import { type Clock, Effect } from "effect";
import type { Redis } from "ioredis";
import type { Wire } from "./RedisClient.ts";
import type { RedisError } from "./RedisError.ts";

/** Asked again with the next append after so long, in milliseconds; */
const DUE_MS = 1_000;

/** and before anything is decided after so long. */
const MAX_MS = 10_000;

const NANOS_PER_MILLI = 1_000_000;
const MILLIS_PER_SECOND = 1_000;
const MICROS_PER_MILLI = 1_000;

export interface ServerTime {
  /** The time, if it was asked for recently. */
  readonly known: () => Timestamp | null;
  /** The time, asked for if need be. */
  readonly now: (redis: Redis) => Effect.Effect<Timestamp, RedisError>;
  readonly isDue: () => boolean;
  readonly ask: (redis: Redis) => Effect.Effect<Timestamp, RedisError>;
  /** Milliseconds of a clock that is never set. */
  readonly elapsed: () => number;
}

export const make = (wire: Wire, clock: Clock.Clock): ServerTime => {
  /** Of which connection: another server has another clock. */
  let of: Redis | null = null;
  let answer = 0;
  let heardAt = Number.NEGATIVE_INFINITY;
  const elapsed = (): number => Number(clock.monotonicTimeNanosUnsafe()) / NANOS_PER_MILLI;
  const known = (): Timestamp | null => {
    const since = elapsed() - heardAt;
    return of === wire.current() && since < MAX_MS ? Math.floor(answer + since) : null;
  };
  const ask = (redis: Redis): Effect.Effect<Timestamp, RedisError> =>
    Effect.map(
      wire.ask("StockLog.time", "reading", () => redis.time()),
      ([seconds, micros]) => {
        answer = Number(seconds) * MILLIS_PER_SECOND + Number(micros) / MICROS_PER_MILLI;
        heardAt = elapsed();
        of = redis;
        return Math.floor(answer);
      },
    );
  return {
    known,
    now: (redis) =>
      Effect.suspend(() => {
        const time = known();
        return time === null ? ask(redis) : Effect.succeed(time);
      }),
    isDue: () => elapsed() - heardAt >= DUE_MS,
    ask,
    elapsed,
  };
};
