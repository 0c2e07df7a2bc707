/** What every `Inbox` has to prove. */
import { Effect, Fiber } from "effect";
import { Inbox, type Verdict } from "../../ports/Inbox.ts";
import { Transaction, UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import * as Samples from "./Samples.ts";

export type Ports = UnitOfWork | Inbox;

/** Admits in a transaction of its own. */
const admit = Effect.fnUntraced(function* (consumer: string, ids: ReadonlyArray<string>) {
  return yield* (yield* UnitOfWork).commit((yield* Inbox).admit(consumer, ids));
});

const expected = (...verdicts: ReadonlyArray<Verdict>): ReadonlyArray<Verdict> => verdicts;

/** Two transactions admit one id at the same time; the first one ends with `ending`. The verdicts of the second one. */
const race = Effect.fnUntraced(function* (ending: Effect.Effect<void, string>) {
  const consumer = yield* Contract.unique("consumer");
  const id = yield* Contract.uuid;
  const unit = yield* UnitOfWork;
  const inbox = yield* Inbox;
  const [admitted, finish] = [yield* Contract.gate, yield* Contract.gate];
  const slow = Effect.gen(function* () {
    yield* inbox.admit(consumer, [id]);
    yield* admitted.open;
    yield* finish.passed;
    yield* ending;
  });
  const first = yield* Effect.forkChild(Effect.exit(unit.commit(slow)));
  yield* admitted.passed;
  const second = yield* Effect.forkChild(unit.commit(inbox.admit(consumer, [id])));
  yield* Contract.settle;
  yield* Contract.isWaiting(second, "the second admit");
  yield* finish.open;
  yield* Fiber.join(first);
  return yield* Fiber.join(second);
});

export const cases: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a message is First once, and Duplicate for ever after",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      const id = yield* Contract.uuid;
      yield* Contract.equal(yield* admit(consumer, [id]), expected("First"), "the first time");
      yield* Contract.equal(yield* admit(consumer, [id]), expected("Duplicate"), "the second time");
      yield* Contract.equal(yield* admit(consumer, [id]), expected("Duplicate"), "the third time");
    }),
  ),
  Contract.check(
    "one verdict per id, in the order that was asked",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      const [a, b, c] = [yield* Contract.uuid, yield* Contract.uuid, yield* Contract.uuid];
      yield* admit(consumer, [b]);
      yield* Contract.equal(yield* admit(consumer, [c, b, a]), expected("First", "Duplicate", "First"), "verdicts");
    }),
  ),
  Contract.check(
    "an id that occurs twice in one call is First, then Duplicate",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      const [a, b] = [yield* Contract.uuid, yield* Contract.uuid];
      yield* Contract.equal(yield* admit(consumer, [a, b, a, a]), expected("First", "First", "Duplicate", "Duplicate"), "verdicts");
    }),
  ),
  Contract.check(
    "no ids, no verdicts",
    Effect.gen(function* () {
      yield* Contract.equal(yield* admit(yield* Contract.unique("consumer"), []), expected(), "verdicts");
    }),
  ),
  Contract.check(
    "a second admit in the same transaction is a Duplicate",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      const id = yield* Contract.uuid;
      const inbox = yield* Inbox;
      const both = Effect.zip(inbox.admit(consumer, [id]), inbox.admit(consumer, [id]));
      yield* Contract.equal(yield* (yield* UnitOfWork).commit(both), [["First"], ["Duplicate"]], "verdicts");
    }),
  ),
  Contract.check(
    "consumers do not share what they have seen",
    Effect.gen(function* () {
      const id = yield* Contract.uuid;
      yield* Contract.equal(yield* admit(yield* Contract.unique("consumer"), [id]), expected("First"), "one consumer");
      yield* Contract.equal(yield* admit(yield* Contract.unique("consumer"), [id]), expected("First"), "another one");
    }),
  ),
  Contract.check(
    "an admission that was rolled back never happened",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      const id = yield* Contract.uuid;
      const inbox = yield* Inbox;
      yield* Effect.flip((yield* UnitOfWork).commit(Effect.andThen(inbox.admit(consumer, [id]), Effect.fail("no"))));
      yield* Contract.equal(yield* admit(consumer, [id]), expected("First"), "after the rollback");
    }),
  ),
  Contract.check(
    "a concurrent admit of the same id waits, and is Duplicate when the first one commits",
    Effect.gen(function* () {
      yield* Contract.equal(yield* race(Effect.void), expected("Duplicate"), "the second verdict");
    }),
  ),
  Contract.check(
    "a concurrent admit of the same id waits, and is First when the first one rolls back",
    Effect.gen(function* () {
      yield* Contract.equal(yield* race(Effect.fail("no")), expected("First"), "the second verdict");
    }),
  ),
  Contract.check(
    "of many concurrent admits of the same ids, in whatever order, exactly one is First",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      const ids = yield* Effect.replicateEffect(Contract.uuid, 5);
      const orders = Array.from({ length: 10 }, (_, turn) => (turn % 2 === 0 ? ids : ids.toReversed()));
      const verdicts = yield* Effect.forEach(orders, (order) => admit(consumer, order), { concurrency: "unbounded" });
      const firsts = verdicts.flat().filter((verdict) => verdict === "First").length;
      yield* Contract.equal(firsts, ids.length, "First verdicts");
    }),
  ),
  Contract.check(
    "a duplicate is recognized until its retention is over, to the millisecond",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      const id = yield* Contract.uuid;
      const inbox = yield* Inbox;
      const unit = yield* UnitOfWork;
      const admittedAt = yield* unit.commit(
        Effect.flatMap(Transaction, ({ now }) =>
          Effect.as(
            Effect.flatMap(Inbox, (open) => open.admit(consumer, [id])),
            now,
          ),
        ),
      );
      // A sweep at `admittedAt + retention` forgets what was admitted before `admittedAt`.
      yield* inbox.sweep(admittedAt - 1);
      yield* Contract.equal(yield* admit(consumer, [id]), expected("Duplicate"), "a millisecond before the end of its retention");
      yield* inbox.sweep(admittedAt);
      yield* Contract.equal(yield* admit(consumer, [id]), expected("Duplicate"), "at the end of its retention");
      yield* inbox.sweep(admittedAt + 1);
      yield* Contract.equal(yield* admit(consumer, [id]), expected("First"), "a millisecond after the end of its retention");
    }),
  ),
  Contract.check(
    "a sweep forgets what was admitted before its time, and nothing else",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      const id = yield* Contract.uuid;
      const inbox = yield* Inbox;
      yield* admit(consumer, [id]);
      yield* inbox.sweep(Samples.PAST);
      yield* Contract.equal(yield* admit(consumer, [id]), expected("Duplicate"), "after a sweep of older messages");
      yield* Contract.isTrue((yield* inbox.sweep(Samples.FUTURE)) >= 1, "the sweep should count what it forgot");
      yield* Contract.equal(yield* inbox.sweep(Samples.FUTURE), 0, "forgotten by a second sweep");
      yield* Contract.equal(yield* admit(consumer, [id]), expected("First"), "after the sweep");
    }),
  ),
];
