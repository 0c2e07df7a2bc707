/** What every `DeadLetters` has to prove: nothing is lost until a person says so. */
import { Effect } from "effect";
import { type DeadLetter, DeadLetters } from "../../ports/DeadLetters.ts";
import { type Transaction, UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import * as Samples from "./Samples.ts";

export type Ports = UnitOfWork | DeadLetters;

const letter = Effect.fnUntraced(function* (consumer: string, over: Partial<DeadLetter> = {}) {
  const dead: DeadLetter = {
    consumer,
    message: yield* Samples.message("order-1", { text: "Grüße" }, { stepKey: "order-1:reserve-stock:1", saga: "checkout@1" }),
    position: "inventory.commands/3@1207",
    problem: "schemaMismatch",
    detail: "the body does not match the schema",
    attempts: 1,
    at: Samples.PAST,
    ...over,
  };
  return dead;
});

const append = Effect.fnUntraced(function* (...letters: ReadonlyArray<DeadLetter>) {
  yield* (yield* UnitOfWork).commit((yield* DeadLetters).append(letters));
});

const listed = Effect.fnUntraced(function* (consumer: string, max: number = 100) {
  return yield* (yield* DeadLetters).list(consumer, max);
});

export const cases: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a dead letter is kept with its message, its place and its problem",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      const dead = yield* letter(consumer);
      yield* append(dead);
      yield* Contract.equal(yield* listed(consumer), [dead], "listed");
    }),
  ),
  Contract.check(
    "the oldest come first, no more than asked for, and only of this consumer",
    Effect.gen(function* () {
      const [consumer, other] = [yield* Contract.unique("consumer"), yield* Contract.unique("consumer")];
      const letters = [
        yield* letter(consumer, { at: Samples.PAST + 1 }),
        yield* letter(consumer, { at: Samples.PAST + 2 }),
        yield* letter(consumer, { at: Samples.PAST + 3 }),
      ];
      yield* append(...letters, yield* letter(other));
      yield* Contract.equal(yield* listed(consumer), letters, "all of them");
      yield* Contract.equal(yield* listed(consumer, 2), letters.slice(0, 2), "two of them");
      yield* Contract.equal((yield* listed(other)).length, 1, "the other consumer's");
    }),
  ),
  Contract.check(
    "of one consumer and message the first letter stays, also within one call",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      const first = yield* letter(consumer);
      const second = { ...first, problem: "handlerDefect", attempts: 9 };
      yield* append(first, second);
      yield* append(second);
      yield* Contract.equal(yield* listed(consumer), [first], "listed");
    }),
  ),
  Contract.check(
    "one message can be dead for two consumers",
    Effect.gen(function* () {
      const [consumer, other] = [yield* Contract.unique("consumer"), yield* Contract.unique("consumer")];
      const dead = yield* letter(consumer);
      yield* append(dead, { ...dead, consumer: other });
      yield* (yield* UnitOfWork).commit((yield* DeadLetters).remove(consumer, [dead.message.id]));
      yield* Contract.equal((yield* listed(consumer)).length, 0, "removed of one");
      yield* Contract.equal((yield* listed(other)).length, 1, "kept of the other");
    }),
  ),
  Contract.check(
    "exactly the letters that are named are removed",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      const [a, b] = [yield* letter(consumer), yield* letter(consumer)];
      yield* append(a, b);
      yield* (yield* UnitOfWork).commit((yield* DeadLetters).remove(consumer, [a.message.id, yield* Contract.uuid]));
      yield* Contract.equal(yield* listed(consumer), [b], "listed");
    }),
  ),
  Contract.check(
    "a letter that was removed can come again, also in the same transaction",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      const letters = yield* DeadLetters;
      const first = yield* letter(consumer);
      const again = { ...first, attempts: 2 };
      yield* append(first);
      yield* (yield* UnitOfWork).commit(Effect.andThen(letters.remove(consumer, [first.message.id]), letters.append([again])));
      yield* Contract.equal(yield* listed(consumer), [again], "listed");
    }),
  ),
  Contract.check(
    "an append and a remove that were rolled back change nothing",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      const letters = yield* DeadLetters;
      const [kept, phantom] = [yield* letter(consumer), yield* letter(consumer)];
      yield* append(kept);
      const body = Effect.andThen(letters.append([phantom]), letters.remove(consumer, [kept.message.id]));
      yield* Effect.exit((yield* UnitOfWork).commit(Effect.andThen(body, Effect.fail("no"))));
      yield* Contract.equal(yield* listed(consumer), [kept], "listed");
    }),
  ),
  Contract.check(
    "writing nothing writes nothing",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      yield* append();
      yield* (yield* UnitOfWork).commit((yield* DeadLetters).remove(consumer, []));
      yield* Contract.equal(yield* listed(consumer), [], "listed");
    }),
  ),
  Contract.check(
    "a transaction that has ended refuses every write with Misuse",
    Effect.gen(function* () {
      const consumer = yield* Contract.unique("consumer");
      const letters = yield* DeadLetters;
      const ended = yield* (yield* UnitOfWork).commit(Effect.context<Transaction>());
      const late = yield* letter(consumer);
      yield* Contract.failsWith(Effect.provideContext(letters.append([late]), ended), ["Misuse"], "a late append");
      yield* Contract.failsWith(Effect.provideContext(letters.remove(consumer, [late.message.id]), ended), ["Misuse"], "a late remove");
      yield* Contract.equal(yield* listed(consumer), [], "listed");
    }),
  ),
];
