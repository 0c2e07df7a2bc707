import { Effect, Metric, Result } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, test } from "vitest";
import { OrderId, StockJournal, type StockLedger } from "../../src/index.ts";
import * as World from "./HybridWorld.ts";

/** On hand, held, committed, in the ledger. */
const ledger = ({ stock }: World.World["books"]): ReadonlyArray<number> => {
  const { onHand = 0, held = 0, committed = 0 } = stock.skus.get(World.apple) ?? {};
  return [onHand, held, committed];
};

const word = (answer: StockLedger.Answer): string => (Result.isSuccess(answer) ? answer.success._tag : answer.failure._tag);

describe("HybridStock, when the record of an order was damaged", () => {
  const metric = (name: string) =>
    Effect.map(Metric.snapshot, (metrics) => {
      const found = metrics.find(({ id }) => id === name);
      return found?.type === "Counter" ? Number(found.state.count) : found?.type === "Gauge" ? Number(found.state.value) : 0;
    });
  /** The ledger cannot look at the order `damaged`. */
  const damage = (books: World.World["books"], first: () => void = () => undefined) => {
    const execute = books.execute.bind(books);
    let isFirst = true;
    books.execute = (generation, work, clock) => {
      if (isFirst) first();
      isFirst = false;
      const orders = StockJournal.touching(work).flatMap((command) => (command._tag === "Adjust" ? [] : [command.orderId]));
      if (generation === books.serving.generation && orders.includes(OrderId.make("damaged"))) throw new Error("it cannot be read");
      return execute(generation, work, clock);
    };
  };
  const orders = ["a", "damaged", "b"].map((id) => World.reserve(id));

  for (const isOver of [false, true]) {
    test(`journals the others${isOver ? ", whose generation is over," : ""} and keeps no room for it`, () =>
      Effect.gen(function* () {
        const world = yield* World.make;
        const { books, server } = world;
        const stock = yield* world.connect();
        yield* World.whilePassing(stock.execute([World.receive(5)]));
        damage(books, () => {
          if (!isOver) return;
          server.state = "away";
          books.change(books.serving.generation, null);
        });
        const before = yield* metric("saga_stock_holds_revoked_total");
        expect((yield* World.whilePassing(stock.execute(orders))).map(word)).toEqual(["Reserved", "Reserved", "Reserved"]);
        yield* TestClock.adjust(2_000);
        expect(ledger(world.books)).toEqual([5, 2, 0]);
        expect(yield* metric("saga_stock_journal_length")).toBe(0);
        expect((yield* metric("saga_stock_holds_revoked_total")) - before).toBe(1);
      }).pipe(World.run));
  }

  test("with durable holds, refuses it at once, and nobody else", () =>
    Effect.gen(function* () {
      const world = yield* World.make;
      const stock = yield* world.connect({ durable: true });
      yield* World.whilePassing(stock.execute([World.receive(5)]));
      damage(world.books);
      const asked = Effect.forEach(orders, (order) => Effect.result(stock.execute([order])), { concurrency: "unbounded" });
      const said = (yield* World.whilePassing(asked)).map((result) =>
        Result.isSuccess(result) ? result.success.map(word) : result.failure.reason,
      );
      expect(said).toEqual([["Reserved"], "Refused", ["Reserved"]]);
      expect(ledger(world.books)).toEqual([5, 2, 0]);
    }).pipe(World.run));
});
