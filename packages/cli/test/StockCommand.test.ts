/** `saga stock`. */
import { Order, OrderId, OrderStore, Quantity, Sku, StockReservation, type StockCommand, UnitOfWork } from "@org/saga-core";
import { PgClient, PgStock, PgStores } from "@org/saga-postgres";
import { Effect, Layer, Result } from "effect";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { place } from "./Orders.ts";
import { open, type Shell, SLOW_MS } from "./Shell.ts";

/** Long ago: nothing of these orders is on its way any more. */
const THEN = Date.UTC(2026, 0, 2, 3, 4, 5);

const apple = Sku.make("apple");
const about = (tag: "Commit" | "Release", id: string): StockCommand => ({ _tag: tag, orderId: OrderId.make(id) });
const reserve = (id: string): StockCommand => ({
  ...{ _tag: "Reserve", orderId: OrderId.make(id), ttlMillis: 600_000 },
  lines: [{ sku: apple, quantity: Quantity.make(2) }],
});

const SECRET = "hunter2";

vi.setConfig({ testTimeout: SLOW_MS });

let shell: Shell;
const sql = (text: string) =>
  Effect.flatMap(PgClient.PgClient, (client) => client.query<Record<string, unknown>>("test", text)).pipe(
    Effect.provide(shell.client("inventory")),
    Effect.runPromise,
  );
const sell = (commands: ReadonlyArray<StockCommand>) =>
  Effect.flatMap(StockReservation, (engine) => engine.execute(commands)).pipe(
    Effect.provide(Layer.provide(PgStock.layer, shell.client("inventory"))),
    Effect.runPromise,
  );
/** An order as its service has left it. */
const order = (id: string, status: "canceled" | "awaitingFulfillment", at: number) => {
  const [placed] = Result.getOrThrow(Order.decide(null, place(OrderId.make(id), at)));
  const first = placed === undefined ? null : Order.evolve(null, placed);
  if (first === null) throw new Error("no order");
  const way = status === "canceled" ? [status] : (["pendingPayment", "awaitingPayment", status] as const);
  const history = [...first.history, ...way.map((each) => ({ status: each, at, reason: null }))];
  const after: Order.Order = { ...first, status, paid: status !== "canceled", history };
  return Effect.flatMap(UnitOfWork, (unit) =>
    unit.commit(Effect.flatMap(OrderStore, (store) => store.save([{ before: null, after }]))),
  ).pipe(Effect.provide(Layer.provide(PgStores.layerClient, shell.client("order"))), Effect.runPromise);
};
const stock = (...args: ReadonlyArray<string>) => shell.run(["stock", ...args, "--schema", "inventory"]);

beforeAll(async () => {
  shell = await open();
  await shell.run(["migrate", "up", "--schema", "inventory", "--schema", "order"]);
}, SLOW_MS);
afterAll(() => shell.close());

beforeEach(async () => {
  await sql("truncate inventory.stock_skus, inventory.stock_holds, inventory.stock_adjustments, inventory.stock_shards");
  await sell([{ _tag: "Adjust", id: "first", sku: apple, delta: 10 }, reserve("o-1"), reserve("o-2"), about("Commit", "o-2")]);
});

describe("saga stock show", () => {
  test("shows the books of the SKUs that are named, or of all", async () => {
    const { code, stdout } = await stock("show");
    expect([code, stdout]).toEqual([0, expect.stringMatching(/apple +10 +2 +2 +6 +0/)]);
    expect(JSON.parse((await stock("show", "apple", "--json")).stdout)).toEqual([
      { sku: "apple", onHand: 10, held: 2, committed: 2, available: 6, shortage: 0 },
    ]);
  });

  test("shows each warehouse where there are several", async () => {
    await stock("adjust", "apple", "--by", "3", "--id", "north", "--warehouse", "north");
    expect((await stock("show")).stdout).toMatch(/apple +13 .*\napple +main +10 .*\napple +north +3 /);
  });

  test("ends with 1 for a SKU without books", async () => {
    expect(await stock("show", "unicorn")).toMatchObject({ code: 1, stderr: "saga: there are no books of unicorn" });
  });
});

describe("saga stock holds", () => {
  test("shows what orders have, and of a named one what it had", async () => {
    await sell([about("Release", "o-1")]);
    expect((await stock("holds")).stdout).toMatch(/o-2 +committed .* 2 apple/);
    expect((await stock("holds")).stdout).not.toContain("o-1");
    expect(JSON.parse((await stock("holds", "o-1", "--json")).stdout)).toMatchObject([
      { orderId: "o-1", status: "released", reason: "asked" },
    ]);
  });
});

describe("saga stock adjust", () => {
  const received = ["adjust", "apple", "--by", "5", "--id", "delivery-1", "--kind", "receive"];

  test("counts goods in once, however often it is said", async () => {
    expect((await stock(...received)).stdout).toBe("SKU apple: 15 on hand");
    expect(JSON.parse((await stock(...received, "--json")).stdout)).toEqual({ sku: "apple", onHand: 15, shortage: 0, revoked: [] });
  });

  test("says what is short when goods are counted out that were promised, and leaves revoked holds with the services' sweepers", async () => {
    const burglary = ["adjust", "apple", "--by=-9", "--id", "burglary"];
    for (const _ of ["once", "again"]) {
      expect(await stock(...burglary)).toEqual({
        ...{ code: 0, stdout: "SKU apple: 1 on hand, 1 short of what is promised" },
        stderr: "holds of 1 orders were revoked, the newest: o-1",
      });
    }
    expect(JSON.parse((await stock(...burglary, "--json")).stdout)).toMatchObject({ revoked: ["o-1"] });
    const { rows } = await sql("select key from inventory.timers where owner = 'hold-sweeper'");
    expect(rows).toEqual([{ key: "o-1" }]);
  });

  test("says in which schema a SKU is new: it may be the wrong one", async () => {
    expect(await stock("adjust", "pear", "--by", "7", "--id", "first-pears")).toEqual({
      ...{ code: 0, stdout: "SKU pear: 7 on hand" },
      stderr: "SKU pear is new in schema inventory: no books of it were there before",
    });
    expect(await stock("adjust", "pear", "--by", "1", "--id", "more-pears")).toMatchObject({ code: 0, stderr: "" });
  });

  test("ends with 1 for what the ledger refuses", async () => {
    expect(await stock("adjust", "unicorn", "--by=-1", "--id", "x")).toMatchObject({
      code: 1,
      stderr: "saga: SKU unicorn: it was never there",
    });
    expect(await stock("adjust", "apple", "--by", "1", "--id", "first")).toMatchObject({
      code: 1,
      stderr: "saga: SKU apple: the id was used for another adjustment",
    });
    expect(await stock("adjust", "apple", "--by", "1", "--id", "two\nlines")).toMatchObject({
      code: 1,
      stderr: "saga: SKU apple: an adjustment's id has 1 to 128 printable characters",
    });
  });
});

describe("saga stock reconcile", () => {
  test("ends with 0 where everything fits", async () => {
    await order("o-9", "canceled", THEN);
    expect(await stock("reconcile", "--orders", "order")).toEqual({ code: 0, stdout: "everything fits", stderr: "" });
  });

  test("ends with 3 and the cause until it is repaired", async () => {
    await sql("update inventory.stock_skus set held = 3");
    const { code, stdout, stderr } = await stock("reconcile");
    expect([code, stderr]).toEqual([3, "saga: 1 difference"]);
    expect(stdout).toContain("found    Books  the books of SKU apple in main say 3 held, its held holds sum to 2");
    expect((await stock("reconcile", "--repair")).stdout).toContain("repaired  Books");
    expect((await stock("reconcile")).code).toBe(0);
  });

  test("says what to do about a hold whose record was damaged, and shows the others", async () => {
    await sql(`update inventory.stock_holds set lines = '{}' where order_id = 'o-1'`);
    expect(await stock("holds")).toMatchObject({
      stdout: expect.stringMatching(/o-2 +committed/),
      stderr: "o-1 cannot be read: stock reconcile says what to do",
    });
    const { code, stdout, stderr } = await stock("reconcile", "--repair");
    expect([code, stderr]).toEqual([3, "saga: 2 differences that a person has to look at"]);
    expect(stdout).toMatch(/refused +Unreadable +the hold of order o-1 is held.*To do: write what order o-1 had into stock_holds/);
    expect(stdout).toMatch(/refused +Books +the books of SKU apple in main say 2 held.*To do: mend the holds that cannot be read/);
    await sql(`update inventory.stock_holds set status = 'released', reason = 'asked', lines = '[]' where order_id = 'o-1'`);
    expect((await stock("reconcile", "--repair")).stdout).toMatch(/^OUTCOME.*\nrepaired +Books/);
    expect((await stock("reconcile")).code).toBe(0);
  });

  test("compares with the orders, but for those that changed a moment ago, and leaves what it cannot mend to a person", async () => {
    await sell([about("Release", "o-2"), reserve("o-3"), reserve("o-4")]);
    await order("o-1", "canceled", THEN);
    await order("o-2", "awaitingFulfillment", THEN);
    await order("o-3", "awaitingFulfillment", THEN);
    await order("o-4", "canceled", Date.now());
    const { code, stdout, stderr } = await stock("reconcile", "--repair", "--orders", "order", "--json");
    const findings: ReadonlyArray<{ outcome: string; cause: string }> = JSON.parse(stdout);
    expect([code, stderr]).toEqual([3, "saga: 1 difference that a person has to look at"]);
    expect(findings.map(({ outcome, cause }) => `${outcome}: ${cause}`).toSorted()).toEqual([
      "Refused: order o-2 is awaitingFulfillment and should have goods, its hold is released: a decision about it was lost",
      "Repaired: order o-1 is canceled, and its goods are held all the same: the release was lost, or decided without the order",
      "Repaired: order o-3 is awaitingFulfillment and should have goods, its hold is held: a decision about it was lost",
    ]);
    const holds: ReadonlyArray<{ orderId: string; status: string }> = JSON.parse((await stock("holds", "--json")).stdout);
    expect(holds.map(({ orderId, status }) => `${orderId} ${status}`).toSorted()).toEqual(["o-3 committed", "o-4 held"]);
  });

  test("repairs nothing that a log has to hear and cannot", async () => {
    await sql("insert into inventory.stock_shards (shard, generation, engine, run_id, master_replid) values (0, 7, 'log', 'r', 'm')");
    await sql("update inventory.stock_skus set held = 3");
    expect(await stock("reconcile")).toMatchObject({
      code: 3,
      stderr: expect.stringContaining("it is not compared: SAGA_REDIS_URL is not set"),
    });
    expect((await stock("reconcile", "--repair")).code).toBe(2);
    expect((await stock("reconcile")).stdout).toContain("say 3 held");
  });

  test.each(["redis", `http://:${SECRET}@127.0.0.1`, `redis://:${SECRET}@127.0.0.1:99999`])(
    "refuses an address of Redis that is none, also where no log serves, and does not repeat it (%s)",
    async (url) => {
      expect(await shell.run(["stock", "reconcile", "--schema", "inventory"], { SAGA_REDIS_URL: url })).toEqual({
        code: 2,
        stdout: "",
        stderr: "saga: SAGA_REDIS_URL: url must have the form redis://user:password@host:port/database, or rediss://",
      });
    },
  );

  test("names Redis where it is Redis that does not answer", async () => {
    await sql("insert into inventory.stock_shards (shard, generation, engine, run_id, master_replid) values (0, 7, 'log', 'r', 'm')");
    const nowhere = { SAGA_REDIS_URL: "redis://127.0.0.1:1" };
    expect(await shell.run(["stock", "reconcile", "--schema", "inventory"], nowhere)).toEqual({
      code: 4,
      stdout: "",
      stderr: "saga: Redis: no connection",
    });
  });

  test("names the schema of the orders where that is the one without tables", async () => {
    const { code, stderr } = await stock("reconcile", "--orders", "nosuch");
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^saga: schema nosuch: SQLSTATE 42P01 .*run the migrations/)]);
  });

  test("takes an empty address of Redis for none", async () => {
    expect((await shell.run(["stock", "reconcile", "--schema", "inventory"], { SAGA_REDIS_URL: "" })).code).toBe(0);
  });

  test("wants the one schema of the stock", async () => {
    expect((await shell.run(["stock", "show", "--schema", "inventory", "--schema", "order"])).code).toBe(2);
  });
});
