/** A saga's definition changes while instances are in flight: the same cases for memory and for PostgreSQL. */
import { type CommandHandler, SagaStart, type SagaStore, TimerPump, Timers, UnitOfWork } from "@org/saga-core";
import { Effect, type Scope } from "effect";
import { expect, it } from "vitest";
import * as Trip from "./VersionedTrip.ts";

type Ports = CommandHandler.Ports | SagaStore;
type Run = <A>(program: Effect.Effect<A, unknown, Ports | Scope.Scope>) => Promise<A>;

interface Case {
  readonly change: Trip.Change;
  readonly when: string;
  /** Answered in the first version. */
  readonly done: ReadonlyArray<string>;
  /** Answered in the second one. */
  readonly then: ReadonlyArray<string>;
  readonly end: string;
}

const V1_END = "1 completed: book done, check done, pay done, ticket done";

const CASES: ReadonlyArray<Case> = [
  {
    change: "renamed",
    when: "before its renamed steps were begun goes on under their new names",
    done: [],
    then: ["check", "book-seat", "pay", "issue-ticket"],
    end: "2 completed: book-seat done, check done, issue-ticket done, pay done",
  },
  {
    change: "renamed",
    when: "whose renamed step is under way, or is to be undone under its key, ends in its version",
    done: ["check"],
    then: ["book", "pay", "ticket"],
    end: V1_END,
  },
  {
    change: "inserted",
    when: "in front of the new step does it",
    done: ["check"],
    then: ["book", "insure", "pay", "ticket"],
    end: "2 completed: book done, check done, insure done, pay done, ticket done",
  },
  {
    change: "inserted",
    when: "behind the new step goes on without it",
    done: ["check", "book"],
    then: ["pay", "ticket"],
    end: "2 completed: book done, check done, insure skipped, pay done, ticket done",
  },
  {
    change: "removed",
    when: "whose removed step is under way ends that step first",
    done: [],
    then: ["check", "book", "pay", "ticket"],
    end: "2 completed: book done, pay done, ticket done",
  },
  {
    change: "removed",
    when: "whose removed step is done, with nothing to undo, forgets it",
    done: ["check"],
    then: ["book", "pay", "ticket"],
    end: "2 completed: book done, pay done, ticket done",
  },
];

export const cases = (run: Run): void => {
  for (const { change, when, done, then, end } of CASES) {
    it(`a step is ${change}: an instance ${when}`, async () => {
      const id = `${change}-${done.length}`;
      const shown = await run(
        Effect.gen(function* () {
          yield* Trip.inFlight(id, done);
          const next = yield* Trip.upgradedTo(change);
          for (const step of then) expect(yield* Trip.answer(next, id, step)).toBe("Success");
          return yield* Trip.shown(id);
        }),
      );
      expect(shown).toBe(end);
    });
  }

  it.each(["renamed", "inserted", "removed"] as const)(
    "a step is %s: an instance of a kept version ends in it, beside new ones",
    async (change) => {
      const shown = await run(
        Effect.gen(function* () {
          yield* Trip.inFlight("kept", ["check"]);
          const next = yield* Trip.keeping(change);
          yield* next.run("new", { id: "new" });
          for (const step of ["book", "pay", "ticket"]) yield* Trip.answer(next, "kept", step);
          return [yield* Trip.shown("kept"), yield* Trip.shown("new")];
        }),
      );
      expect(shown).toEqual([V1_END, change === "removed" ? "2 running: book sent" : "2 running: check sent"]);
    },
  );

  it("leaves alone what belongs to a version that it does not know: messages, timers, requests", async () => {
    const seen = await run(
      Effect.gen(function* () {
        const old = yield* Trip.processOf(Trip.first);
        const next = yield* Trip.keeping("inserted");
        yield* next.run("x", { id: "x" });
        const before = yield* Trip.shown("x");
        const verdict = yield* Trip.answer(old, "x", "check");
        const request = yield* Effect.flip(old.run("x", { id: "x" }));
        const timers = yield* Timers;
        const [timer] = yield* timers.list(Trip.NAME, "x");
        yield* (yield* UnitOfWork).commit(timers.reschedule(timer === undefined ? [] : [{ ...timer, dueAt: 0 }]));
        const fired = yield* TimerPump.pumpOnce(Trip.NAME, old.onTimers, 0);
        const left = yield* timers.list(Trip.NAME, "x");
        return {
          before,
          after: yield* Trip.shown("x"),
          verdict,
          request: request._tag,
          fired,
          left,
          timer,
          next: yield* Trip.answer(next, "x", "check"),
        };
      }),
    );
    expect(seen).toMatchObject({ before: seen.after, verdict: "LeftAlone", request: "LeftAlone", fired: 1, next: "Success" });
    expect(seen.left.map(({ token }) => token)).toEqual([seen.timer?.token]);
  });

  it("refuses at start a definition that was changed under its version, says how and how many are live; takes a new version", async () => {
    const refused = await run(
      Effect.gen(function* () {
        yield* SagaStart.check(Trip.first);
        yield* SagaStart.check(Trip.first);
        yield* Trip.inFlight("a", ["check"]);
        yield* Trip.inFlight("b", ["check", "book", "pay", "ticket"]);
        const { definition } = Trip.changes.inserted;
        yield* SagaStart.check(definition);
        return yield* Effect.flip(SagaStart.check({ ...Trip.changes.renamed.definition, version: 1 }));
      }),
    );
    expect(refused).toMatchObject({ _tag: "SagaChanged", version: 1, live: 1 });
    expect(refused.message).toContain('step "book" is called "book-seat"');
    expect(refused.message).toContain('step "ticket" is called "issue-ticket"');
    expect(refused.message).toContain("1 of its instances are live");
  });
};
