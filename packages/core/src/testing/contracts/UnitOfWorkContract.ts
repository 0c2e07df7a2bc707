/** What every `UnitOfWork` has to prove, with the stores that write in it. */
import { Cause, Effect, Exit, Fiber } from "effect";
import { DocumentStore } from "../../ports/DocumentStore.ts";
import { Inbox } from "../../ports/Inbox.ts";
import { Outbox } from "../../ports/Outbox.ts";
import { Transaction, UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import * as Samples from "./Samples.ts";

export type Ports = UnitOfWork | DocumentStore | Inbox | Outbox;

const CONSUMER = "contract";

/** Writes state, outbox and inbox under one id. */
const writeAll = Effect.fnUntraced(function* (id: string) {
  yield* (yield* DocumentStore).save([Samples.document(id, 1, { written: true })]);
  yield* (yield* Outbox).append([yield* Samples.message(id, "written")]);
  return yield* (yield* Inbox).admit(CONSUMER, [id]);
});

/** Is all of what `writeAll` wrote there, or nothing of it? Reads it destructively: once an id. */
const stored = Effect.fnUntraced(function* (id: string) {
  const documents = yield* (yield* DocumentStore).find(Samples.KIND, [id]);
  const seen: Array<string> = [];
  const outbox = yield* Outbox;
  for (;;) {
    const drained = yield* outbox.drain(Samples.shardOf(id), 100, (batch) => {
      seen.push(...batch.filter((message) => message.key === id).map((message) => message.payload));
      return Effect.succeed(batch.map(() => "Published" as const));
    });
    if (drained._tag === "Busy" || drained.published + drained.refused === 0) break;
  }
  const [verdict] = yield* (yield* UnitOfWork).commit((yield* Inbox).admit(CONSUMER, [id]));
  return { documents: documents.size, messages: seen.length, admitted: verdict === "Duplicate" };
});

const ALL = { documents: 1, messages: 1, admitted: true };
const NOTHING = { documents: 0, messages: 0, admitted: false };

export const cases: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a commit returns what its body returns, and everything written in it is stored",
    Effect.gen(function* () {
      const id = yield* Contract.unique("uow");
      const verdicts = yield* (yield* UnitOfWork).commit(writeAll(id));
      yield* Contract.equal(verdicts, ["First"], "the body's answer");
      yield* Contract.equal(yield* stored(id), ALL, "after the commit");
    }),
  ),
  Contract.check(
    "a failure passes through unchanged and rolls everything back",
    Effect.gen(function* () {
      const id = yield* Contract.unique("uow");
      const outcome = yield* Effect.flip((yield* UnitOfWork).commit(Effect.andThen(writeAll(id), Effect.fail("changed my mind" as const))));
      yield* Contract.equal(outcome, "changed my mind", "the failure");
      yield* Contract.equal(yield* stored(id), NOTHING, "after the failure");
    }),
  ),
  Contract.check(
    "a defect passes through and rolls everything back",
    Effect.gen(function* () {
      const id = yield* Contract.unique("uow");
      const exit = yield* Effect.exit((yield* UnitOfWork).commit(Effect.andThen(writeAll(id), Effect.die("a bug"))));
      yield* Contract.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause), "the defect should pass through");
      yield* Contract.equal(yield* stored(id), NOTHING, "after the defect");
    }),
  ),
  Contract.check(
    "an interruption rolls everything back",
    Effect.gen(function* () {
      const id = yield* Contract.unique("uow");
      const written = yield* Contract.gate;
      const body = Effect.andThen(writeAll(id), Effect.andThen(written.open, Effect.never));
      const fiber = yield* Effect.forkChild((yield* UnitOfWork).commit(body));
      yield* written.passed;
      yield* Fiber.interrupt(fiber);
      yield* Contract.equal(yield* stored(id), NOTHING, "after the interruption");
    }),
  ),
  Contract.check(
    "a commit that waits for a lock can be interrupted, and leaves the database usable",
    Effect.gen(function* () {
      const id = yield* Contract.unique("uow");
      const unit = yield* UnitOfWork;
      const inbox = yield* Inbox;
      const [holds, finish] = [yield* Contract.gate, yield* Contract.gate];
      const holder = yield* Effect.forkChild(unit.commit(Effect.andThen(writeAll(id), Effect.andThen(holds.open, finish.passed))));
      yield* holds.passed;
      const waiter = yield* Effect.forkChild(unit.commit(inbox.admit(CONSUMER, [id])));
      yield* Contract.settle;
      const interruption = yield* Effect.forkChild(Fiber.interrupt(waiter));
      yield* finish.open;
      yield* Fiber.join(holder);
      yield* Fiber.join(interruption);
      yield* Contract.equal(yield* stored(id), ALL, "what the holder wrote");
    }),
  ),
  Contract.check(
    "a transaction sees its own writes",
    Effect.gen(function* () {
      const id = yield* Contract.unique("uow");
      const documents = yield* DocumentStore;
      const seen = yield* (yield* UnitOfWork).commit(Effect.andThen(writeAll(id), documents.load(Samples.KIND, [id])));
      yield* Contract.equal(seen.get(id)?.state, { written: true }, "the document");
    }),
  ),
  Contract.check(
    "nobody sees what is not committed",
    Effect.gen(function* () {
      const id = yield* Contract.unique("uow");
      const documents = yield* DocumentStore;
      const [written, finish] = [yield* Contract.gate, yield* Contract.gate];
      const body = Effect.andThen(writeAll(id), Effect.andThen(written.open, Effect.andThen(finish.passed, Effect.fail("no" as const))));
      const writer = yield* Effect.forkChild(Effect.exit((yield* UnitOfWork).commit(body)));
      yield* written.passed;
      // A database with one connection answers only after the rollback: that is fine as well.
      const reader = yield* Effect.forkChild(documents.find(Samples.KIND, [id]));
      yield* Contract.settle;
      yield* finish.open;
      yield* Contract.equal((yield* Fiber.join(reader)).size, 0, "documents seen by others");
      yield* Fiber.join(writer);
    }),
  ),
  Contract.check(
    "commits are not nested: inside a transaction a commit is refused with Misuse",
    Effect.gen(function* () {
      const unit = yield* UnitOfWork;
      yield* Contract.failsWith(unit.commit(unit.commit(Effect.void)), ["Misuse"], "a nested commit");
    }),
  ),
  Contract.check(
    "a transaction that has ended refuses every write with Misuse",
    Effect.gen(function* () {
      const id = yield* Contract.unique("uow");
      const environment = yield* (yield* UnitOfWork).commit(Effect.context<Transaction>());
      const documents = yield* DocumentStore;
      const outbox = yield* Outbox;
      const inbox = yield* Inbox;
      const late = <A, E>(write: Effect.Effect<A, E, Transaction>, what: string) =>
        Contract.failsWith(Effect.provideContext(write, environment), ["Misuse"], what);
      yield* late(documents.load(Samples.KIND, [id]), "a late load");
      yield* late(documents.save([Samples.document(id, 1, {})]), "a late save");
      yield* late(outbox.append([yield* Samples.message(id, "late")]), "a late append");
      yield* late(inbox.admit(CONSUMER, [id]), "a late admit");
      yield* Contract.equal(yield* stored(id), NOTHING, "after late writes");
    }),
  ),
  Contract.check(
    "a transaction that was rolled back refuses every write with Misuse",
    Effect.gen(function* () {
      const id = yield* Contract.unique("uow");
      const environment = yield* Effect.flip(
        (yield* UnitOfWork).commit(Effect.flatMap(Effect.context<Transaction>(), (context) => Effect.fail({ context }))),
      );
      if (!("context" in environment)) return yield* environment;
      const late = (yield* Outbox).append([yield* Samples.message(id, "late")]);
      yield* Contract.failsWith(Effect.provideContext(late, environment.context), ["Misuse"], "a late append");
      yield* Contract.equal(yield* stored(id), NOTHING, "after late writes");
    }),
  ),
  Contract.check(
    "a transaction made up by the caller is refused with Misuse",
    Effect.gen(function* () {
      const id = yield* Contract.unique("uow");
      const forged = Effect.provideService((yield* Outbox).append([yield* Samples.message(id, "forged")]), Transaction, {
        now: Samples.PAST,
      });
      yield* Contract.failsWith(forged, ["Misuse"], "an append outside of any commit");
      yield* Contract.equal(yield* stored(id), NOTHING, "after a forged write");
    }),
  ),
  Contract.check(
    "a transaction in which a write lost its race cannot commit, even when the failure is swallowed",
    Effect.gen(function* () {
      const id = yield* Contract.unique("uow");
      const documents = yield* DocumentStore;
      const body = Effect.andThen(writeAll(id), Effect.exit(documents.save([Samples.document(id, 7, {})])));
      yield* Contract.failsWith((yield* UnitOfWork).commit(body), ["Contention"], "the commit");
      yield* Contract.equal(yield* stored(id), NOTHING, "after the lost race");
    }),
  ),
  Contract.check(
    "a body runs once: a commit never retries",
    Effect.gen(function* () {
      const id = yield* Contract.unique("uow");
      const documents = yield* DocumentStore;
      let runs = 0;
      const body = Effect.suspend(() => {
        runs += 1;
        return documents.save([Samples.document(id, 7, {})]);
      });
      yield* Contract.failsWith((yield* UnitOfWork).commit(body), ["Contention"], "the commit");
      yield* Contract.equal(runs, 1, "runs of the body");
    }),
  ),
  Contract.check(
    "the clock of transactions is a whole number and does not run backwards",
    Effect.gen(function* () {
      const unit = yield* UnitOfWork;
      const now = Effect.map(Transaction, (transaction) => transaction.now);
      const first = yield* unit.commit(now);
      yield* Contract.wait(20);
      const second = yield* unit.commit(now);
      yield* Contract.isTrue(Number.isSafeInteger(first) && Number.isSafeInteger(second), "milliseconds are whole numbers");
      yield* Contract.isTrue(first >= 0 && second >= first, `the clock ran from ${first} to ${second}`);
    }),
  ),
  Contract.check(
    "many concurrent commits all succeed, each on its own data",
    Effect.gen(function* () {
      const unit = yield* UnitOfWork;
      const ids = yield* Effect.replicateEffect(Contract.unique("uow"), 20);
      const verdicts = yield* Effect.forEach(ids, (id) => unit.commit(writeAll(id)), { concurrency: "unbounded" });
      yield* Contract.equal(
        verdicts.flat(),
        ids.map(() => "First" as const),
        "verdicts",
      );
      yield* Contract.equal((yield* (yield* DocumentStore).find(Samples.KIND, ids)).size, ids.length, "documents");
    }),
  ),
];
