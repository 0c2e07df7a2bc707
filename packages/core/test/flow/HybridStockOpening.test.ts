/** The hybrid engine between two moments: a generation that is not open yet, an answer that was lost. */
import { Deferred, Effect, Fiber, Result } from "effect";
import { TestClock } from "effect/testing";
import { expect, test } from "vitest";
import * as HybridStock from "../../src/flow/HybridStock.ts";
import * as HybridStockShard from "../../src/flow/HybridStockShard.ts";
import * as FaultPoint from "../../src/memory/FaultPoint.ts";
import * as World from "./HybridWorld.ts";

const wordOf = (answers: ReadonlyArray<Result.Result<{ readonly _tag: string }, { readonly _tag: string }>>): ReadonlyArray<string> =>
  answers.map((answer) => (Result.isSuccess(answer) ? answer.success._tag : answer.failure._tag));

test("a generation that one process is opening is waited for, and not replaced by all the others", () =>
  Effect.gen(function* () {
    const { connect, server, books } = yield* World.make;
    const isOpening = yield* Deferred.make<void>();
    const mayOpen = yield* Deferred.make<void>();
    let isArmed = false;
    const handler = (name: string) =>
      isArmed && name === "StockLog.open.before"
        ? Effect.andThen(Deferred.succeed(isOpening, undefined), Deferred.await(mayOpen))
        : Effect.void;
    const one = yield* Effect.provideService(connect(), FaultPoint.Handler, handler);
    const other = yield* connect();
    const ask = (stock: typeof one, id: string) => Effect.map(stock.execute([World.reserve(id)]), wordOf);
    yield* World.whilePassing(one.execute([World.receive(3)]));
    expect(yield* World.whilePassing(ask(other, "before"))).toEqual(["Reserved"]);

    isArmed = true;
    server.restart("second");
    const first = yield* Effect.forkChild(Effect.provideService(ask(one, "first"), FaultPoint.Handler, handler));
    yield* World.whilePassing(Deferred.await(isOpening));
    const { generation } = books.serving;
    const second = yield* Effect.forkChild(ask(other, "second"));
    // Both have looked around meanwhile, and asked for what is not there yet.
    yield* TestClock.adjust(HybridStock.WATCH_EVERY_MS * 4);
    expect(books.serving.generation).toBe(generation);
    yield* Deferred.succeed(mayOpen, undefined);
    expect(yield* World.whilePassing(Fiber.join(first))).toEqual(["Reserved"]);
    expect(yield* World.whilePassing(Fiber.join(second))).toEqual(["Reserved"]);
    yield* TestClock.adjust(HybridStock.WATCH_EVERY_MS * 4);
    expect(books.serving.generation).toBe(generation);
    expect(server.log?.generation).toBe(generation);
  }).pipe(World.run));

test("what was granted by a try whose answer was lost is in the ledger all the same", () =>
  Effect.gen(function* () {
    const { connect, server, books } = yield* World.make;
    let lost = 0;
    const handler = (name: string) => {
      if (name !== "StockLog.execute.after" || lost !== 1) return Effect.void;
      lost += 1;
      return Effect.never;
    };
    const stock = yield* Effect.provideService(connect(), FaultPoint.Handler, handler);
    yield* World.whilePassing(stock.execute([World.receive(3)]));
    const { generation } = books.serving;
    lost = 1;
    const asked = yield* World.whilePassing(Effect.provideService(stock.execute([World.reserve("a")]), FaultPoint.Handler, handler));
    expect([wordOf(asked), lost]).toEqual([["Reserved"], 2]);
    yield* TestClock.adjust(HybridStockShard.RETURN_MS);
    expect(books.serving.generation).toBe(generation);
    expect(books.stock.skus.get(World.apple)?.held).toBe(1);
    server.restart("second");
    const committed = yield* World.whilePassing(stock.execute([World.about("Commit", "a")]));
    expect(wordOf(committed)).toEqual(["Committed"]);
  }).pipe(World.run));
