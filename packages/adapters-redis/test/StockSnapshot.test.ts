import { Effect, Fiber } from "effect";
import { TestClock } from "effect/testing";
import { expect, test } from "vitest";
import * as StockSnapshot from "../src/StockSnapshot.ts";

const LARGE = 1_000_000;

const begun = (): { seen: number; latest: string | null } => ({ seen: 5_000_000, latest: null });

const run = <A>(effect: Effect.Effect<A>): Promise<A> => Effect.runPromise(effect.pipe(Effect.provide(TestClock.layer())));

/** What a wait before the next page has come to after some time. */
const answerAfter = Effect.fnUntraced(function* (fiber: Fiber.Fiber<boolean>, millis: number) {
  yield* TestClock.adjust(millis);
  return fiber.pollUnsafe();
});

test("pages of a large state wait for the log to grow, and not for ever", () =>
  run(
    Effect.gen(function* () {
      const replica = begun();
      const pace = StockSnapshot.pace(replica);
      const grown = yield* Effect.forkChild(pace(LARGE));
      expect(yield* answerAfter(grown, 10)).toBeUndefined();
      replica.seen += LARGE / 2;
      yield* TestClock.adjust(2);
      expect(yield* Fiber.join(grown)).toBe(true);
      const idle = yield* Effect.forkChild(pace(2 * LARGE));
      expect(yield* answerAfter(idle, 10)).toBeUndefined();
      yield* TestClock.adjust(1_000);
      expect(yield* Fiber.join(idle)).toBe(true);
    }),
  ));

test("pages of a small state do not wait, and nobody goes on behind a faster process", () =>
  run(
    Effect.gen(function* () {
      const replica = begun();
      const pace = StockSnapshot.pace(replica);
      expect(yield* pace(50_000)).toBe(true);
      replica.latest = "another";
      expect(yield* pace(LARGE)).toBe(false);
    }),
  ));
