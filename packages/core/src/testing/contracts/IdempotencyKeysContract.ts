/** What every `IdempotencyKeys` has to prove: a request acts once and is answered the same each time (G6). */
import { Effect, Fiber } from "effect";
import { type IdempotencyKey, IdempotencyKeys } from "../../ports/IdempotencyKeys.ts";
import { type Transaction, UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import * as Samples from "./Samples.ts";

export type Ports = UnitOfWork | IdempotencyKeys;

const freshKey = Effect.map(Contract.unique("key"), (key): IdempotencyKey => ({ scope: "customer-1", key, fingerprint: "f1" }));

const ANSWER = { status: 201, body: { id: "order-1", text: "Grüße", list: [null, 1.5] } };

const claim = Effect.fnUntraced(function* (...keys: ReadonlyArray<IdempotencyKey>) {
  return yield* (yield* UnitOfWork).commit((yield* IdempotencyKeys).claim(keys));
});

/** What a request does: claims its key and records its answer, in one transaction. */
const answer = Effect.fnUntraced(function* (key: IdempotencyKey, value: unknown) {
  const keys = yield* IdempotencyKeys;
  const request = Effect.andThen(keys.claim([key]), keys.record([{ key, answer: value }]));
  yield* (yield* UnitOfWork).commit(request);
});

/** Longer than any claim takes that waits for nobody, in milliseconds. */
const NOBODY_WAITS = 10_000;

/**
 * Two requests claim one key at the same time; the first one ends with `ending`. The verdict of whoever asks afterwards.
 *
 * The second one either begins beside the first one, and is told `InFlight` while its neighbour is New, or the store runs one
 * transaction at a time: then it begins when the first one has ended.
 */
const race = Effect.fnUntraced(function* (key: IdempotencyKey, ending: Effect.Effect<void, string>) {
  const unit = yield* UnitOfWork;
  const keys = yield* IdempotencyKeys;
  const neighbour = yield* freshKey;
  const [claimed, finish] = [yield* Contract.gate, yield* Contract.gate];
  const slow = Effect.gen(function* () {
    yield* keys.claim([key]);
    yield* claimed.open;
    yield* finish.passed;
    yield* keys.record([{ key, answer: ANSWER }]);
    yield* ending;
  });
  const first = yield* Effect.forkChild(Effect.exit(unit.commit(slow)));
  yield* claimed.passed;
  let hasBegun = false;
  const beside = Effect.suspend(() => {
    hasBegun = true;
    return keys.claim([neighbour, key]);
  });
  const second = yield* Effect.forkChild(unit.commit(beside));
  yield* Contract.settle;
  if (hasBegun) {
    const verdicts = yield* Effect.raceFirst(Fiber.join(second), Effect.as(Effect.sleep(NOBODY_WAITS), "waits"));
    yield* Contract.equal(verdicts, [{ _tag: "New" }, { _tag: "InFlight" }], "the verdicts beside the first request");
  }
  yield* finish.open;
  yield* Fiber.join(first);
  return hasBegun ? yield* claim(key) : (yield* Fiber.join(second)).slice(1);
});

const repeating: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a key is New once, then its request is answered the same each time",
    Effect.gen(function* () {
      const key = yield* freshKey;
      const keys = yield* IdempotencyKeys;
      const first = Effect.tap(keys.claim([key]), () => keys.record([{ key, answer: ANSWER }]));
      yield* Contract.equal(yield* (yield* UnitOfWork).commit(first), [{ _tag: "New" }], "the first time");
      yield* Contract.equal(yield* claim(key), [{ _tag: "Repeated", answer: ANSWER }], "the second time");
      yield* Contract.equal(yield* claim(key), [{ _tag: "Repeated", answer: ANSWER }], "the third time");
    }),
  ),
  Contract.check(
    "any JSON value is an answer",
    Effect.gen(function* () {
      for (const value of [null, false, 0, "", "text", [], { nested: [{}] }]) {
        const key = yield* freshKey;
        yield* answer(key, value);
        yield* Contract.equal(yield* claim(key), [{ _tag: "Repeated", answer: value }], "the answer again");
      }
    }),
  ),
  Contract.check(
    "the same key with another request is a Mismatch, and does not disturb the first one",
    Effect.gen(function* () {
      const key = yield* freshKey;
      yield* answer(key, ANSWER);
      yield* Contract.equal(yield* claim({ ...key, fingerprint: "f2" }), [{ _tag: "Mismatch" }], "another request");
      yield* Contract.equal(yield* claim(key), [{ _tag: "Repeated", answer: ANSWER }], "the first request");
    }),
  ),
  Contract.check(
    "keys of different callers never meet",
    Effect.gen(function* () {
      const key = yield* freshKey;
      yield* answer(key, ANSWER);
      yield* Contract.equal(yield* claim({ ...key, scope: "customer-2" }), [{ _tag: "New" }], "the same key of another caller");
    }),
  ),
  Contract.check(
    "one verdict per key, in the order that was asked",
    Effect.gen(function* () {
      const [a, b, c] = [yield* freshKey, yield* freshKey, yield* freshKey];
      yield* answer(b, "b");
      yield* answer(c, "c");
      const verdicts = yield* claim(c, a, { ...b, fingerprint: "f2" });
      yield* Contract.equal(verdicts, [{ _tag: "Repeated", answer: "c" }, { _tag: "New" }, { _tag: "Mismatch" }], "verdicts");
      yield* Contract.equal(yield* claim(), [], "verdicts of none");
    }),
  ),
  Contract.check(
    "a request that was rolled back leaves its key New",
    Effect.gen(function* () {
      const key = yield* freshKey;
      const keys = yield* IdempotencyKeys;
      const request = Effect.andThen(keys.claim([key]), keys.record([{ key, answer: ANSWER }]));
      yield* Effect.exit((yield* UnitOfWork).commit(Effect.andThen(request, Effect.fail("no"))));
      yield* Contract.equal(yield* claim(key), [{ _tag: "New" }], "after the rollback");
    }),
  ),
  Contract.check(
    "a key that was claimed and not answered is New again, also when its transaction has committed",
    Effect.gen(function* () {
      const key = yield* freshKey;
      yield* Contract.equal(yield* claim(key), [{ _tag: "New" }], "the first time");
      yield* Contract.equal(yield* claim({ ...key, fingerprint: "f2" }), [{ _tag: "New" }], "the second time");
    }),
  ),
  Contract.check(
    "a sweep forgets keys claimed before its time, and nothing else",
    Effect.gen(function* () {
      const key = yield* freshKey;
      const keys = yield* IdempotencyKeys;
      yield* answer(key, ANSWER);
      yield* keys.sweep(Samples.PAST);
      yield* Contract.equal(yield* claim(key), [{ _tag: "Repeated", answer: ANSWER }], "after a sweep of older keys");
      yield* Contract.isTrue((yield* keys.sweep(Samples.FUTURE)) >= 1, "the sweep should count what it forgot");
      yield* Contract.equal(yield* keys.sweep(Samples.FUTURE), 0, "forgotten by a second sweep");
      yield* Contract.equal(yield* claim(key), [{ _tag: "New" }], "after the sweep");
    }),
  ),
];

const refusing: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "the same key twice in one call is refused with Misuse",
    Effect.gen(function* () {
      const key = yield* freshKey;
      yield* Contract.failsWith(claim(key, key), ["Misuse"], "a key twice");
      yield* Contract.failsWith(claim(key, { ...key, fingerprint: "f2" }), ["Misuse"], "a key twice, with two requests");
      yield* Contract.equal(yield* claim(key), [{ _tag: "New" }], "after the refusal");
    }),
  ),
  Contract.check(
    "an answer for a key that this transaction did not claim is refused with Misuse, and never replaces one",
    Effect.gen(function* () {
      const [answered, unknown] = [yield* freshKey, yield* freshKey];
      const keys = yield* IdempotencyKeys;
      const unit = yield* UnitOfWork;
      yield* answer(answered, ANSWER);
      yield* Contract.failsWith(unit.commit(keys.record([{ key: unknown, answer: 1 }])), ["Misuse"], "an unknown key");
      yield* Contract.failsWith(unit.commit(keys.record([{ key: answered, answer: 1 }])), ["Misuse"], "an answered key");
      yield* Contract.equal(yield* claim(answered), [{ _tag: "Repeated", answer: ANSWER }], "the first answer");
    }),
  ),
  Contract.check(
    "a transaction that has ended refuses every write with Misuse",
    Effect.gen(function* () {
      const key = yield* freshKey;
      const keys = yield* IdempotencyKeys;
      const ended = yield* (yield* UnitOfWork).commit(Effect.context<Transaction>());
      yield* Contract.failsWith(Effect.provideContext(keys.claim([key]), ended), ["Misuse"], "a late claim");
      yield* Contract.failsWith(Effect.provideContext(keys.record([{ key, answer: 1 }]), ended), ["Misuse"], "a late answer");
      yield* Contract.equal(yield* claim(key), [{ _tag: "New" }], "after late writes");
    }),
  ),
];

const racing: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a key is InFlight beside its first request, whose neighbours go on, and Repeated when that has committed",
    Effect.gen(function* () {
      yield* Contract.equal(yield* race(yield* freshKey, Effect.void), [{ _tag: "Repeated", answer: ANSWER }], "the verdict afterwards");
    }),
  ),
  Contract.check(
    "a key is InFlight beside its first request, whose neighbours go on, and New when that has rolled back",
    Effect.gen(function* () {
      yield* Contract.equal(yield* race(yield* freshKey, Effect.fail("no")), [{ _tag: "New" }], "the verdict afterwards");
    }),
  ),
  Contract.check(
    "of many concurrent requests with the same keys, in whatever order, one is New for each key",
    Effect.gen(function* () {
      const keys = yield* IdempotencyKeys;
      const unit = yield* UnitOfWork;
      const all = yield* Effect.replicateEffect(freshKey, 4);
      const orders = Array.from({ length: 10 }, (_, turn) => (turn % 2 === 0 ? all : all.toReversed()));
      const request = Effect.fnUntraced(function* (order: ReadonlyArray<IdempotencyKey>) {
        const verdicts = yield* keys.claim(order);
        const fresh = order.filter((_, index) => verdicts[index]?._tag === "New");
        yield* keys.record(fresh.map((key) => ({ key, answer: ANSWER })));
        return fresh.length;
      });
      const counts = yield* Effect.forEach(orders, (order) => unit.commit(request(order)), { concurrency: "unbounded" });
      yield* Contract.equal(
        counts.reduce((sum, count) => sum + count, 0),
        all.length,
        "New verdicts",
      );
    }),
  ),
];

export const cases: ReadonlyArray<Contract.Case<Ports>> = [...repeating, ...refusing, ...racing];
