import { Effect, Fiber, Layer, Metric } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, test } from "vitest";
import {
  CustomerId,
  MemoryStock,
  MemoryStockAudit,
  MemoryStockBooks,
  MemoryStockLog,
  OrderId,
  StockAudit,
  type StockCommand,
  StockDrift,
  type StockLedger,
  StockLog,
  StockReconcile,
  Warehouse,
} from "../../src/index.ts";
import * as World from "./HybridWorld.ts";

const north = Warehouse.make("north");

/** Goods in two places; an order that holds, one that has goods promised, and one whose goods have left. */
const sold = (): MemoryStock.Stock => {
  const stock = new MemoryStock.Stock();
  stock.execute(
    [
      World.receive(10),
      { _tag: "Adjust", id: "north", sku: World.apple, delta: 5, warehouse: north },
      ...["held", "promised", "gone"].map((id) => World.reserve(id, 2)),
      World.about("Commit", "promised"),
      World.about("Commit", "gone"),
      World.about("Ship", "gone"),
    ],
    1,
  );
  return stock;
};

const take = (stock: MemoryStock.Stock) =>
  Effect.flatMap(StockAudit, (audit) => audit.take).pipe(Effect.provide(MemoryStockAudit.layerOf(stock)));
const correct = (stock: MemoryStock.Stock) =>
  Effect.flatMap(StockAudit, (audit) => audit.correct(World.apple)).pipe(Effect.provide(MemoryStockAudit.layerOf(stock)));
const driftsOf = (stock: MemoryStock.Stock) => Effect.map(take(stock), StockDrift.ofLedger);

describe("StockDrift", () => {
  test("finds nothing in a ledger that only decisions have written, however short of goods it is", () =>
    Effect.gen(function* () {
      const stock = sold();
      stock.execute([World.receive(-7, "burglary"), { _tag: "Adjust", id: "fire", sku: World.apple, delta: -5, warehouse: north }], 2);
      expect(stock.skus.get(World.apple)).toMatchObject({ onHand: 1, shortage: 1 });
      expect(yield* driftsOf(stock)).toEqual([]);
      expect(yield* correct(stock)).toBe("Fitting");
    }).pipe(World.run));

  const corruptions: ReadonlyArray<readonly [what: string, corrupt: (stock: MemoryStock.Stock) => void]> = [
    ["books with more on hand", (stock) => change(stock, { onHand: 12 })],
    ["books with less on hand", (stock) => change(stock, { onHand: 1, shortage: 3 })],
    ["books with less on hand than nothing is promised from", (stock) => change(stock, { onHand: 6, held: 0, committed: 0 })],
    ["books with a shortage that is none", (stock) => change(stock, { shortage: 4 })],
    ["books that are gone", (stock) => void stock.skus.delete(World.apple)],
    ["books without one of their warehouses", (stock) => change(stock, { elsewhere: [] })],
    ["a hold that is gone", (stock) => void stock.holds.delete(orderOf("held"))],
    ["a promise that is gone", (stock) => void stock.holds.delete(orderOf("promised"))],
    ["a shipment that is gone", (stock) => void stock.holds.delete(orderOf("gone"))],
    ["an adjustment that is gone", (stock) => void stock.adjustments.delete("first")],
    ["an adjustment in another warehouse that is gone", (stock) => void stock.adjustments.delete("north")],
  ];
  test.each(corruptions)("finds %s, and one correction makes the books fit, without selling what is in doubt", (_, corrupt) =>
    Effect.gen(function* () {
      const stock = sold();
      corrupt(stock);
      const doubtful = stock.skus.get(World.apple)?.onHand ?? Number.MAX_SAFE_INTEGER;
      expect((yield* driftsOf(stock)).length).toBeGreaterThan(0);
      expect(yield* correct(stock)).toBe("Corrected");
      expect(yield* driftsOf(stock)).toEqual([]);
      const books = stock.skus.get(World.apple);
      expect(books?.onHand).toBeLessThanOrEqual(doubtful);
      expect([...stock.adjustments.keys()].some((id) => id.startsWith(StockDrift.RECONCILED))).toBe(true);
      expect(yield* correct(stock)).toBe("Fitting");
    }).pipe(World.run),
  );

  const damaged = (status: StockLedger.HoldStatus) => [{ orderId: "damaged", status }];
  test.each([
    ["held", { held: 3 }],
    ["committed", { committed: 3 }],
    ["shipped", { onHand: 7 }],
  ] as const)("leaves books alone that may fit a %s hold which cannot be read", (status, books) =>
    Effect.gen(function* () {
      const stock = sold();
      change(stock, books);
      const found = { ...(yield* take(stock)), unreadable: damaged(status) };
      expect(StockDrift.ofLedger(found)[0]).toEqual({ _tag: "Unreadable", orderId: "damaged", status });
      expect(StockDrift.correction(found, World.apple, 9)).toBe("Doubtful");
      expect(StockDrift.correction({ ...found, unreadable: damaged("lapsed") }, World.apple, 9)).toMatchObject({ holds: [] });
    }).pipe(World.run),
  );

  test("corrects what a hold that cannot be read does not explain", () =>
    Effect.gen(function* () {
      const stock = sold();
      const buyers = [{ sku: World.apple, buyer: CustomerId.make("ada"), units: 1 }];
      const found = { ...(yield* take(stock)), unreadable: damaged("held") };
      expect(StockDrift.correction({ ...found, buyers }, World.apple, 9)).toBe("Doubtful");
      expect(StockDrift.correction({ ...found, buyerTallies: buyers }, World.apple, 9)).toMatchObject({ buyers });
      expect(StockDrift.correction(found, World.apple, 9)).toBe("Fitting");
    }).pipe(World.run));
});

describe("StockReconcile", () => {
  test("leaves alone what is on its way from the log to the ledger, and counts what stays different", () =>
    Effect.gen(function* () {
      const books = yield* MemoryStockBooks.make;
      const logs = yield* MemoryStockLog.make;
      const won = books.change(books.serving.generation, logs.server);
      if (won === null) return yield* Effect.die("nobody else is there");
      const { generation } = won.serving;
      logs.open(0, generation, won.view);
      const ports = Layer.mergeAll(MemoryStockAudit.layerOf(books.stock), MemoryStockBooks.layerOf(books), MemoryStockLog.layerOf(logs));
      const both = (command: StockCommand): void => {
        books.stock.execute([command], 1);
        logs.execute(0, generation, [command], 1);
      };
      const compare = Effect.flatMap(StockLog, (log) => StockReconcile.run({ repair: false, log, claims: null })).pipe(
        Effect.provide(ports),
      );
      both(World.receive(5));
      both(World.reserve("a"));
      // Granted by the log; the ledger hears of it between the two looks.
      logs.execute(0, generation, [World.reserve("b")], 1);
      const looking = yield* Effect.forkChild(compare);
      yield* TestClock.adjust(StockReconcile.SETTLE_MS - 1);
      books.stock.execute([World.reserve("b")], 1);
      yield* TestClock.adjust(1);
      expect(yield* Fiber.join(looking)).toEqual([]);
      logs.execute(0, generation, [World.reserve("c")], 1);
      change(books.stock, { held: 4 });
      const findings = yield* World.whilePassing(compare);
      expect(findings.map(({ drift }) => drift._tag)).toEqual(["Books", "Unjournaled"]);
      const metrics = yield* Metric.snapshot;
      const gauge = (id: string, column?: string) =>
        metrics.find((metric) => metric.id === id && (column === undefined || metric.attributes?.["column"] === column));
      expect(gauge("saga_stock_books_drift", "held")).toMatchObject({ state: { value: 2 } });
      expect(gauge("saga_stock_books_drift", "onHand")).toMatchObject({ state: { value: 0 } });
      expect(gauge("saga_stock_log_drift")).toMatchObject({ state: { value: 1 } });
    }).pipe(World.run));
});

const orderOf = (id: string): OrderId => OrderId.make(id);

/** As somebody with SQL would. */
const change = (stock: MemoryStock.Stock, to: Partial<StockLedger.SkuBooks>): void => {
  const books = stock.skus.get(World.apple);
  if (books !== undefined) stock.skus.set(World.apple, { ...books, ...to });
};
