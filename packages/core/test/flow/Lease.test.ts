import { Clock, Effect, Exit, Fiber } from "effect";
import { describe, expect, it } from "vitest";
import { Lease, Lock, StoreError } from "@org/saga-core";
import { simulate } from "./Harness.ts";

const TTL = 3_000;

const away = new StoreError({ reason: "Unavailable", operation: "Lock", message: "away" });

/** A lock that `broken` stands in front of. */
const lockWith = (broken: (lock: Lock["Service"]) => Partial<Lock["Service"]>) =>
  Effect.map(Lock, (lock): Lock["Service"] => ({ ...lock, ...broken(lock) }));

/** Somebody who runs for as long as he may, and writes down when he starts and stops. */
const recorder = () => {
  const events: Array<string> = [];
  let running = 0;
  let most = 0;
  const write = (event: string) => Effect.map(Clock.currentTimeMillis, (now) => void events.push(`${event} at ${now - start}`));
  let start = 0;
  const begin = Effect.map(Clock.currentTimeMillis, (now) => {
    start = now;
  });
  const work = (name: string, during: Effect.Effect<void> = Effect.never) =>
    Effect.suspend(() => {
      running += 1;
      most = Math.max(most, running);
      return write(`${name} starts`).pipe(Effect.andThen(during));
    }).pipe(
      Effect.onExit(() => {
        running -= 1;
        return write(`${name} stops`);
      }),
    );
  return { begin, events, work, mostAtOnce: () => most };
};

describe("work under a lease", () => {
  it("goes on as long as the lease is renewed, gives it back at the end, and nobody else runs meanwhile", () => {
    simulate(() =>
      Effect.gen(function* () {
        const log = recorder();
        yield* log.begin;
        const first = yield* Effect.forkChild(Lease.whileHeld("pull", TTL, log.work("ada", Effect.sleep(10 * TTL))));
        yield* Effect.sleep(10);
        yield* Effect.forkChild(Lease.whileHeld("pull", TTL, log.work("bob")));
        yield* Fiber.join(first);
        yield* Effect.sleep(TTL);
        expect(log.mostAtOnce()).toBe(1);
        expect(log.events.slice(0, 2)).toEqual(["ada starts at 0", `ada stops at ${10 * TTL}`]);
        // Given back, it is free at the next look: a third of the time to live.
        expect(log.events[2]).toMatch(/^bob starts at 30\d\d\d$/);
      }),
    );
  });

  it("passes the answer and the failure of the work on, with a fence that grows", () => {
    simulate(() =>
      Effect.gen(function* () {
        const fence = Lease.underLease("pull", TTL, (lease) => Effect.succeed(lease.fence));
        const fences = [yield* fence, yield* fence];
        expect(fences[1]).toBeGreaterThan(fences[0] ?? 0);
        expect(yield* Effect.exit(Lease.whileHeld("pull", TTL, Effect.fail("broken")))).toEqual(Exit.fail("broken"));
        expect(yield* (yield* Lock).acquire("pull", "somebody", TTL)).not.toBeNull();
      }),
    );
  });

  it("of an owner that died is taken over after its time to live, within 4/3 of it", () => {
    simulate(() =>
      Effect.gen(function* () {
        const log = recorder();
        const silent = yield* lockWith(() => ({ renew: () => Effect.never, release: () => Effect.void }));
        yield* log.begin;
        const dead = yield* Effect.forkChild(Lease.whileHeld("pull", TTL, log.work("ada")).pipe(Effect.provideService(Lock, silent)));
        yield* Effect.sleep(10);
        yield* Fiber.interrupt(dead);
        const next = yield* Effect.forkChild(Lease.whileHeld("pull", TTL, log.work("bob")));
        yield* Effect.sleep((TTL * 4) / 3 + 100);
        yield* Fiber.interrupt(next);
        expect(log.events).toHaveLength(4);
        const at = Number(log.events[2]?.split(" ").at(-1));
        expect(at).toBeGreaterThanOrEqual(TTL);
        expect(at).toBeLessThanOrEqual((TTL * 4) / 3 + 100);
      }),
    );
  });

  it("stops before the lease ends at the server when the lock fails or does not answer, and comes again when it is back", () => {
    for (const answer of [Effect.fail(away), Effect.never, Effect.uninterruptible(Effect.sleep(100 * TTL))]) {
      simulate(() =>
        Effect.gen(function* () {
          const log = recorder();
          let isAway = false;
          const flaky = yield* lockWith((lock) => ({
            acquire: (name, owner, ttl) => (isAway ? Effect.fail(away) : lock.acquire(name, owner, ttl)),
            renew: (lease, ttl) => (isAway ? Effect.andThen(answer, Effect.succeed("Lost" as const)) : lock.renew(lease, ttl)),
          }));
          yield* log.begin;
          const mine = yield* Effect.forkChild(
            Effect.retry(Lease.whileHeld("pull", TTL, log.work("ada")), { while: () => Effect.as(Effect.sleep(100), true) }).pipe(
              Effect.provideService(Lock, flaky),
            ),
          );
          yield* Effect.sleep(TTL + 500);
          isAway = true;
          const other = yield* Effect.forkChild(Lease.whileHeld("pull", TTL, log.work("bob", Effect.sleep(TTL))));
          yield* Effect.sleep(3 * TTL);
          isAway = false;
          yield* Fiber.join(other);
          yield* Effect.sleep(2 * TTL);
          yield* Fiber.interrupt(mine);
          expect(log.mostAtOnce()).toBe(1);
          expect(log.events.map((event) => event.replace(/ at \d+$/, ""))).toEqual([
            "ada starts",
            "ada stops",
            "bob starts",
            "bob stops",
            "ada starts",
            "ada stops",
          ]);
        }),
      );
    }
  });

  it("outlives a failure of the lock that is shorter than a third of the time to live", () => {
    simulate(() =>
      Effect.gen(function* () {
        const log = recorder();
        let calls = 0;
        const flaky = yield* lockWith((lock) => ({
          renew: (lease, ttl) =>
            Effect.suspend(() => {
              calls += 1;
              return calls % 3 === 0 ? lock.renew(lease, ttl) : Effect.fail(away);
            }),
        }));
        yield* Lease.whileHeld("pull", TTL, log.work("ada", Effect.sleep(20 * TTL))).pipe(Effect.provideService(Lock, flaky));
        expect(log.events).toHaveLength(2);
        expect(calls).toBeGreaterThan(20);
      }),
    );
  });

  it("stops at once when the lock says that the lease is somebody else's", () => {
    simulate(() =>
      Effect.gen(function* () {
        const log = recorder();
        const lossy = yield* lockWith(() => ({ renew: () => Effect.succeed("Lost" as const) }));
        yield* log.begin;
        yield* Effect.raceFirst(
          Lease.whileHeld("pull", TTL, log.work("ada")).pipe(Effect.provideService(Lock, lossy)),
          Effect.sleep(TTL / 2),
        );
        expect(log.events[1]).toMatch(/^ada stops at 10\d\d$/);
      }),
    );
  });

  it("needs a time to live in which a server can answer", () => {
    simulate(() =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(Lease.whileHeld("pull", Lease.TTL_MIN_MS - 1, Effect.void));
        expect(failure).toMatchObject({ reason: "Misuse", message: "a lease has to live for 300 ms or longer, not 299" });
      }),
    );
  });
});
