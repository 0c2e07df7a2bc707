import { PGlite } from "@electric-sql/pglite";
import { CustomerId, HybridStock, Limits, MemoryStockLog, OrderId, Sku, StockReservation, UnitOfWork, Warehouse } from "@org/saga-core";
import { Contract, StockReservationContract } from "@org/saga-core/testing";
import { Effect, Layer, Schema } from "effect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PgClient, PgMigrations, PgStock, PgStockBooks, PgUnitOfWork } from "../src/index.ts";
import { NAME } from "../src/PgStockSql.ts";

describe("PgStock on PGlite", () => {
  let instance: PGlite;
  const ports = () =>
    Layer.mergeAll(PgStock.layer, PgUnitOfWork.layer, PgMigrations.layer).pipe(
      Layer.provideMerge(PgClient.layerPglite(instance, "inventory")),
    );
  beforeAll(async () => {
    instance = await PGlite.create();
    await Effect.runPromise(Effect.scoped(Layer.build(ports())));
  }, 30_000);
  afterAll(() => instance.close());

  describe("keeps the contract of StockReservation: it", () => {
    for (const { name, run } of StockReservationContract.cases) {
      test(name, () => Effect.runPromise(Effect.provide(run, ports())));
    }
  });

  test("refuses to wait for a second connection inside a transaction of its database", () =>
    Effect.gen(function* () {
      const [stock, unitOfWork] = [yield* StockReservation, yield* UnitOfWork];
      yield* Contract.failsWith(unitOfWork.commit(stock.execute([])), ["Misuse"], "execute in a transaction");
    }).pipe(Effect.provide(ports()), Effect.runPromise));

  test("refuses so behind a fast log, before its commands wait with those of others", () =>
    Effect.gen(function* () {
      const [stock, unitOfWork] = [yield* StockReservation, yield* UnitOfWork];
      yield* Contract.failsWith(unitOfWork.commit(stock.execute([])), ["Misuse"], "execute in a transaction");
      expect(yield* stock.execute([])).toEqual([]);
    }).pipe(
      Effect.provide(HybridStock.layer.pipe(Layer.provide([MemoryStockLog.layer, PgStockBooks.layer]), Layer.provideMerge(ports()))),
      Effect.runPromise,
    ));

  test("holds at most what is on hand, whatever is written: the database refuses it (G1)", async () => {
    const books = (onHand: number, held: number, committed: number, shortage: number) =>
      instance.query(`insert into inventory.stock_skus values ('check', ${onHand}, ${held}, ${committed}, ${shortage}, now())`);
    await expect(books(3, 2, 2, 0)).rejects.toThrow("stock_skus_no_oversell");
    await expect(books(-1, 0, 0, 1)).rejects.toThrow("stock_skus_on_hand_check");
    await expect(books(3, -1, 0, 0)).rejects.toThrow("stock_skus_held_check");
    await books(3, 0, 4, 1);
    const shelf = (held: number) => `[{"warehouse":"east","onHand":3,"held":${held},"committed":1,"shortage":0}]`;
    const elsewhere = (held: number) =>
      instance.query("update inventory.stock_skus set elsewhere = $1::jsonb where sku = 'check'", [shelf(held)]);
    await elsewhere(2);
    await expect(elsewhere(3)).rejects.toThrow("stock_skus_elsewhere_check");
    await expect(elsewhere(-1)).rejects.toThrow("stock_skus_elsewhere_check");
  });

  test("refuses rows that cannot be read, without showing them", () =>
    Effect.gen(function* () {
      yield* Effect.promise(() => instance.query("insert into inventory.stock_skus values ('not a sku!', 1, 0, 0, 0, now())"));
      const error = yield* Effect.flip(Effect.flatMap(StockReservation, (stock) => stock.allBalances));
      yield* Effect.promise(() => instance.query("delete from inventory.stock_skus where sku = 'not a sku!'"));
      expect(error.reason).toBe("Refused");
      expect(error.message).not.toContain("not a sku");
    }).pipe(Effect.provide(ports()), Effect.runPromise));
});

test.each([
  ["Sku", Schema.is(Sku), Limits.SHORT_NAME_MAX],
  ["Warehouse", Schema.is(Warehouse), Limits.SHORT_NAME_MAX],
  ["OrderId", Schema.is(OrderId), Limits.IDENTIFIER_MAX],
  ["CustomerId", Schema.is(CustomerId), Limits.IDENTIFIER_MAX],
] as const)("SQL knows a name of %s by the same characters and length", (_, isName, max) => {
  const name = new RegExp(NAME);
  for (let code = 0; code < 0x180; code += 1) {
    const character = String.fromCharCode(code);
    for (const text of [character, `a${character}`, `${character}a`]) expect([text, name.test(text)]).toEqual([text, isName(text)]);
  }
  expect([name.test(""), isName("")]).toEqual([false, false]);
  expect([isName("a".repeat(max)), isName("a".repeat(max + 1))]).toEqual([true, false]);
});
