import { Effect, Fiber, Latch, Result } from "effect";
import { describe, expect, test } from "vitest";
import { OrderId, StockLedger, StockMailbox, StoreError, type StockCommand } from "../../src/index.ts";

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
