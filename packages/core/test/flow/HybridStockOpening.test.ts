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

/** A process that takes so long, in milliseconds, at a fault point. */
const slowAt =
  (point: string, millis: number): FaultPoint.Handler =>
  (name) =>
    name === point ? Effect.sleep(millis) : Effect.void;

/** A process with goods, and the generation that serves. */
const stocked = Effect.gen(function* () {
  const world = yield* World.make;
  const stock = yield* world.connect();
  yield* World.whilePassing(stock.execute([World.receive(3)]));
  return { ...world, stock, generation: world.books.serving.generation };
});

test("a generation that takes long to open is done without meanwhile, and not begun again by all who wait", () =>
  Effect.gen(function* () {
    const { connect, server, books } = yield* World.make;
    let isSlow = false;
    const slow = slowAt("StockLog.open.before", HybridStockShard.OPENING_MS * 3);
    const late: FaultPoint.Handler = (name) => (isSlow ? slow(name) : Effect.void);
    const one = yield* Effect.provideService(connect(), FaultPoint.Handler, late);
    const other = yield* connect();
    yield* World.whilePassing(one.execute([World.receive(9)]));
    isSlow = true;
    server.restart("second");
    const { generation } = books.serving;
    const opening = yield* Effect.forkChild(one.execute([World.reserve("one")]));
    yield* TestClock.adjust(1);
    expect(books.serving.generation).toBe(generation + 1);
    expect(wordOf(yield* World.whilePassing(other.execute([World.reserve("other")])))).toEqual(["Reserved"]);
    expect(books.serving).toMatchObject({ generation: generation + 2, server: null });
    isSlow = false;
    expect(wordOf(yield* World.whilePassing(Fiber.join(opening)))).toEqual(["Reserved"]);
    yield* TestClock.adjust(HybridStockShard.RETURN_MAX_MS);
    expect(books.serving.server?.runId).toBe("second");
    expect(books.stock.skus.get(World.apple)).toMatchObject({ held: 2 });
  }).pipe(World.run));

test("a generation is opened though whoever came upon its end has gone", () =>
  Effect.gen(function* () {
    const { server, books, stock, generation } = yield* stocked;
    server.restart("second");
    const slow = slowAt("StockLog.open.before", 100);
    const looking = yield* Effect.forkChild(Effect.provideService(stock.balances([World.apple]), FaultPoint.Handler, slow));
    yield* TestClock.adjust(1);
    expect(books.serving.generation).toBe(generation + 1);
    yield* Fiber.interrupt(looking);
    yield* TestClock.adjust(100);
    expect(server.log?.generation).toBe(generation + 1);
    expect(wordOf(yield* stock.execute([World.reserve("a")]))).toEqual(["Reserved"]);
    expect(books.serving.generation).toBe(generation + 1);
  }).pipe(World.run));

test("a newcomer that needs long to read a log asks it all the same, and ends nobody's generation", () =>
  Effect.gen(function* () {
    const { connect, books, generation } = yield* stocked;
    const slow = slowAt("StockLog.execute.before", HybridStockShard.ASK_TIMEOUT_MS * 10);
    const newcomer = yield* Effect.provideService(connect(), FaultPoint.Handler, slow);
    expect(wordOf(yield* World.whilePassing(newcomer.execute([World.reserve("a")])))).toEqual(["Reserved"]);
    yield* TestClock.adjust(HybridStock.WATCH_EVERY_MS * 4);
    expect(books.serving.generation).toBe(generation);
    expect(books.stock.skus.get(World.apple)?.held).toBe(1);
  }).pipe(World.run));

test("questions that fail together are one failure: a lost connection ends no generation", () =>
  Effect.gen(function* () {
    const { server, books, stock, generation } = yield* stocked;
    const slow = slowAt("StockLog.read.before", 10);
    const look = Effect.forkChild(Effect.provideService(stock.balances([World.apple]), FaultPoint.Handler, slow));
    const asking = yield* Effect.replicateEffect(look, 10);
    yield* TestClock.adjust(1);
    server.state = "away";
    yield* TestClock.adjust(10);
    server.state = "up";
    yield* World.whilePassing(Fiber.joinAll(asking));
    yield* TestClock.adjust(HybridStock.WATCH_EVERY_MS * 4);
    expect(books.serving.generation).toBe(generation);
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
