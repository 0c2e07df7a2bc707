/** What every `Timers` has to prove. */
import { Effect } from "effect";
import { type Timer, type TimerMove, type TimerPage, Timers } from "../../ports/Timers.ts";
import { Transaction, UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import * as Samples from "./Samples.ts";

export type Ports = UnitOfWork | Timers;

/** Long enough that no case sees the end of it, in milliseconds. */
const LEASE = 60_000;

/** Short enough to wait for, in milliseconds. */
const SHORT_LEASE = 150;

/** How often a case asks again for something that has to come. */
const TURNS = 10;

const timer = (owner: string, key: string, over: Partial<Timer> = {}): Timer => ({
  owner,
  key,
  name: "timeout",
  token: "token-1",
  dueAt: Samples.PAST,
  ...over,
});

const inCommit = Effect.fnUntraced(function* (write: (timers: Timers["Service"]) => ReturnType<Timers["Service"]["schedule"]>) {
  yield* (yield* UnitOfWork).commit(write(yield* Timers));
});

const schedule = (...timers: ReadonlyArray<Timer>) => inCommit((service) => service.schedule(timers));

const claim = Effect.fnUntraced(function* (owner: string, max: number = 100, leaseMillis: number = LEASE) {
  return yield* (yield* Timers).claimDue(owner, max, leaseMillis);
});

const listed = Effect.fnUntraced(function* (owner: string, key: string) {
  return yield* (yield* Timers).list(owner, key);
});

const move = Effect.fnUntraced(function* (...moves: ReadonlyArray<TimerMove>) {
  return yield* (yield* UnitOfWork).commit((yield* Timers).reschedule(moves));
});

const keys = (timers: ReadonlyArray<Timer>): ReadonlyArray<string> => timers.map((one) => one.key);

const writing: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a scheduled timer is listed and, once due, claimed as it was scheduled",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const due = timer(owner, "order-1");
      yield* schedule(due);
      yield* Contract.equal(yield* listed(owner, "order-1"), [due], "listed");
      yield* Contract.equal(yield* claim(owner), [due], "claimed");
    }),
  ),
  Contract.check(
    "a timer of a transaction that was rolled back does not exist",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const timers = yield* Timers;
      yield* Effect.exit((yield* UnitOfWork).commit(Effect.andThen(timers.schedule([timer(owner, "order-1")]), Effect.fail("no"))));
      yield* Contract.equal(yield* listed(owner, "order-1"), [], "listed");
      yield* Contract.equal(yield* claim(owner), [], "claimed");
      yield* Contract.equal(yield* timers.nextDueAt(owner), null, "due");
    }),
  ),
  Contract.check(
    "owners, keys and names are told apart",
    Effect.gen(function* () {
      const [owner, other] = [yield* Contract.unique("owner"), yield* Contract.unique("owner")];
      const timers = [
        timer(owner, "a"),
        timer(owner, "a", { name: "retry", dueAt: Samples.PAST + 1 }),
        timer(owner, "b"),
        timer(other, "a"),
      ];
      yield* schedule(...timers);
      yield* Contract.equal(yield* listed(owner, "a"), timers.slice(0, 2), "listed of one key");
      yield* Contract.equal(yield* listed(other, "a"), timers.slice(3), "listed of the other owner");
      yield* Contract.equal((yield* claim(owner)).length, 3, "claimed of one owner");
      yield* Contract.equal((yield* claim(other)).length, 1, "claimed of the other owner");
    }),
  ),
  Contract.check(
    "scheduling again replaces token and time",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      yield* schedule(timer(owner, "order-1"));
      const later = timer(owner, "order-1", { token: "token-2", dueAt: Samples.FUTURE });
      yield* schedule(later);
      yield* Contract.equal(yield* listed(owner, "order-1"), [later], "listed");
      yield* Contract.equal(yield* claim(owner), [], "claimed before its time");
      const now = timer(owner, "order-1", { token: "token-3" });
      yield* schedule(now);
      yield* Contract.equal(yield* claim(owner), [now], "claimed");
    }),
  ),
  Contract.check(
    "the same timer twice in one call: the last one counts",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const last = timer(owner, "order-1", { token: "token-2" });
      yield* schedule(timer(owner, "order-1"), last);
      yield* Contract.equal(yield* claim(owner), [last], "claimed");
    }),
  ),
  Contract.check(
    "a cancel removes a timer whatever its token is, and only that one",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const stays = timer(owner, "order-2");
      yield* schedule(timer(owner, "order-1", { token: "unknown" }), stays);
      yield* inCommit((timers) =>
        timers.cancel([
          { owner, key: "order-1", name: "timeout" },
          { owner, key: "order-3", name: "timeout" },
        ]),
      );
      yield* Contract.equal(yield* claim(owner), [stays], "claimed");
    }),
  ),
  Contract.check(
    "a cancel that was rolled back removes nothing",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const due = timer(owner, "order-1");
      yield* schedule(due);
      yield* Effect.exit((yield* UnitOfWork).commit(Effect.andThen((yield* Timers).cancel([due]), Effect.fail("no"))));
      yield* Contract.equal(yield* claim(owner), [due], "claimed");
    }),
  ),
  Contract.check(
    "a completed firing is gone; one with another token stays",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const [done, replaced] = [timer(owner, "done"), timer(owner, "replaced")];
      yield* schedule(done, replaced);
      const firings = yield* claim(owner);
      const again = timer(owner, "replaced", { token: "token-2" });
      yield* schedule(again);
      yield* inCommit((timers) => timers.complete(firings));
      yield* Contract.equal(yield* listed(owner, "done"), [], "the completed one");
      yield* Contract.equal(yield* listed(owner, "replaced"), [again], "the replaced one");
    }),
  ),
];

const claiming: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a timer is due when the clock of the database has reached its time, not before",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const now = yield* (yield* UnitOfWork).commit(Effect.map(Transaction, (transaction) => transaction.now));
      const [soon, never] = [timer(owner, "soon", { dueAt: now }), timer(owner, "never", { dueAt: now + 3_600_000 })];
      yield* schedule(soon, never);
      yield* Contract.equal(yield* claim(owner), [soon], "claimed");
    }),
  ),
  Contract.check(
    "the oldest come first, and no more than asked for",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const timers = [3, 1, 5, 2, 4].map((age) => timer(owner, `order-${age}`, { dueAt: Samples.PAST + age }));
      yield* schedule(...timers);
      yield* Contract.equal(keys(yield* claim(owner, 2)), ["order-1", "order-2"], "the first claim");
      yield* Contract.equal(keys(yield* claim(owner, 2)), ["order-3", "order-4"], "the second claim");
      yield* Contract.equal(keys(yield* claim(owner, 2)), ["order-5"], "the third claim");
    }),
  ),
  Contract.check(
    "a claimed timer is hidden from other claims during its lease, and still listed",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      yield* schedule(timer(owner, "order-1"));
      yield* claim(owner);
      yield* Contract.equal(yield* claim(owner), [], "claimed again");
      yield* Contract.equal((yield* listed(owner, "order-1")).length, 1, "listed");
    }),
  ),
  Contract.check(
    "a claimed timer that nobody completes comes again after its lease",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const due = timer(owner, "order-1");
      yield* schedule(due);
      yield* Contract.equal(yield* claim(owner, 1, SHORT_LEASE), [due], "claimed");
      let again: ReadonlyArray<Timer> = [];
      for (let turn = 0; turn < TURNS && again.length === 0; turn += 1) {
        yield* Contract.settle;
        again = yield* claim(owner);
      }
      yield* Contract.equal(again, [due], "claimed again");
    }),
  ),
  Contract.check(
    "a claimed timer that is scheduled again can be claimed at once",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      yield* schedule(timer(owner, "order-1"));
      yield* claim(owner);
      const again = timer(owner, "order-1", { token: "token-2" });
      yield* schedule(again);
      yield* Contract.equal(yield* claim(owner), [again], "claimed");
    }),
  ),
  Contract.check(
    "concurrent claims never share a timer, and leave none behind",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const timers = Array.from({ length: 20 }, (_, index) => timer(owner, `order-${index}`));
      yield* schedule(...timers);
      const claims = yield* Effect.forEach(Array.from({ length: 4 }), () => claim(owner, 7), { concurrency: "unbounded" });
      const claimed = keys([...claims.flat(), ...(yield* claim(owner))]);
      yield* Contract.equal([...claimed].toSorted(), [...keys(timers)].toSorted(), "claimed");
    }),
  ),
  Contract.check(
    "the next due time is that of the earliest timer, and after a claim the end of its lease",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const timers = yield* Timers;
      yield* Contract.equal(yield* timers.nextDueAt(owner), null, "due of none");
      yield* schedule(timer(owner, "later", { dueAt: Samples.FUTURE }), timer(owner, "order-1"));
      yield* Contract.equal(yield* timers.nextDueAt(owner), Samples.PAST, "the earliest");
      yield* claim(owner);
      const next = yield* timers.nextDueAt(owner);
      yield* Contract.isTrue(next !== null && next > Samples.PAST && next < Samples.FUTURE, "the end of the lease comes next");
      yield* inCommit((service) => service.cancel([timer(owner, "order-1")]));
      yield* Contract.equal(yield* timers.nextDueAt(owner), Samples.FUTURE, "the one that is left");
    }),
  ),
  Contract.check(
    "writing nothing writes nothing",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      yield* schedule();
      yield* inCommit((timers) => timers.cancel([]));
      yield* inCommit((timers) => timers.complete([]));
      yield* Contract.equal(yield* move(), [], "verdicts");
      yield* Contract.equal(yield* claim(owner), [], "claimed");
    }),
  ),
  Contract.check(
    "a transaction that has ended refuses every write with Misuse",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const timers = yield* Timers;
      const ended = yield* (yield* UnitOfWork).commit(Effect.context<Transaction>());
      for (const write of [timers.schedule, timers.reschedule, timers.cancel, timers.complete]) {
        yield* Contract.failsWith(Effect.provideContext(write([timer(owner, "late")]), ended), ["Misuse"], "a late write");
      }
      yield* Contract.equal(yield* claim(owner), [], "claimed");
    }),
  ),
];

const moving: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "a rescheduled timer comes at its new time with the token it had; one that does not exist is Missing",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const [sooner, later] = [timer(owner, "sooner", { dueAt: Samples.FUTURE }), timer(owner, "later", { token: "token-2" })];
      yield* schedule(sooner, later);
      const verdicts = yield* move({ ...later, dueAt: Samples.FUTURE }, timer(owner, "nobody"), timer(owner, "sooner", { name: "retry" }), {
        ...sooner,
        dueAt: Samples.PAST,
      });
      yield* Contract.equal(verdicts, ["Rescheduled", "Missing", "Missing", "Rescheduled"], "verdicts");
      yield* Contract.equal(yield* claim(owner), [{ ...sooner, dueAt: Samples.PAST }], "claimed");
      yield* Contract.equal(yield* listed(owner, "later"), [{ ...later, dueAt: Samples.FUTURE }], "the other one");
      yield* Contract.equal(yield* listed(owner, "nobody"), [], "one that did not exist");
    }),
  ),
  Contract.check(
    "the same timer rescheduled twice in one call: the last one counts",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      yield* schedule(timer(owner, "order-1"));
      const verdicts = yield* move(timer(owner, "order-1"), timer(owner, "order-1", { dueAt: Samples.FUTURE }));
      yield* Contract.equal(verdicts, ["Rescheduled", "Rescheduled"], "verdicts");
      yield* Contract.equal(yield* (yield* Timers).nextDueAt(owner), Samples.FUTURE, "due");
    }),
  ),
  Contract.check(
    "a rescheduling that was rolled back changes nothing",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const due = timer(owner, "order-1");
      yield* schedule(due);
      const moves = (yield* Timers).reschedule([{ ...due, dueAt: Samples.FUTURE }]);
      yield* Effect.exit((yield* UnitOfWork).commit(Effect.andThen(moves, Effect.fail("no"))));
      yield* Contract.equal(yield* claim(owner), [due], "claimed");
    }),
  ),
  Contract.check(
    "a claimed timer that was rescheduled, cancelled or replaced meanwhile: its firing removes it only if it is still the same",
    Effect.gen(function* () {
      const owner = yield* Contract.unique("owner");
      const all = ["later", "now", "cancelled", "replaced"].map((key) => timer(owner, key));
      yield* schedule(...all);
      const firings = yield* claim(owner);
      yield* Contract.equal(firings.length, all.length, "firings");
      yield* move(timer(owner, "later", { dueAt: Samples.FUTURE }), timer(owner, "now"));
      yield* inCommit((timers) => timers.cancel([timer(owner, "cancelled")]));
      const replaced = timer(owner, "replaced", { token: "token-2", dueAt: Samples.FUTURE });
      yield* schedule(replaced);
      yield* Contract.equal(keys(yield* claim(owner)), ["now"], "one that is due again does not wait for the lease of its firing");
      yield* inCommit((timers) => timers.complete(firings));
      for (const key of ["later", "now", "cancelled"]) yield* Contract.equal(yield* listed(owner, key), [], `what is left of "${key}"`);
      yield* Contract.equal(yield* listed(owner, "replaced"), [replaced], "the replaced one");
    }),
  ),
];

const listing: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.check(
    "all timers of an owner are listed by due time, key and name, page by page, claimed ones too",
    Effect.gen(function* () {
      const [owner, other] = [yield* Contract.unique("owner"), yield* Contract.unique("owner")];
      const ordered = [
        timer(owner, "b"),
        timer(owner, "c"),
        timer(owner, "c", { name: "zzz" }),
        timer(owner, "a", { dueAt: Samples.PAST + 1 }),
        timer(owner, "B", { dueAt: Samples.FUTURE }),
        timer(owner, "a", { name: "later", dueAt: Samples.FUTURE }),
      ];
      yield* schedule(...ordered.toReversed(), timer(other, "a"));
      yield* claim(owner, 2);
      const timers = yield* Timers;
      yield* Contract.equal(yield* timers.pending(owner, { after: null, max: 100 }), ordered, "one page");
      for (const max of [1, 2, 4]) {
        const seen: Array<Timer> = [];
        let after: TimerPage["after"] = null;
        for (let pages = 0; pages <= ordered.length; pages += 1) {
          const page: ReadonlyArray<Timer> = yield* timers.pending(owner, { after, max });
          yield* Contract.isTrue(page.length <= max, "a page is no larger than asked for");
          seen.push(...page);
          after = page.at(-1) ?? after;
        }
        yield* Contract.equal(seen, ordered, `pages of ${max}`);
      }
    }),
  ),
];

export const cases: ReadonlyArray<Contract.Case<Ports>> = [...writing, ...moving, ...claiming, ...listing];
