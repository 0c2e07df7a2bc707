/** Holds that somebody has damaged with SQL: the auditor names them, and everybody reads all others. */
import { CustomerId, OrderId, Quantity, Sku, StockAudit, StockBooks, type StockCommand, StockReservation } from "@org/saga-core";
import { Contract } from "@org/saga-core/testing";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer, Logger } from "effect";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { PgClient, PgMigrations, PgStock, PgStockAudit, PgStockBooks } from "../src/index.ts";

const url = realServer("postgres") ?? "";

const reserve = (id: string): StockCommand => ({
  ...{ _tag: "Reserve", orderId: OrderId.make(id), ttlMillis: 600_000 },
  lines: [{ sku: Sku.make("apple"), quantity: Quantity.make(2) }],
  limit: { buyer: CustomerId.make("ada"), perSku: 100 },
});

describe.runIf(url !== "")("PgStockAudit on PostgreSQL", () => {
  let schema = "";
  let admin: pg.Client;
  const on = <A, E>(effect: Effect.Effect<A, E, StockAudit | StockBooks | StockReservation>) => {
    const stores = Layer.mergeAll(PgStock.layer, PgStockAudit.layer, PgStockBooks.layer, Logger.layer([])).pipe(
      Layer.provide(PgMigrations.layer),
    );
    return Effect.runPromise(Effect.provide(effect, Layer.provide(stores, PgClient.layer({ url, schema, poolSize: 2 }))));
  };

  beforeAll(async () => {
    schema = (await Effect.runPromise(Contract.unique("audit"))).replace("-", "_");
    admin = new pg.Client({ connectionString: url });
    await admin.connect();
    await on(Effect.void);
  });
  afterAll(async () => {
    await admin.query(`drop schema if exists "${schema}" cascade`);
    await admin.end();
  });
  beforeEach(async () => {
    await admin.query(`truncate ${["skus", "holds", "adjustments", "buyers"].map((name) => `"${schema}".stock_${name}`).join()}`);
    await on(
      Effect.flatMap(StockReservation, (stock) =>
        stock.execute([
          { _tag: "Adjust", id: "first", sku: Sku.make("apple"), delta: 10 },
          ...["damaged", "held", "gone"].map(reserve),
          { _tag: "Release", orderId: OrderId.make("gone") },
        ]),
      ),
    );
  });

  const damages = [
    `lines = '{}'`,
    `lines = '[1]'`,
    `lines = '[null]'`,
    `lines = '[[{"sku": "apple", "quantity": 2}]]'`,
    `lines = '[{"sku": "apple"}]'`,
    `lines = '[{"sku": ["apple"], "quantity": 2}]'`,
    `lines = '[{"sku": "an apple", "quantity": 2}]'`,
    `lines = jsonb_build_array(jsonb_build_object('sku', repeat('a', 65), 'quantity', 2))`,
    `lines = '[{"sku": "apple", "quantity": "2"}]'`,
    `lines = '[{"sku": "apple", "quantity": 1.5}]'`,
    `lines = '[{"sku": "apple", "quantity": 1000001}]'`,
    `lines = '[{"sku": "apple", "quantity": 2, "warehouse": null}]'`,
    `lines = '[{"sku": "app\\u0000le", "quantity": 2}]'`,
    `lines = '[{"sku": "apple", "quantity": 1e999999}]'`,
    `lines = '[1e999999]'`,
    `asked = '[]'`,
    `asked = '{"limit": null}'`,
    `asked = asked || '{"lines": [7]}'`,
    `asked = asked || '{"warehouses": [7]}'`,
    `asked = asked || '{"limit": {"buyer": 7, "perSku": 1}}'`,
    `asked = jsonb_set(asked, '{limit,buyer}', to_jsonb(repeat('a', 129)))`,
    `until = 'infinity'`,
    `order_id = 'an order'`,
  ];
  test.each(damages)("reads the others when a hold has %s, and says which one it is", async (damage) => {
    await admin.query(`update "${schema}".stock_holds set ${damage} where order_id = 'damaged'`);
    const orderId = damage.startsWith("order_id") ? "an order" : "damaged";
    const { take, holds } = await on(
      Effect.gen(function* () {
        const audit = yield* StockAudit;
        return { take: yield* audit.take, holds: yield* audit.holds([OrderId.make("gone")]) };
      }),
    );
    expect(take.unreadable).toEqual([{ orderId, status: "held" }]);
    expect(take.tallies).toMatchObject([{ sku: "apple", adjusted: 10, held: 2 }]);
    expect(holds.unreadable).toEqual([{ orderId, status: "held" }]);
    expect([...holds.holds.keys()].toSorted()).toEqual(["gone", "held"]);
  });

  test.each(damages)("begins a new log with the others when a hold has %s", async (damage) => {
    for (const status of ["held", "shipped"]) {
      await admin.query(`update "${schema}".stock_holds set status = '${status}', ${damage} where order_id = 'damaged'`);
      const change = Effect.gen(function* () {
        const books = yield* StockBooks;
        const { generation } = yield* books.serving;
        return yield* books.change(generation, { runId: "run", replicationId: "replication" });
      });
      const won = await on(change);
      expect([...(won?.view.holds.keys() ?? [])].toSorted()).toEqual(["gone", "held"]);
      await admin.query(`update "${schema}".stock_holds set order_id = 'damaged' where order_id = 'an order'`);
    }
  });

  test.each(damages)("lets goods be counted out while a hold has %s, and revokes another one", async (damage) => {
    await admin.query(`update "${schema}".stock_holds set ${damage} where order_id = 'damaged'`);
    const count: StockCommand = { _tag: "Adjust", id: "count", sku: Sku.make("apple"), delta: -9 };
    const [answer] = await on(Effect.flatMap(StockReservation, (stock) => stock.execute([count])));
    expect(answer).toMatchObject({ success: { _tag: "Adjusted", onHand: 1, shortage: 1, revoked: ["held"] } });
  });

  test("expires the others, as many as asked for, though the first ones have ids that are none", async () => {
    const due = (id: string, minutes: number) =>
      admin.query(
        `insert into "${schema}".stock_holds select $1, status, lines, now() - $2 * interval '1 minute', reason, reserved_at, changed_at, asked
         from "${schema}".stock_holds where order_id = 'held'`,
        [id, minutes],
      );
    for (const [index, id] of ["an order", "another order", "third", "a fourth", "fifth", "sixth"].entries()) await due(id, 9 - index);
    const expired = (max: number) => on(Effect.flatMap(StockReservation, (stock) => stock.expired(max)));
    expect(await expired(1)).toEqual(["third"]);
    expect(await expired(2)).toEqual(["third", "fifth"]);
    expect(await expired(9)).toEqual(["third", "fifth", "sixth"]);
  });

  test("corrects no books by what a hold may have that cannot be read", async () => {
    await admin.query(`update "${schema}".stock_holds set lines = '{}' where order_id = 'damaged'`);
    expect(await on(Effect.flatMap(StockAudit, (audit) => audit.correct(Sku.make("apple"))))).toBe("Doubtful");
    await admin.query(`update "${schema}".stock_holds set status = 'released', reason = 'asked' where order_id = 'damaged'`);
    expect(await on(Effect.flatMap(StockAudit, (audit) => audit.correct(Sku.make("apple"))))).toBe("Corrected");
    expect(await on(Effect.flatMap(StockAudit, (audit) => audit.take))).toMatchObject({
      skus: [{ sku: "apple", onHand: 10, held: 2 }],
      unreadable: [{ orderId: "damaged", status: "released" }],
    });
  });
});
