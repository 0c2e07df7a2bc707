/** What waits for an interval is not misled by a time of day that is set. */
import { Clock, Effect } from "effect";
import { TestClock } from "effect/testing";
import { expect, test } from "vitest";
import * as CircuitBreaker from "../../src/flow/CircuitBreaker.ts";

const OPEN_MS = 1_000;
const HOUR_MS = 3_600_000;

test.each([
  ["back", -HOUR_MS],
  ["forth", HOUR_MS],
])("an open breaker lets one call through after its time, and not before, while the time of day is set %s", (_, step) =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock;
    let off = 0;
    const set: Clock.Clock = {
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + off,
      currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + off),
      currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe() + BigInt(off) * 1_000_000n,
      currentTimeNanos: Effect.map(clock.currentTimeNanos, (now) => now + BigInt(off) * 1_000_000n),
      monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
      monotonicTimeNanos: clock.monotonicTimeNanos,
      sleep: (duration) => clock.sleep(duration),
    };
    const breaker = CircuitBreaker.make(1, OPEN_MS);
    yield* Effect.provideService(breaker.told(false), Clock.Clock, set);
    off = step;
    let passed = false;
    const passing = Effect.map(breaker.pass, () => void (passed = true));
    yield* Effect.forkChild(Effect.provideService(passing, Clock.Clock, set));
    yield* TestClock.adjust(OPEN_MS - 1);
    expect(passed).toBe(false);
    yield* TestClock.adjust(1);
    expect(passed).toBe(true);
  }).pipe(Effect.provide(TestClock.layer()), Effect.runPromise),
);
