/** How long something has taken. Not by the time of day, which is set forth and back: what waits for its end would end at once, or hours later. */
import { Clock, Effect } from "effect";

const NANOS_PER_MILLI = 1_000_000;

/** Milliseconds since some moment of this process. */
export const now: Effect.Effect<number> = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / NANOS_PER_MILLI);
