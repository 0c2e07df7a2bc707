import { Clock, Deferred, Effect, Exit, Fiber, Scheduler, Scope } from "effect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Batch, Mailbox, StoreError } from "@org/saga-core";
import { item, mailbox, simulate, values } from "./MailboxWorld.ts";
import { Restless } from "./Restless.ts";

const error = (reason: StoreError["reason"]) => new StoreError({ reason, operation: "Test.run", message: `it was ${reason}` });

const reasonOf = (exit: Exit.Exit<number, Mailbox.Failure>): string => {
  if (Exit.isSuccess(exit)) return `answer ${exit.value}`;
  const [reason] = exit.cause.reasons;
  if (reason?._tag !== "Fail") return "defect";
  return reason.error._tag === "StoreError" ? reason.error.reason : reason.error._tag;
};

describe("a mailbox", () => {
  it("isolates poisonous items by splitting: their neighbours get their answers", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("fine", "defect", "refused"), { minLength: 1, maxLength: 40 }), (fates) => {
        const committed: Array<number> = [];
        const exits = simulate(
          Effect.gen(function* () {
            const box = yield* mailbox((items) =>
              Effect.suspend(() => {
                const fate = items.map(({ value }) => fates[value]).find((each) => each !== "fine");
                if (fate === "defect") throw new Error("a bug");
                if (fate === "refused") return Effect.fail(error("Refused"));
                committed.push(...values(items));
                return Effect.succeed(values(items));
              }),
            );
            return yield* box.submitAll(fates.map((_, value) => item(value)));
          }),
        );
        expect(exits.map(reasonOf)).toEqual(fates.map((fate, value) => (fate === "fine" ? `answer ${value}` : "Poisoned")));
        expect(committed.toSorted((a, b) => a - b)).toEqual(fates.flatMap((fate, value) => (fate === "fine" ? [value] : [])));
      }),
    );
  });

  it("runs the whole batch again when the store is busy or away, and never splits it", () => {
    const sizes: Array<number> = [];
    const exits = simulate(
      Effect.gen(function* () {
        const box = yield* mailbox((items) =>
          Effect.suspend(() => {
            sizes.push(items.length);
            return sizes.length <= 4
              ? Effect.fail(error(sizes.length % 2 === 0 ? "Contention" : "Unavailable"))
              : Effect.succeed(values(items));
          }),
        );
        return yield* box.submitAll([item(1), item(2), item(3)]);
      }),
    );
    expect(exits.map(reasonOf)).toEqual(["answer 1", "answer 2", "answer 3"]);
    expect(new Set(sizes)).toEqual(new Set([3]));
  });

  it("tells its callers after a while that the store is away", () => {
    const reasons = simulate(
      Effect.gen(function* () {
        const box = yield* mailbox(() => Effect.fail(error("Unavailable")));
        const exits = yield* box.submitAll([item(1), item(2)]);
        return exits.map(reasonOf);
      }),
    );
    expect(reasons).toEqual(["Unavailable", "Unavailable"]);
  });

  it("counts the time that attempts take: its callers do not wait for many slow ones", () => {
    const { took, reasons } = simulate(
      Effect.gen(function* () {
        const box = yield* mailbox(() => Effect.andThen(Effect.sleep(5_000), Effect.fail(error("Unavailable"))));
        const start = yield* Clock.currentTimeMillis;
        const exit = yield* Effect.exit(box.submit(item(1)));
        return { took: (yield* Clock.currentTimeMillis) - start, reasons: reasonOf(exit) };
      }),
    );
    expect(reasons).toBe("Unavailable");
    expect(took).toBeLessThanOrEqual(Batch.RETRY_FOR_MS + 5_000 + 1_000);
  });

  it("goes on after runs that were interrupted from within: their callers hear that nothing is known", () => {
    let runs = 0;
    const reasons = simulate(
      Effect.gen(function* () {
        const box = yield* mailbox((items) =>
          Effect.suspend(() => ((runs += 1), runs <= Mailbox.IN_FLIGHT_MAX ? Effect.interrupt : Effect.succeed(values(items)))),
        );
        const first = yield* Effect.exit(box.submit(item(1)));
        const second = yield* Effect.exit(box.submit(item(2)));
        return [first, second, yield* Effect.exit(box.submit(item(3)))].map(reasonOf);
      }),
    );
    expect(reasons).toEqual(["Unknown", "Unknown", "answer 3"]);
  });

  it("leaves nobody waiting when it closes: what it ran is Unknown, what waited or comes later has not happened", () => {
    const reasons = simulate(
      Effect.gen(function* () {
        const scope = yield* Scope.make();
        const box = yield* Scope.provide(
          mailbox(() => Effect.never, { inFlightMax: 1, batchMax: 1 }),
          scope,
        );
        const callers = yield* Effect.forEach([1, 2], (n) => Effect.forkChild(Effect.exit(box.submit(item(n)))));
        yield* Effect.sleep(10);
        yield* Scope.close(scope, Exit.void);
        const exits = yield* Effect.forEach(callers, Fiber.join);
        return [...exits, yield* Effect.exit(box.submit(item(3)))].map(reasonOf);
      }),
    );
    expect(reasons).toEqual(["Unknown", "Unavailable", "Unavailable"]);
  });

  it("hands an unknown outcome to everyone at once, and runs nothing again", () => {
    let runs = 0;
    const reasons = simulate(
      Effect.gen(function* () {
        const box = yield* mailbox(() => Effect.suspend(() => ((runs += 1), Effect.fail(error("Unknown")))));
        return (yield* box.submitAll([item(1), item(2)])).map(reasonOf);
      }),
    );
    expect([reasons, runs]).toEqual([["Unknown", "Unknown"], 1]);
  });

  it("refuses above its capacity, at once and with nothing done", () => {
    const { refused, answered } = simulate(
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>();
        const box = yield* mailbox((items) => Effect.andThen(Deferred.await(gate), Effect.succeed(values(items))), {
          capacity: 2,
          inFlightMax: 1,
        });
        const first = yield* Effect.forkChild(box.submit(item(0)));
        yield* Effect.sleep(1);
        const waiting = yield* Effect.forEach([1, 2], (n) => Effect.forkChild(box.submit(item(n))));
        yield* Effect.sleep(1);
        const exit = yield* Effect.exit(box.submit(item(3)));
        yield* Deferred.succeed(gate, undefined);
        return { refused: reasonOf(exit), answered: yield* Effect.forEach([first, ...waiting], Fiber.join) };
      }),
    );
    expect([refused, answered]).toEqual(["MailboxFull", [0, 1, 2]]);
    expect(new Mailbox.MailboxFull({ mailbox: "orders", capacity: 2 }).message).toContain("try again later");
  });

  it("fails an item that its batch forgot to answer", () => {
    const reasons = simulate(
      Effect.gen(function* () {
        const box = yield* mailbox(() => Effect.succeed([1]));
        return (yield* box.submitAll([item(1), item(2)])).map(reasonOf);
      }),
    );
    expect(reasons).toEqual(["answer 1", "Poisoned"]);
  });

  it("refuses exactly what does not fit, and runs exactly what it did not refuse or give back, under any sequence of calls", () => {
    const Call = fc.record({ key: fc.nat({ max: 3 }), leaves: fc.boolean() });
    fc.assert(
      fc.property(fc.integer(), fc.array(Call, { maxLength: 30 }), fc.integer({ min: 1, max: 12 }), (seed, calls, capacity) => {
        const ran: Array<number> = [];
        const told = simulate(
          Effect.gen(function* () {
            const gate = yield* Deferred.make<void>();
            const box = yield* mailbox(
              (items) =>
                Effect.andThen(
                  Deferred.await(gate),
                  Effect.sync(() => (ran.push(...values(items)), values(items))),
                ),
              { capacity, inFlightMax: 1, batchMax: 4 },
            );
            // One batch is in flight: all that follow wait.
            yield* Effect.forkChild(box.submit(item(-1)));
            yield* Effect.sleep(1);
            const callers = yield* Effect.forEach(calls, ({ key }, value) =>
              Effect.tap(Effect.forkChild(Effect.exit(box.submit(item(value, `k${key}`)))), () => Effect.sleep(1)),
            );
            yield* Effect.forEach(callers, (caller, index) => (calls[index]?.leaves === true ? Fiber.interrupt(caller) : Effect.void));
            // Who left has made room.
            const room = calls.filter(({ leaves }, index) => leaves && index < capacity).length + Math.max(0, capacity - calls.length);
            const late = yield* Effect.forEach([...Array(room + 1).keys()], (n) =>
              Effect.tap(Effect.forkChild(Effect.exit(box.submit(item(100 + n)))), () => Effect.sleep(1)),
            );
            yield* Deferred.succeed(gate, undefined);
            const exits = yield* Effect.forEach([...callers.filter((_, index) => calls[index]?.leaves !== true), ...late], Fiber.join);
            return exits.map(reasonOf);
          }),
          seed,
        );
        const staying = calls.flatMap(({ leaves }, value) => (leaves ? [] : [value]));
        const expected = staying.map((value) => (value < capacity ? `answer ${value}` : "MailboxFull"));
        expect(told.slice(0, staying.length)).toEqual(expected);
        const late = told.slice(staying.length);
        expect(late.map((text) => text.startsWith("answer"))).toEqual(late.map((_, index) => index < late.length - 1));
        const answers = told.filter((text) => text.startsWith("answer")).map((text) => Number(text.slice("answer ".length)));
        expect(ran.filter((value) => value >= 0).toSorted((a, b) => a - b)).toEqual(answers.toSorted((a, b) => a - b));
      }),
      { numRuns: 100 },
    );
  });

  it("leaves nobody waiting, at whatever step of its loops it is closed", () =>
    Effect.gen(function* () {
      for (let steps = 0; steps < 30; steps += 1) {
        const scope = yield* Scope.make();
        const box = yield* Scope.provide(
          mailbox((items) => Effect.succeed(values(items))),
          scope,
        );
        const callers = yield* Effect.forEach([1, 2, 3], (value) => Effect.forkChild(Effect.exit(box.submit(item(value)))));
        for (let step = 0; step < steps; step += 1) yield* Effect.yieldNow;
        yield* Scope.close(scope, Exit.void);
        for (let step = 0; step < 100; step += 1) yield* Effect.yieldNow;
        expect(callers.map((caller) => caller.pollUnsafe() === undefined)).toEqual([false, false, false]);
      }
    }).pipe(Effect.provideService(Scheduler.Scheduler, new Restless(5)), Effect.runPromise));

  it("lets an interrupted caller go: what was not begun never runs, what was runs to its end, and its neighbours are answered", () => {
    const ran: Array<number> = [];
    const reasons = simulate(
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>();
        const box = yield* mailbox(
          (items) =>
            Effect.andThen(
              Deferred.await(gate),
              Effect.sync(() => (ran.push(...values(items)), values(items))),
            ),
          { inFlightMax: 1 },
        );
        const running = yield* Effect.forkChild(box.submitAll([item(0), item(1)]));
        yield* Effect.sleep(1);
        const waiting = yield* Effect.forkChild(box.submitAll([item(2, "k0"), item(3)]));
        const neighbour = yield* Effect.forkChild(Effect.exit(box.submit(item(4, "k0"))));
        yield* Effect.sleep(1);
        yield* Fiber.interruptAll([running, waiting]);
        yield* Deferred.succeed(gate, undefined);
        return [reasonOf(yield* Fiber.join(neighbour)), reasonOf(yield* Effect.exit(box.submit(item(5, "k3"))))];
      }),
    );
    expect([reasons, ran]).toEqual([
      ["answer 4", "answer 5"],
      [0, 1, 4, 5],
    ]);
  });

  it("is itself again after an outage: what waited meanwhile runs, in order", () => {
    const committed: Array<number> = [];
    const reasons = simulate(
      Effect.gen(function* () {
        let isAway = true;
        const box = yield* mailbox(
          (items) =>
            Effect.suspend(() =>
              isAway ? Effect.fail(error("Unavailable")) : Effect.sync(() => (committed.push(...values(items)), values(items))),
            ),
          { batchMax: 2 },
        );
        const callers = yield* Effect.forkChild(box.submitAll([0, 1, 2, 3, 4, 5, 6].map((value) => item(value, "k"))));
        yield* Effect.sleep(3_000);
        isAway = false;
        return (yield* Fiber.join(callers)).map(reasonOf);
      }),
    );
    expect(reasons).toEqual([0, 1, 2, 3, 4, 5, 6].map((value) => `answer ${value}`));
    expect(committed).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it("submits nothing without a wait, and fails a command whose key cannot be told", () => {
    const exits = simulate(
      Effect.gen(function* () {
        const box = yield* mailbox((items) => Effect.succeed(values(items)), {
          key: () => {
            throw new Error("no key");
          },
        });
        return [yield* Effect.exit(box.submitAll([])), yield* Effect.exit(box.submit(item(1)))];
      }),
    );
    expect(exits.map(({ _tag }) => _tag)).toEqual(["Success", "Failure"]);
  });
});
