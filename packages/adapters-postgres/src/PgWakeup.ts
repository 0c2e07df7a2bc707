/**
 * Wakes those who wait for work: at once when this process committed some, by polling when another one did. A kick that
 * nobody waits for is kept for the next wait.
 */
import { Clock, Duration, Effect, Latch, Option } from "effect";

export interface Wakeup {
  readonly kick: () => void;
  readonly latch: Latch.Latch;
}

/** How late work of another process is noticed, at most; measured, it costs one index probe. */
const POLL = Duration.millis(250);

export const make = (): Wakeup => {
  const latch = Latch.makeUnsafe(false);
  return { latch, kick: () => latch.openUnsafe() };
};

/** Returns after a kick, when `isDue` says so, or after `atMost`. */
export const wait = Effect.fnUntraced(function* <E>(
  wakeup: Wakeup,
  isDue: Effect.Effect<boolean, E>,
  atMost: Duration.Duration,
): Effect.fn.Return<void, E> {
  const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(atMost);
  for (;;) {
    const left = end - (yield* Clock.currentTimeMillis);
    const kicked = yield* Effect.timeoutOption(wakeup.latch.await, Duration.min(POLL, Duration.millis(Math.max(left, 0))));
    if (Option.isSome(kicked)) {
      wakeup.latch.closeUnsafe();
      return;
    }
    if (left <= Duration.toMillis(POLL) || (yield* isDue)) return;
  }
});
