import { Clock, Deferred, Effect, Exit, Fiber, Scheduler, Scope } from "effect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Batch, Mailbox, StoreError } from "@org/saga-core";
import { Simulator } from "@org/saga-core/testing";
import { Restless } from "./Restless.ts";

interface Item {
  readonly key: string;
  readonly value: number;
}

type Run = (items: ReadonlyArray<Item>) => Effect.Effect<ReadonlyArray<number>, StoreError>;

const item = (value: number, key = `k${value}`): Item => ({ key, value });

const values = (items: ReadonlyArray<Item>): ReadonlyArray<number> => items.map(({ value }) => value);

const error = (reason: StoreError["reason"]) => new StoreError({ reason, operation: "Test.run", message: `it was ${reason}` });

const mailbox = (run: Run, options: Partial<Mailbox.Options<Item, number, never>> = {}) =>
  Mailbox.make<Item, number, never>({ name: "test", key: ({ key }) => key, run, ...options });

/** On the virtual clock, so that pauses cost nothing. */
const simulate = <A, E>(program: Effect.Effect<A, E, Scope.Scope>, seed = 1): A => {
  const { exit } = Simulator.run({ seed }, Effect.scoped(program));
  if (Exit.isFailure(exit)) throw new Error(Simulator.explain(exit));
  return exit.value;
};

const reasonOf = (exit: Exit.Exit<number, Mailbox.Failure>): string => {
  if (Exit.isSuccess(exit)) return `answer ${exit.value}`;
  const [reason] = exit.cause.reasons;
  if (reason?._tag !== "Fail") return "defect";
  return reason.error._tag === "StoreError" ? reason.error.reason : reason.error._tag;
};

describe("a mailbox", () => {
  it("runs a single command at once and alone", () => {
    const batches: Array<ReadonlyArray<number>> = [];
    const { answers, waited } = simulate(
      Effect.gen(function* () {
        const box = yield* mailbox((items) => Effect.sync(() => (batches.push(values(items)), values(items))));
        const start = yield* Clock.currentTimeMillis;
        const told = [yield* box.submit(item(1)), yield* box.submit(item(2))];
        return { answers: told, waited: (yield* Clock.currentTimeMillis) - start };
      }),
    );
    expect({ answers, batches, waited }).toEqual({ answers: [1, 2], batches: [[1], [2]], waited: 0 });
  });

  it("commits whatever came meanwhile as one batch, and gives each caller its own answer", () => {
    const batches: Array<number> = [];
    const answers = simulate(
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>();
        const box = yield* mailbox(
          (items) =>
            Effect.andThen(
              Deferred.await(gate),
              Effect.sync(() => (batches.push(items.length), values(items).map((value) => value * 10))),
            ),
          { inFlightMax: 1, batchMax: 64 },
        );
        const fibers = yield* Effect.forEach([...Array(100).keys()], (n) => Effect.forkChild(box.submit(item(n))));
        yield* Effect.sleep(10);
        yield* Deferred.succeed(gate, undefined);
        return yield* Effect.forEach(fibers, Fiber.join);
      }),
    );
    expect(answers).toEqual([...Array(100).keys()].map((n) => n * 10));
    expect(batches.length).toBeLessThanOrEqual(3 + 100);
    expect(Math.max(...batches)).toBe(64);
    expect(batches.reduce((sum, size) => sum + size)).toBe(100);
  });

  it("never runs one key in two batches at a time, and keeps a key's order, under any schedule", () => {
    fc.assert(
      fc.property(fc.integer(), fc.array(fc.nat({ max: 4 }), { minLength: 1, maxLength: 40 }), (seed, keys) => {
        const running = new Set<string>();
        const order = new Map<string, Array<number>>();
        simulate(
          Effect.gen(function* () {
            const box = yield* mailbox(
              (items) =>
                Effect.gen(function* () {
                  const own = new Set(items.map(({ key }) => key));
                  for (const key of own) expect(running.has(key)).toBe(false);
                  for (const key of own) running.add(key);
                  yield* Effect.sleep(5);
                  for (const { key, value } of items) order.set(key, [...(order.get(key) ?? []), value]);
                  for (const key of own) running.delete(key);
                  return values(items);
                }),
              { batchMax: 3, inFlightMax: 3 },
            );
            const exits = yield* box.submitAll(keys.map((key, value) => item(value, `k${key}`)));
            expect(exits).toEqual(keys.map((_, value) => Exit.succeed(value)));
          }),
          seed,
        );
        for (const done of order.values()) expect(done).toEqual(done.toSorted((a, b) => a - b));
      }),
      { numRuns: 100 },
    );
  });

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

  it("gives every key its turn: one that has thousands waiting holds nobody up", () => {
    const batches: Array<ReadonlyArray<Item>> = [];
    simulate(
      Effect.gen(function* () {
        const box = yield* mailbox((items) => Effect.sync(() => (batches.push(items), values(items))), { inFlightMax: 1, batchMax: 10 });
        yield* box.submitAll(
          [...Array(1_000).keys()].map((n) => item(n, "hot")).concat([item(1_000, "a"), item(1_001, "b"), item(1_002, "a")]),
        );
      }),
    );
    const [first = [], second = []] = batches;
    expect(first.map(({ value }) => value)).toEqual([0, 1_000, 1_001, 1, 1_002, 2, 3, 4, 5, 6]);
    expect(second.map(({ value }) => value)).toEqual([7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    expect(batches).toHaveLength(101);
  });

  it("begins beside another batch at once when it is as large as it may be, and after a while when it is not", () => {
    const begins = (batchMax: number): ReadonlyArray<number> => {
      const at: Array<number> = [];
      simulate(
        Effect.gen(function* () {
          const box = yield* mailbox(
            (items) => Effect.flatMap(Clock.currentTimeMillis, (now) => (at.push(now), Effect.as(Effect.sleep(100), values(items)))),
            { batchMax },
          );
          yield* Effect.all([box.submit(item(1)), box.submit(item(2))], { concurrency: "unbounded" });
        }),
      );
      return at.map((time) => time - (at[0] ?? 0));
    };
    expect(begins(1)).toEqual([0, 0]);
    const [first, second = 0] = begins(2);
    expect(first).toBe(0);
    // Before the first one ends.
    expect(second).toBeLessThan(100);
  });

  it("shares a load among the batches in flight, and lets those who are answered ask again first", () => {
    const sizes: Array<number> = [];
    const load = 4 * Batch.BESIDE_MIN;
    simulate(
      Effect.gen(function* () {
        const box = yield* mailbox((items) => {
          sizes.push(items.length);
          return Effect.as(Effect.sleep(100), values(items));
        });
        for (let value = 0; value < load; value += 1) yield* Effect.forkScoped(Effect.forever(box.submit(item(value))));
        yield* Effect.sleep(1_000);
      }),
    );
    const [first, ...others] = sizes;
    expect(first).toBe(1);
    // Whoever is scheduled first: none takes more than its half, nor begins with too few.
    expect(others.filter((size) => size > load / 2 || size < Batch.BESIDE_MIN)).toEqual([]);
    expect(others.length).toBeGreaterThan(10);
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

  it("goes on with the others while a key is in flight, and with that key afterwards", () => {
    const started: Array<ReadonlyArray<number>> = [];
    simulate(
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>();
        const box = yield* mailbox((items) => {
          started.push(values(items));
          return Effect.as(values(items).includes(0) ? Deferred.await(gate) : Effect.void, values(items));
        });
        const slow = yield* Effect.forkChild(box.submit(item(0, "slow")));
        yield* Effect.sleep(1);
        const next = yield* Effect.forkChild(box.submit(item(1, "slow")));
        yield* Effect.sleep(1);
        yield* box.submit(item(2, "fast"));
        yield* box.submit(item(3, "fast"));
        yield* Deferred.succeed(gate, undefined);
        yield* Fiber.joinAll([slow, next]);
      }),
    );
    expect(started).toEqual([[0], [2], [3], [1]]);
  });

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
