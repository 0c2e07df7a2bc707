/** What every `Lock` has to prove: one lease at a time while clocks agree, and a fence that only grows. */
import { Effect } from "effect";
import { type Lease, Lock } from "../../ports/Lock.ts";
import * as Contract from "../Contract.ts";

export type Ports = Lock;

/** Long enough that no case sees the end of it, in milliseconds. */
const LONG = 60_000;

/** Short enough to wait for, in milliseconds. */
const SHORT = 100;

/** Short enough to wait for, long enough to renew in time on a slow machine, in milliseconds. */
const RENEWABLE = 300;

/** How often a case asks again for something that has to come. */
const TURNS = 10;

/** The lease, which has to be free. */
const acquired = Effect.fnUntraced(function* (name: string, owner: string, ttlMillis: number = LONG) {
  const lease = yield* (yield* Lock).acquire(name, owner, ttlMillis);
  return lease ?? (yield* Contract.fail(`${owner} should get the lease`));
});

/** Asks until the lease of another owner has ended. */
const acquiredLater = Effect.fnUntraced(function* (name: string, owner: string) {
  for (let turn = 0; turn < TURNS; turn += 1) {
    const lease: Lease | null = yield* (yield* Lock).acquire(name, owner, LONG);
    if (lease !== null) return lease;
    yield* Contract.settle;
  }
  return yield* Contract.fail("the lease should have ended");
});

export const cases: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a free lease is given, with name, owner and fence",
    Effect.gen(function* () {
      const name = yield* Contract.unique("lock");
      const lease = yield* acquired(name, "ada");
      yield* Contract.equal([lease.name, lease.owner], [name, "ada"], "the lease");
      yield* Contract.isTrue(Number.isSafeInteger(lease.fence) && lease.fence > 0, "a fence is a positive whole number");
    }),
  ),
  Contract.check(
    "while a lease runs nobody else gets it; other names are free",
    Effect.gen(function* () {
      const name = yield* Contract.unique("lock");
      yield* acquired(name, "ada");
      yield* Contract.equal(yield* (yield* Lock).acquire(name, "bob", LONG), null, "another owner");
      yield* acquired(yield* Contract.unique("lock"), "bob");
    }),
  ),
  Contract.check(
    "the same owner gets its lease again, with a greater fence, and the old lease is lost",
    Effect.gen(function* () {
      const name = yield* Contract.unique("lock");
      const lock = yield* Lock;
      const first = yield* acquired(name, "ada");
      const second = yield* acquired(name, "ada");
      yield* Contract.isTrue(second.fence > first.fence, "the fence should grow");
      yield* Contract.equal(yield* lock.renew(first, LONG), "Lost", "a renewal of the old lease");
      yield* Contract.equal(yield* lock.renew(second, LONG), "Renewed", "a renewal of the new lease");
    }),
  ),
  Contract.check(
    "a lease ends by itself, and the next owner's fence is greater",
    Effect.gen(function* () {
      const name = yield* Contract.unique("lock");
      const lock = yield* Lock;
      const first = yield* acquired(name, "ada", SHORT);
      const second = yield* acquiredLater(name, "bob");
      yield* Contract.isTrue(second.fence > first.fence, "the fence should grow");
      yield* Contract.equal(yield* lock.renew(first, LONG), "Lost", "a renewal by the first owner");
      yield* lock.release(first);
      yield* Contract.equal(yield* lock.renew(second, LONG), "Renewed", "a renewal by the second owner");
      yield* Contract.equal(yield* lock.acquire(name, "ada", LONG), null, "the first owner again");
    }),
  ),
  Contract.check(
    "a renewed lease runs longer",
    Effect.gen(function* () {
      const name = yield* Contract.unique("lock");
      const lock = yield* Lock;
      const lease = yield* acquired(name, "ada", RENEWABLE);
      yield* Contract.equal(yield* lock.renew(lease, LONG), "Renewed", "the renewal");
      yield* Contract.wait(RENEWABLE + SHORT);
      yield* Contract.equal(yield* lock.acquire(name, "bob", LONG), null, "another owner after the first time to live");
    }),
  ),
  Contract.check(
    "a released lease is free at once, and the next fence is still greater",
    Effect.gen(function* () {
      const name = yield* Contract.unique("lock");
      const lock = yield* Lock;
      const first = yield* acquired(name, "ada");
      yield* lock.release(first);
      yield* Contract.equal(yield* lock.renew(first, LONG), "Lost", "a renewal after the release");
      const second = yield* acquired(name, "bob");
      yield* Contract.isTrue(second.fence > first.fence, "the fence should grow");
      yield* lock.release(first);
      yield* Contract.equal(yield* lock.acquire(name, "ada", LONG), null, "after a second release by the first owner");
    }),
  ),
  Contract.check(
    "a lease that was never given is Lost, and releasing it does nothing",
    Effect.gen(function* () {
      const name = yield* Contract.unique("lock");
      const lock = yield* Lock;
      const imagined: Lease = { name, owner: "ada", fence: 1 };
      yield* Contract.equal(yield* lock.renew(imagined, LONG), "Lost", "a renewal");
      yield* lock.release(imagined);
      yield* acquired(name, "bob");
    }),
  ),
  Contract.check(
    "of many owners at once exactly one gets the lease",
    Effect.gen(function* () {
      const name = yield* Contract.unique("lock");
      const lock = yield* Lock;
      const owners = Array.from({ length: 10 }, (_, index) => `owner-${index}`);
      const leases = yield* Effect.forEach(owners, (owner) => lock.acquire(name, owner, LONG), { concurrency: "unbounded" });
      yield* Contract.equal(leases.filter((lease) => lease !== null).length, 1, "leases");
    }),
  ),
];
