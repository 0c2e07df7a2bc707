/** What the ledger has decided, and a log hears of late: from a note that another process has left. */
import { Clock, Effect, Result } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, test } from "vitest";
import { OrderId, type StockCommand } from "../../src/index.ts";
import { NOTE_LEFT_MS } from "../../src/flow/HybridStockTeller.ts";
import * as World from "./HybridWorld.ts";

const shop = Effect.gen(function* () {
  const world = yield* World.make;
  const stock = yield* world.connect();
  const ask = (command: StockCommand) =>
    Effect.map(stock.execute([command]), (answers) =>
      answers.map((answer) => (Result.isSuccess(answer) ? answer.success._tag : answer.failure._tag)).join(),
    );
  yield* ask(World.receive(3));
  const books = (): unknown => world.books.stock.skus.get(World.apple);
  return { ...world, ask, inLedger: books, inLog: (): unknown => world.server.log?.stock.skus.get(World.apple) };
});

const renew = (id: string, ttlMillis: number): StockCommand => ({ _tag: "Renew", orderId: OrderId.make(id), ttlMillis });

const untilTold = TestClock.adjust(NOTE_LEFT_MS * 2);

describe("a log of HybridStock hears late", () => {
  test("that a hold was renewed, after the time it had before is over", () =>
    Effect.gen(function* () {
      const { books, server, ask } = yield* shop;
      const { generation } = books.serving;
      expect(yield* ask(World.reserve("a", 1, 10_000))).toBe("Reserved");
      yield* TestClock.adjust(9_900);
      books.execute(generation, { holds: [], commands: [renew("a", 60_000)] }, yield* Clock.currentTimeMillis);
      yield* untilTold;
      expect(books.notes.size).toBe(0);
      expect(books.serving.generation).toBe(generation);
      const inLog = server.log?.stock.holds.get(OrderId.make("a"));
      expect(inLog).toMatchObject({ status: "held", until: books.stock.holds.get(OrderId.make("a"))?.until });
    }).pipe(World.run));

  test("that a hold was renewed, after it heard that it has ended", () =>
    Effect.gen(function* () {
      const { books, ask, inLedger, inLog } = yield* shop;
      const { generation } = books.serving;
      expect(yield* ask(World.reserve("a", 1, 10_000))).toBe("Reserved");
      yield* TestClock.adjust(9_900);
      books.execute(generation, { holds: [], commands: [renew("a", 200)] }, yield* Clock.currentTimeMillis);
      yield* TestClock.adjust(300);
      expect(yield* ask(World.about("Expire", "a"))).toBe("Released");
      yield* untilTold;
      expect(books.notes.size).toBe(0);
      expect(books.serving.generation).toBe(generation);
      for (const known of [inLedger(), inLog()]) expect(known).toMatchObject({ onHand: 3, held: 0, committed: 0 });
    }).pipe(World.run));

  test("of goods that were counted out, and ends nobody's hold, though it has promised more than the ledger knows of", () =>
    Effect.gen(function* () {
      const { server, books, ask, inLedger } = yield* shop;
      // Granted by a process that has not journaled it yet.
      server.log?.stock.execute([World.reserve("ghost")], yield* Clock.currentTimeMillis);
      yield* TestClock.adjust(1);
      expect(yield* ask(World.reserve("a"))).toBe("Reserved");
      yield* untilTold;
      const counted = books.execute(books.serving.generation, { holds: [], commands: [World.receive(-2, "count")] }, 0);
      expect(counted).toMatchObject({ answers: [{ success: { _tag: "Adjusted", onHand: 1, shortage: 0 } }] });
      yield* untilTold;
      expect(books.notes.size).toBe(0);
      expect([yield* ask(World.reserve("a")), yield* ask(World.reserve("b"))]).toEqual(["Reserved", "OutOfStock"]);
      expect(yield* ask(World.about("Commit", "a"))).toBe("Committed");
      expect(inLedger()).toMatchObject({ onHand: 1, held: 0, committed: 1 });
    }).pipe(World.run));

  test("that a hold was over, after it heard that it was committed all the same", () =>
    Effect.gen(function* () {
      const { books, ask, inLedger, inLog } = yield* shop;
      expect(yield* ask(World.reserve("a", 1, 10_000))).toBe("Reserved");
      yield* TestClock.adjust(20_000);
      const { generation } = books.serving;
      const swept = books.execute(generation, { holds: [], commands: [World.about("Expire", "a")] }, yield* Clock.currentTimeMillis);
      expect(swept).toMatchObject({ answers: [{ success: { _tag: "Released", reason: "expired" } }] });
      expect(yield* ask(World.about("Commit", "a"))).toBe("Committed");
      yield* untilTold;
      expect(books.notes.size).toBe(0);
      expect(books.serving.generation).toBe(generation);
      for (const known of [inLedger(), inLog()]) expect(known).toMatchObject({ onHand: 3, held: 0, committed: 1 });
    }).pipe(World.run));
});
