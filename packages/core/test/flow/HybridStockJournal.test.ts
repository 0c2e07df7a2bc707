/** What a journal still has when its generation ends: all of it is reserved again, as it was granted. */
import { Effect, Latch, Metric, Result } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, test } from "vitest";
import type { StockCommand } from "../../src/index.ts";
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
});
