/**
 * Lets calls wait while the other side does not answer, and one through after a while to see.
 *
 * closed ── `failuresMax` in a row ──▶ open ── `openMillis` ──▶ one on trial ── answered ──▶ closed
 *                                        ▲                          └── not answered ──┘
 *
 * It belongs to one process, and saves its places and the other side's time; nothing correct rests on it.
 */
import { Duration, Effect } from "effect";
import * as Elapsed from "./Elapsed.ts";

export interface CircuitBreaker {
  /** Ends when a call may be made. */
  readonly pass: Effect.Effect<void>;
  /** What became of a call. */
  readonly told: (isAnswered: boolean) => Effect.Effect<void>;
}

/** Between two looks while another call is on trial, in milliseconds. */
const LOOK_MS = 100;

export const make = (failuresMax: number, openMillis: number): CircuitBreaker => {
  let failures = 0;
  /** When the next call may go on trial. */
  let until = 0;
  const look: Effect.Effect<void> = Effect.flatMap(Elapsed.now, (now) => {
    if (failures < failuresMax) return Effect.void;
    if (now < until) return Effect.andThen(Effect.sleep(Duration.millis(Math.max(LOOK_MS, until - now))), look);
    // On trial. A trial that is never told of ends with its time.
    until = now + openMillis;
    return Effect.void;
  });
  return {
    pass: look,
    told: (isAnswered) =>
      Effect.map(Elapsed.now, (now) => {
        failures = isAnswered ? 0 : failures + 1;
        if (failures >= failuresMax) until = now + openMillis;
      }),
  };
};
