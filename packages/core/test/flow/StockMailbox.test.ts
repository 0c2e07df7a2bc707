import { Effect, Exit, Fiber, Latch, Result, Scheduler, Scope } from "effect";
import { describe, expect, test } from "vitest";
import { Batch, OrderId, StockLedger, StockMailbox, StoreError, type StockCommand } from "../../src/index.ts";
import { Restless } from "./Restless.ts";

const release = (id: string): StockCommand => ({ _tag: "Release", orderId: OrderId.make(id) });

const ids = (commands: ReadonlyArray<StockCommand>): ReadonlyArray<string> =>
  commands.map((command) => (command._tag === "Adjust" ? command.id : command.orderId));

const decide = (commands: ReadonlyArray<StockCommand>) => StockLedger.decideBatch(StockLedger.initial, commands, 0).answers;

describe("StockMailbox", () => {
  test("runs one batch at a time; what waits meanwhile is the next one, in order, and each caller gets its own answers", () =>
    Effect.gen(function* () {
      const batches: Array<ReadonlyArray<string>> = [];
      const gate = yield* Latch.make(false);
      const execute = yield* StockMailbox.make("test", (commands) => {
        batches.push(ids(commands));
        return Effect.as(gate.await, decide(commands));
      });
      const callers = yield* Effect.forEach([["a"], ["b", "c"], ["d"]], (names) =>
        Effect.tap(Effect.forkChild(execute(names.map(release))), () => Effect.yieldNow),
      );
      yield* gate.open;
      const answers = yield* Effect.forEach(callers, Fiber.join);
      expect(batches).toEqual([["a"], ["b", "c", "d"]]);
      expect(answers).toEqual([decide([release("a")]), decide([release("b"), release("c")]), decide([release("d")])]);
    }).pipe(Effect.scoped, Effect.runPromise));

  test("begins a batch beside another one, if the engine may and enough commands wait", () =>
    Effect.gen(function* () {
      const batches: Array<number> = [];
      const gate = yield* Latch.make(false);
      const run = (commands: ReadonlyArray<StockCommand>) => {
        batches.push(commands.length);
        return Effect.as(gate.await, decide(commands));
      };
      const execute = yield* StockMailbox.make("test", run, { inFlightMax: 2 });
      const call = (count: number) =>
        Effect.tap(Effect.forkChild(execute(Array.from({ length: count }, (_, index) => release(`o${index}`)))), () => Effect.yieldNow);
      const few = Batch.BESIDE_MIN - 1;
      const callers = [yield* call(1), yield* call(few)];
      expect(batches).toEqual([1]);
      callers.push(yield* call(1));
      yield* Effect.yieldNow;
      expect(batches).toEqual([1, few + 1]);
      callers.push(yield* call(few + 1));
      expect(batches).toEqual([1, few + 1]);
      yield* gate.open;
      yield* Effect.forEach(callers, Fiber.join);
      expect(batches).toEqual([1, few + 1, few + 1]);
    }).pipe(Effect.scoped, Effect.runPromise));

  test("shares a load among the batches in flight, and lets those who are answered ask again first", () =>
    Effect.gen(function* () {
      const running: Array<{ readonly size: number; readonly end: Effect.Effect<boolean> }> = [];
      const run = Effect.fnUntraced(function* (commands: ReadonlyArray<StockCommand>) {
        const gate = yield* Latch.make(false);
        running.push({ size: commands.length, end: gate.open });
        return yield* Effect.as(gate.await, decide(commands));
      });
      const execute = yield* StockMailbox.make("test", run, { inFlightMax: 2 });
      const load = 4 * Batch.BESIDE_MIN;
      yield* Effect.forEach(Array.from({ length: load }), (_, index) => Effect.forkScoped(Effect.forever(execute([release(`o${index}`)]))));
      for (let index = 0; index < 6; index++) {
        yield* Effect.yieldNow;
        yield* running[index]?.end ?? Effect.die(new Error("no batch to end"));
        yield* Effect.yieldNow;
      }
      const half = load / 2;
      expect(running.map(({ size }) => size)).toEqual([1, half, half, half, half, half, half]);
    }).pipe(Effect.scoped, Effect.runPromise));

  test("refuses a defect by its name and place: its own text may quote the commands, and an error of a port is safe to log", () =>
    Effect.gen(function* () {
      const execute = yield* StockMailbox.make("test", () => Effect.die(new TypeError("it quotes pm_secret")));
      const error = yield* Effect.flip(execute([release("a")]));
      expect(error.reason).toBe("Refused");
      expect(error.message).toMatch(/^test cannot handle this item: a defect \(TypeError at .*StockMailbox\.test\.ts:\d+:\d+\)+$/);
    }).pipe(Effect.scoped, Effect.runPromise));

  test("never divides a call, however long it is", () =>
    Effect.gen(function* () {
      const batches: Array<number> = [];
      const gate = yield* Latch.make(false);
      const execute = yield* StockMailbox.make("test", (commands) => {
        batches.push(commands.length);
        return Effect.as(gate.await, decide(commands));
      });
      const long = StockMailbox.BATCH_MAX;
      const callers = yield* Effect.forEach([1, 1, long, 2 * long, 1], (count) =>
        Effect.tap(Effect.forkChild(execute(Array.from({ length: count }, (_, index) => release(`o${index}`)))), () => Effect.yieldNow),
      );
      yield* gate.open;
      yield* Effect.forEach(callers, Fiber.join);
      expect(batches).toEqual([1, 1, long, 2 * long, 1]);
    }).pipe(Effect.scoped, Effect.runPromise));

  test("keeps calls of different kinds apart, each kind in its order, the oldest call first", () =>
    Effect.gen(function* () {
      const batches: Array<ReadonlyArray<string>> = [];
      const gate = yield* Latch.make(false);
      const run = (commands: ReadonlyArray<StockCommand>) => {
        batches.push(ids(commands));
        return Effect.as(gate.await, decide(commands));
      };
      const execute = yield* StockMailbox.make("test", run, { kind: (commands) => ids(commands)[0]?.[0] ?? "" });
      const callers = yield* Effect.forEach(["x0", "b1", "a1", "b2", "a2", "b3"], (name) =>
        Effect.tap(Effect.forkChild(execute([release(name)])), () => Effect.yieldNow),
      );
      yield* gate.open;
      yield* Effect.forEach(callers, Fiber.join);
      expect(batches).toEqual([["x0"], ["b1", "b2", "b3"], ["a1", "a2"]]);
    }).pipe(Effect.scoped, Effect.runPromise));

  test("takes back the call of a caller that is interrupted before its batch", () =>
    Effect.gen(function* () {
      const batches: Array<ReadonlyArray<string>> = [];
      const gate = yield* Latch.make(false);
      const execute = yield* StockMailbox.make("test", (commands) => {
        batches.push(ids(commands));
        return Effect.as(gate.await, decide(commands));
      });
      const callers = yield* Effect.forEach(["a", "b", "c"], (name) =>
        Effect.tap(Effect.forkChild(execute([release(name)])), () => Effect.yieldNow),
      );
      const [, b] = callers;
      if (b !== undefined) yield* Fiber.interrupt(b);
      yield* gate.open;
      yield* Effect.forEach(
        callers.filter((caller) => caller !== b),
        Fiber.join,
      );
      expect(batches).toEqual([["a"], ["c"]]);
    }).pipe(Effect.scoped, Effect.runPromise));

  test("refuses above its capacity, at once", () =>
    Effect.gen(function* () {
      const execute = yield* StockMailbox.make("test", () => Effect.never);
      const full = Array.from({ length: StockMailbox.CAPACITY }, () => release("a"));
      yield* Effect.tap(Effect.forkChild(execute([release("a")])), () => Effect.yieldNow);
      yield* Effect.tap(Effect.forkChild(execute(full)), () => Effect.yieldNow);
      expect(yield* Effect.flip(execute([release("a")]))).toMatchObject({ reason: "Unavailable" });
    }).pipe(Effect.scoped, Effect.runPromise));

  test("leaves nobody waiting when it is closed: what had begun may have happened, the rest did not", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make();
      const execute = yield* Scope.provide(
        StockMailbox.make("test", () => Effect.never),
        scope,
      );
      const callers = yield* Effect.forEach(["a", "b"], (name) =>
        Effect.tap(Effect.forkChild(Effect.flip(execute([release(name)]))), () => Effect.yieldNow),
      );
      yield* Scope.close(scope, Exit.void);
      const told = yield* Effect.forEach(callers, Fiber.join);
      expect(told.map((error) => error.reason)).toEqual(["Unknown", "Unavailable"]);
      expect(yield* Effect.flip(execute([release("c")]))).toMatchObject({ reason: "Unavailable" });
    }).pipe(Effect.runPromise));

  test("leaves nobody waiting, at whatever step of its loops it is closed", () =>
    Effect.gen(function* () {
      for (let steps = 0; steps < 20; steps++) {
        const scope = yield* Scope.make();
        const run = (commands: ReadonlyArray<StockCommand>) => Effect.succeed(decide(commands));
        const execute = yield* Scope.provide(StockMailbox.make("test", run, { inFlightMax: 2 }), scope);
        const callers = yield* Effect.forEach(["a", "b", "c"], (name) => Effect.forkChild(Effect.exit(execute([release(name)]))));
        for (let step = 0; step < steps; step++) yield* Effect.yieldNow;
        yield* Scope.close(scope, Exit.void);
        for (let step = 0; step < 100; step++) yield* Effect.yieldNow;
        expect(callers.map((caller) => caller.pollUnsafe() === undefined)).toEqual([false, false, false]);
      }
    }).pipe(Effect.provideService(Scheduler.Scheduler, new Restless(3)), Effect.runPromise));

  test("answers nothing to nothing", () =>
    Effect.gen(function* () {
      const execute = yield* StockMailbox.make("test", () => Effect.die(new Error("nothing to run")));
      expect(yield* execute([])).toEqual([]);
    }).pipe(Effect.scoped, Effect.runPromise));

  test("hands a lost answer on as it is: it may have happened", () =>
    Effect.gen(function* () {
      const lost = new StoreError({ reason: "Unknown", operation: "test", message: "lost" });
      const execute = yield* StockMailbox.make("test", () => Effect.fail(lost));
      expect(yield* Effect.flip(execute([release("a")]))).toBe(lost);
    }).pipe(Effect.scoped, Effect.runPromise));

  test("fails one poisonous command alone, as refused", () =>
    Effect.gen(function* () {
      const execute = yield* StockMailbox.make("test", (commands) =>
        ids(commands).includes("bad") ? Effect.die(new Error("a defect")) : Effect.succeed(decide(commands)),
      );
      const [bad, good] = yield* Effect.all([Effect.flip(execute([release("bad")])), execute([release("good")])], {
        concurrency: "unbounded",
      });
      expect(bad.reason).toBe("Refused");
      expect(good.map(Result.isSuccess)).toEqual([true]);
    }).pipe(Effect.scoped, Effect.runPromise));
});
