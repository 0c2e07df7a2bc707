import { Clock, Deferred, Effect, Exit, Layer, Random } from "effect";
import { describe, expect, it } from "vitest";
import { Simulator } from "@org/saga-core/testing";

/** Ten fibers that race for turns: what they write down depends on every scheduling decision. */
const race = Effect.gen(function* () {
  const log: Array<string> = [];
  yield* Effect.forEach(
    Array.from({ length: 10 }, (_, n) => n),
    (n) =>
      Effect.gen(function* () {
        for (let turn = 0; turn < 5; turn++) {
          yield* Effect.yieldNow;
          yield* Effect.sleep(yield* Random.nextIntBetween(0, 20));
          log.push(`${n}@${yield* Clock.currentTimeMillis}`);
        }
      }),
    { concurrency: "unbounded" },
  );
  return log;
});

describe("the simulator", () => {
  it("repeats a run exactly for the same seed, and differs for another", () => {
    const first = Simulator.run({ seed: 1 }, race);
    const second = Simulator.run({ seed: 1 }, race);
    expect(second).toEqual(first);
    const others = [2, 3, 4].map((seed) => Simulator.run({ seed }, race).fingerprint);
    expect(new Set([first.fingerprint, ...others]).size).toBe(4);
  });

  it("lets a day pass in no time", () => {
    const run = Simulator.run({ seed: 1, startAt: 0 }, Effect.andThen(Effect.sleep("23 hours"), Clock.currentTimeNanos));
    expect(run.exit).toEqual(Exit.succeed(82_800_000_000_000n));
    expect(run.elapsed).toBe(82_800_000);
  });

  it("wakes sleepers in the order of their times, and forgets those that were interrupted", () => {
    const program = Effect.gen(function* () {
      const woken: Array<string> = [];
      const sleeper = (name: string, millis: number) =>
        Effect.andThen(
          Effect.sleep(millis),
          Effect.sync(() => woken.push(name)),
        );
      yield* Effect.raceFirst(sleeper("never", 1_000), Effect.sleep(10));
      yield* Effect.all([sleeper("b", 20), sleeper("a", 10), sleeper("c", 30)], { concurrency: "unbounded" });
      return woken;
    });
    expect(Simulator.run({ seed: 7 }, program).exit).toEqual(Exit.succeed(["a", "b", "c"]));
  });

  it("reports a program that waits for nothing, for the outside world, or for ever", () => {
    const stuck = (program: Effect.Effect<unknown>) => Simulator.explain(Simulator.run({ seed: 1, limitMillis: 10_000 }, program).exit);
    expect(stuck(Effect.never)).toContain("cannot happen");
    expect(stuck(Effect.promise(() => Promise.resolve(1)))).toContain("cannot happen");
    expect(stuck(Effect.forever(Effect.sleep(1_000)))).toContain("virtual milliseconds");
    expect(stuck(Effect.sleep(Infinity))).toContain("cannot happen");
    expect(Simulator.explain(Exit.void)).toBe("ended well");
  });

  it("crashes a process at its fault points until the faults end, and builds it again", () => {
    const crashes: Array<Simulator.Crash> = [];
    const program = Effect.gen(function* () {
      let lives = 0;
      const survived = yield* Deferred.make<number>();
      const work = Effect.gen(function* () {
        lives += 1;
        for (let step = 0; step < 20; step++) {
          yield* Effect.uninterruptible(Simulator.faultPoint("Work.step"));
          yield* Effect.sleep(100);
        }
        yield* Deferred.succeed(survived, lives);
        return yield* Effect.never;
      });
      const faults: Simulator.Faults = { crash: 0.2, delay: 0.2, delayMaxMillis: 50, downMaxMillis: 500, until: 60_000 };
      yield* Effect.forkChild(
        Simulator.process("worker", Layer.effectDiscard(Effect.forkScoped(work)), faults, (crash) => crashes.push(crash)),
      );
      return yield* Deferred.await(survived);
    });
    const { exit } = Simulator.run({ seed: 3, startAt: 0 }, program);
    expect(exit).toEqual(Exit.succeed(crashes.length + 1));
    expect(crashes.length).toBeGreaterThan(0);
    expect(crashes[0]).toMatchObject({ process: "worker", point: "Work.step" });
  });
});
