/** What is forgotten when, and which retentions fit each other. */
import { Duration, Effect, Exit, Layer, Result } from "effect";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Inbox, InboxWorker, Retention, UnitOfWork } from "@org/saga-core";
import { simulate } from "./Harness.ts";

const INBOX_MS = Duration.toMillis(Retention.defaults.inbox);

const admit = Effect.flatMap(UnitOfWork, (unitOfWork) =>
  unitOfWork.commit(Effect.flatMap(Inbox, (inbox) => inbox.admit("consumer", ["m-1"]))),
);

const problem = (options: Retention.Options): string => {
  const made = Retention.make(options);
  return Result.isFailure(made) ? made.failure.message : "none";
};

describe("retention", () => {
  it("recognizes a duplicate up to the last millisecond, and forgets it afterwards", () => {
    simulate(() =>
      Effect.gen(function* () {
        yield* admit;
        yield* Effect.sleep(INBOX_MS - 1);
        expect(yield* Retention.sweepOnce).toEqual({ inbox: 0, outbox: 0, idempotencyKeys: 0 });
        expect(yield* admit).toEqual(["Duplicate"]);
        yield* Effect.sleep(2);
        expect(yield* Retention.sweepOnce).toEqual({ inbox: 1, outbox: 0, idempotencyKeys: 0 });
        expect(yield* admit).toEqual(["First"]);
      }),
    );
  });

  it("sweeps in the background, by the policy of the process", () => {
    simulate(() =>
      Effect.gen(function* () {
        yield* admit;
        const policy = Result.getOrThrow(
          Retention.make({ inbox: "2 hours", topic: "1 hour", deadLetters: "30 minutes", retries: "30 minutes" }),
        );
        const sweeper = Layer.provide(Retention.layer, Layer.succeed(Retention.CurrentPolicy, policy));
        yield* Effect.raceFirst(Layer.launch(sweeper), Effect.sleep(Duration.hours(1)));
        expect(yield* admit).toEqual(["Duplicate"]);
        yield* Effect.raceFirst(Layer.launch(sweeper), Effect.sleep(Duration.millis(3_600_000 + 2 * Retention.SWEEP_EVERY_MS)));
        expect(yield* admit).toEqual(["First"]);
      }),
    );
  });

  it("has defaults that fit each other, and the workers' retries", () => {
    const { deadLetters, inbox, retries, topic } = Retention.defaults;
    const needed = Duration.toMillis(retries) + Duration.toMillis(deadLetters) + Duration.toMillis(topic);
    expect(Duration.toMillis(inbox)).toBeGreaterThanOrEqual(needed);
    expect(Duration.toMillis(retries)).toBeGreaterThanOrEqual(InboxWorker.retriesMillis());
  });

  it("refuses at start an inbox that forgets before a message has come for the last time, and shows the sum", () => {
    simulate(() =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(Layer.launch(Retention.layerWith({ inbox: "1 day" })));
        expect(Exit.isFailure(exit)).toBe(true);
        expect(problem({ inbox: "1 day" })).toBe(
          "the inbox forgets a message after 1d, while it may come again for 2d 13h: retries 1h + dead letters 1d 12h + topic 1d. " +
            "Raise the inbox's retention to at least 2d 13h, or lower one of the others",
        );
        expect(problem({ topic: "2 days" })).toContain("topic 2d");
        expect(problem({ outbox: 0 })).toBe("the retention of outbox has to be a time above 0, and to end");
        expect(problem({ outbox: "3 days" })).toBe("none");
        expect(problem({ outbox: "4 days" })).toMatch(/^the outbox keeps sent messages for at most 3d, not 4d/);
        expect(problem({ inbox: "Infinity" })).toContain("inbox has to be a time above 0, and to end");
      }),
    );
  });

  it("has no policy whose inbox forgets too early", () => {
    const millis = fc.integer({ min: 1, max: 10 });
    fc.assert(
      fc.property(
        fc.record({ inbox: fc.integer({ min: 1, max: 30 }), topic: millis, deadLetters: millis, retries: millis }),
        (durations) => {
          const fits = durations.inbox >= durations.topic + durations.deadLetters + durations.retries;
          expect(Result.isSuccess(Retention.make(durations))).toBe(fits);
        },
      ),
    );
  });
});
