/** What a journal still has when its generation ends: all of it is reserved again, as it was granted. */
import { Effect, Latch, Metric, Result } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, test } from "vitest";
import { CustomerId, OrderId, type StockCommand, type StockLedger, Warehouse } from "../../src/index.ts";
import * as HybridStockJournal from "../../src/flow/HybridStockJournal.ts";
import * as HybridStockShard from "../../src/flow/HybridStockShard.ts";
import * as FaultPoint from "../../src/memory/FaultPoint.ts";
import * as World from "./HybridWorld.ts";

const MANY = HybridStockJournal.JOURNAL_MAX;

/** A process whose journal is written while `isWriting` is open. */
const shop = Effect.gen(function* () {
  const world = yield* World.make;
  const isWriting = Latch.makeUnsafe(true);
  const late: FaultPoint.Handler = (name) => (name === "StockBooks.execute.before" ? isWriting.await : Effect.void);
  const stock = yield* Effect.provideService(world.connect(), FaultPoint.Handler, late);
  const ask = (command: StockCommand) =>
    Effect.map(Effect.result(World.whilePassing(stock.execute([command]))), (said) =>
      Result.isFailure(said)
        ? said.failure.reason
        : said.success.map((answer) => (Result.isSuccess(answer) ? answer.success._tag : answer.failure._tag)).join(),
    );
  return { ...world, isWriting, stock, ask };
});

const journalLength = Effect.map(Metric.snapshot, (metrics) => {
  const found = metrics.find(({ id }) => id === "saga_stock_journal_length");
  return found?.type === "Gauge" ? Number(found.state.value) : null;
});

/** Long enough for every worker here to have looked around. */
const aWhile = TestClock.adjust(HybridStockShard.RETURN_MAX_MS);

describe("HybridStock, whose generation ends", () => {
  test("while its journal is full, reserves all of it again, and sells on", () =>
    Effect.gen(function* () {
      const { books, server, isWriting, stock, ask } = yield* shop;
      yield* ask(World.receive(2 * MANY));
      isWriting.closeUnsafe();
      yield* World.whilePassing(stock.execute(Array.from({ length: MANY }, (_, index) => World.reserve(`o-${index}`))));
      expect(yield* ask(World.reserve("a"))).toBe("Unavailable");
      server.restart("second");
      yield* aWhile;
      expect(yield* journalLength).toBe(MANY);
      isWriting.openUnsafe();
      yield* aWhile;
      expect(books.stock.live.size).toBe(MANY);
      expect(yield* journalLength).toBe(0);
      expect(yield* ask(World.reserve("a"))).toBe("Reserved");
    }).pipe(World.run));

  const lost = OrderId.make("lost");

  /** `asked` is granted, and lost before it was journaled; goods came or went `meanwhile`, and others reserved what is `next`. */
  const loses = Effect.fnUntraced(function* (
    there: StockCommand,
    asked: StockCommand,
    meanwhile: StockCommand,
    next: ReadonlyArray<StockCommand> = [],
  ) {
    const { books, server, isWriting, stock, ask } = yield* shop;
    const answer = Effect.map(World.whilePassing(stock.execute([asked])), ([first]): StockLedger.Answer | undefined => first);
    yield* ask(there);
    isWriting.closeUnsafe();
    const told = yield* answer;
    books.execute(books.serving.generation, { holds: [], commands: [meanwhile] }, 0);
    server.restart("second");
    for (const command of next) expect(yield* ask(command)).toBe("Reserved");
    yield* aWhile;
    isWriting.openUnsafe();
    yield* aWhile;
    return { told, again: answer, ask, hold: books.stock.holds.get(lost), books: books.stock.skus.get(World.apple) };
  });

  test("reserves a part again as it was granted, though there is more now", () =>
    Effect.gen(function* () {
      const asked = { ...World.reserve("lost", 10), policy: "partial" as const };
      const { told, again, ask, hold } = yield* loses(World.receive(5), asked, World.receive(20, "more"));
      expect(told).toMatchObject({ success: { lines: [{ quantity: 5 }], missing: [{ quantity: 5 }] } });
      expect(hold?.lines).toEqual([{ sku: World.apple, quantity: 5 }]);
      expect(yield* again).toEqual(told);
      expect(yield* ask(World.about("Commit", "lost"))).toBe("Committed");
    }).pipe(World.run));

  test("reserves a part again as it was granted, or nothing of it", () =>
    Effect.gen(function* () {
      const asked = { ...World.reserve("lost", 10), policy: "partial" as const };
      const { ask, hold } = yield* loses(World.receive(5), asked, World.receive(-3, "less"));
      expect(hold).toBe(undefined);
      expect(yield* ask(World.about("Commit", "lost"))).toBe("HoldNotFound");
    }).pipe(World.run));

  test("reserves from the same warehouse again, though another one comes first now", () =>
    Effect.gen(function* () {
      const there: StockCommand = { _tag: "Adjust", id: "first", sku: World.apple, delta: 5, warehouse: Warehouse.make("east") };
      const { told, again, hold } = yield* loses(there, World.reserve("lost", 5), World.receive(20, "more"));
      expect(hold?.lines).toEqual([{ sku: World.apple, quantity: 5, warehouse: "east" }]);
      expect(yield* again).toEqual(told);
    }).pipe(World.run));

  test("reserves a part again within the buyer's limit, for what was granted and not for what was asked", () =>
    Effect.gen(function* () {
      const wishes = { policy: "partial" as const, limit: { buyer: CustomerId.make("ann"), perSku: 5 } };
      const next = { ...World.reserve("next", 2), ...wishes };
      const asked = { ...World.reserve("lost", 5), ...wishes };
      const { again, told, hold, books } = yield* loses(World.receive(3), asked, World.receive(20, "more"), [next]);
      expect(hold?.lines).toEqual([{ sku: World.apple, quantity: 3 }]);
      expect(books).toMatchObject({ held: 5 });
      expect(yield* again).toEqual(told);
    }).pipe(World.run));
});
