import { randomBytes } from "node:crypto";
import {
  CustomerId,
  HybridStock,
  OrderId,
  Quantity,
  Sku,
  StockAudit,
  StockBooks,
  type StockCommand,
  StockLog,
  StockReconcile,
  StockReservation,
} from "@org/saga-core";
import { PgClient, PgMigrations, PgStockAudit, PgStockBooks } from "@org/saga-postgres";
import { RedisClient, RedisConfig, RedisStockLog } from "@org/saga-redis";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer, Result } from "effect";
import { afterAll, describe, expect, test } from "vitest";

const postgresUrl = realServer("postgres") ?? "";
const redisUrl = realServer("redis") ?? "";

const apple = Sku.make("apple");
const lines = [{ sku: apple, quantity: Quantity.make(2) }];
const about = (tag: "Commit" | "Release" | "Ship", id: string): StockCommand => ({ _tag: tag, orderId: OrderId.make(id) });
const reserve = (id: string): StockCommand => ({
  ...{ _tag: "Reserve", orderId: OrderId.make(id), lines, ttlMillis: 600_000 },
  limit: { buyer: CustomerId.make("ada"), perSku: 100 },
});

/** What the orders' service says: order ids by what they should have. */
interface Orders {
  readonly over?: ReadonlyArray<string>;
  readonly paid?: ReadonlyArray<string>;
  readonly finished?: ReadonlyArray<string>;
}

describe.runIf(postgresUrl !== "" && redisUrl !== "")("StockReconcile, on PostgreSQL and Redis,", () => {
  const schemas: Array<string> = [];
  afterAll(async () => {
    for (const schema of schemas) await shop(schema).sql(`drop schema if exists "${schema}" cascade`);
  });

  const shop = (schema: string) => {
    const client = PgClient.layer({ url: postgresUrl, schema, poolSize: 6 });
    const redis = RedisClient.layerAtOnce.pipe(Layer.provide(RedisConfig.layer({ url: redisUrl, prefix: schema })));
    const ports = Layer.mergeAll(RedisStockLog.layer.pipe(Layer.provide(redis)), PgStockBooks.layer, PgStockAudit.layer).pipe(
      Layer.provideMerge(Layer.provide(PgMigrations.layer, client)),
      Layer.provideMerge(client),
    );
    const on = <A, E>(effect: Effect.Effect<A, E, StockAudit | StockLog | StockBooks | PgClient.PgClient>): Promise<A> =>
      Effect.runPromise(Effect.provide(effect, Layer.fresh(ports)));
    return {
      schema,
      on,
      sql: (text: string) => on(Effect.flatMap(PgClient.PgClient, (pg) => pg.query<Record<string, unknown>>("test", text))),
      /** By an engine that is gone afterwards: what it leaves is nobody's but the auditor's. */
      sell: (commands: ReadonlyArray<StockCommand>) =>
        on(
          Effect.gen(function* () {
            const engine = yield* StockReservation;
            for (const command of commands) {
              const [answer] = yield* engine.execute([command]);
              expect(answer === undefined ? null : Result.isSuccess(answer)).toBe(true);
            }
          }).pipe(Effect.provide(HybridStock.layerWith({ durable: true }))),
        ),
      reconcile: (repair: boolean, orders: Orders = {}) =>
        on(
          Effect.flatMap(StockLog, (log) => StockReconcile.run({ repair, log, claims: claimsOf(orders), settleMillis: 300 })).pipe(
            Effect.map((findings) => findings.map(({ cause, outcome }) => `${outcome}: ${cause}`)),
          ),
        ),
    };
  };

  const open = async () => {
    const it = shop(`reconcile_${randomBytes(4).toString("hex")}`);
    schemas.push(it.schema);
    // Three orders of two: one held, one promised, one gone; and 4 of 10 are left of the others.
    await it.sell([
      { _tag: "Adjust", id: "first", sku: apple, delta: 10, kind: "receive" },
      ...["held", "promised", "gone"].map(reserve),
      about("Commit", "promised"),
      about("Commit", "gone"),
      about("Ship", "gone"),
    ]);
    return it;
  };

  /** Seen with this cause, repaired, and not there any more. */
  const mended = async (it: ReturnType<typeof shop>, causes: ReadonlyArray<string>, orders: Orders = {}) => {
    for (const [repair, outcome] of [
      [false, "Found"],
      [true, "Repaired"],
    ] as const) {
      const told = causes.map((cause) => `${outcome}: ${cause}`);
      const found = await it.reconcile(repair, orders);
      expect(found.map((line, at) => line.slice(0, told[at]?.length))).toEqual(told);
    }
    expect(await it.reconcile(false, orders)).toEqual([]);
    const [books] = (await it.sql(`select on_hand::int, held::int, committed::int, shortage::int from ${it.schema}.stock_skus`)).rows;
    return books;
  };
  const hold = async (it: ReturnType<typeof shop>, id: string) =>
    (await it.sql(`select status from ${it.schema}.stock_holds where order_id = '${id}'`)).rows[0]?.["status"];

  test("finds nothing where nothing is wrong", async () => {
    const it = await open();
    expect(await it.reconcile(true, { paid: ["promised"], finished: ["gone"] })).toEqual([]);
  });

  test("finds books that were changed, and makes them what their records sum to", async () => {
    const it = await open();
    await it.sql(`update ${it.schema}.stock_skus set on_hand = 9, held = 3`);
    const books = await mended(it, [
      "the books of SKU apple in main say 9 on hand, its adjustments less what was shipped sum to 8",
      "the books of SKU apple in main say 3 held, its held holds sum to 2: a hold is missing",
      "the log has 8 on hand of SKU apple in main, the ledger 9",
      "the log has 2 held of SKU apple in main, the ledger 3",
    ]);
    expect(books).toEqual({ on_hand: 8, held: 2, committed: 2, shortage: 0 });
    const { rows } = await it.sql(`select delta::int, on_hand::int from ${it.schema}.stock_adjustments where id like 'reconcile:%'`);
    expect(rows).toEqual([{ delta: 0, on_hand: 8 }]);
  });

  test("finds a hold that was deleted, and takes it again from the log", async () => {
    const it = await open();
    await it.sql(`delete from ${it.schema}.stock_holds where order_id = 'held'`);
    const books = await mended(it, [
      "the books of SKU apple in main say 2 held, its held holds sum to 0: a hold is missing",
      "buyer ada is counted with 6 of SKU apple, the buyer's orders with a limit have 4",
      "the log holds goods for order held that the ledger does not know of",
    ]);
    expect([books, await hold(it, "held")]).toEqual([{ on_hand: 8, held: 2, committed: 2, shortage: 0 }, "held"]);
  });

  test("finds a promise that was deleted, and promises it again to the order that is paid", async () => {
    const it = await open();
    await it.sql(`delete from ${it.schema}.stock_holds where order_id = 'promised'`);
    await it.sql(`delete from ${it.schema}.stock_shards`);
    await mended(
      it,
      [
        "the books of SKU apple in main say 2 committed, its committed holds sum to 0",
        "buyer ada is counted with 6",
        "order promised is awaitingFulfillment and should have goods, its hold is not there",
      ],
      { paid: ["promised"] },
    );
    expect(await hold(it, "promised")).toBe("committed");
  });

  test("finds a hold that lives again after it had ended, and that its order has no claim to it", async () => {
    const it = await open();
    await it.sell([about("Release", "held")]);
    await it.sql(`update ${it.schema}.stock_holds set status = 'held', reason = null where order_id = 'held'`);
    const books = await mended(
      it,
      [
        "the books of SKU apple in main say 0 held, its held holds sum to 2: a hold was added or made live again",
        "buyer ada is counted with 4",
        "the hold of order held is held in the ledger and released in the log",
        "order held is canceled, and its goods are held all the same",
      ],
      { over: ["held"] },
    );
    expect([books, await hold(it, "held")]).toEqual([{ on_hand: 8, held: 0, committed: 2, shortage: 0 }, "released"]);
  });

  test("finds a status that was changed, and does by decision what the order has a claim to", async () => {
    const it = await open();
    await it.sql(`update ${it.schema}.stock_holds set status = 'held' where order_id = 'promised'`);
    const books = await mended(
      it,
      [
        "the books of SKU apple in main say 2 held, its held holds sum to 4",
        "the books of SKU apple in main say 2 committed, its committed holds sum to 0",
        "the hold of order promised is held in the ledger and committed in the log",
        "order promised is awaitingFulfillment and should have goods, its hold is held: a decision about it was lost",
      ],
      { paid: ["promised"] },
    );
    expect([books, await hold(it, "promised")]).toEqual([{ on_hand: 8, held: 2, committed: 2, shortage: 0 }, "committed"]);
  });

  test("finds an adjustment that is missing, and sells nothing on the strength of the books alone", async () => {
    const it = await open();
    await it.sell([{ _tag: "Adjust", id: "second", sku: apple, delta: 5, kind: "receive" }]);
    await it.sql(`delete from ${it.schema}.stock_adjustments where id = 'second'`);
    const books = await mended(it, [
      "the books of SKU apple in main say 13 on hand, its adjustments less what was shipped sum to 8: an adjustment is missing",
    ]);
    expect(books).toEqual({ on_hand: 8, held: 2, committed: 2, shortage: 0 });
  });

  test("finds goods that were taken out of the books alone, and records that they are gone", async () => {
    const it = await open();
    await it.sql(`update ${it.schema}.stock_skus set on_hand = 3, shortage = 1`);
    const books = await mended(it, [
      "the books of SKU apple in main say 3 on hand, its adjustments less what was shipped sum to 8: goods were counted in",
      "the log has 8 on hand of SKU apple in main, the ledger 3",
      "the log has 0 short of SKU apple in main, the ledger 1",
    ]);
    expect(books).toEqual({ on_hand: 3, held: 2, committed: 2, shortage: 1 });
    const { rows } = await it.sql(`select delta::int from ${it.schema}.stock_adjustments where id like 'reconcile:%'`);
    expect(rows).toEqual([{ delta: -5 }]);
  });

  test("finds a buyer's count that is wrong", async () => {
    const it = await open();
    await it.sql(`update ${it.schema}.stock_buyers set units = 1`);
    await mended(it, ["buyer ada is counted with 1 of SKU apple, the buyer's orders with a limit have 6"]);
    expect((await it.sql(`select units::int from ${it.schema}.stock_buyers`)).rows).toEqual([{ units: 6 }]);
  });

  test("finds a log that was changed alone, and begins a new one from the ledger", async () => {
    const it = await open();
    await it.on(
      Effect.gen(function* () {
        const { generation } = yield* (yield* StockBooks).serving;
        const log = yield* StockLog;
        yield* log.execute(0, generation, [about("Release", "held"), { _tag: "Adjust", id: "x", sku: Sku.make("pear"), delta: 1 }]);
      }),
    );
    await it.sell([{ _tag: "Adjust", id: "pears", sku: Sku.make("pear"), delta: 3 }]);
    await mended(it, [
      "the hold of order held is held in the ledger and released in the log",
      "the log has 4 on hand of SKU pear in main, the ledger 3",
    ]);
  });

  test("finds a hold whose record was damaged, goes on with the others, and sells nothing that it may have", async () => {
    const it = await open();
    await it.sell([{ _tag: "Adjust", id: "pears", sku: Sku.make("pear"), delta: 3 }]);
    await it.sql(`update ${it.schema}.stock_holds set lines = '"none"' where order_id = 'held'`);
    await it.sql(`update ${it.schema}.stock_skus set on_hand = 5 where sku = 'pear'`);
    const about = [
      "the hold of order held is held, and its record cannot be read",
      "the books of SKU apple in main say 2 held, its held holds sum to 0",
      "the books of SKU pear in main say 5 on hand, its adjustments less what was shipped sum to 3",
      "buyer ada is counted with 6 of SKU apple, the buyer's orders with a limit have 4",
      "the log has 3 on hand of SKU pear in main, the ledger 5",
    ];
    const orders = { paid: ["promised"], over: ["held"] };
    const told = async (outcomes: ReadonlyArray<string>) => {
      const found = await it.reconcile(true, orders);
      expect(found).toHaveLength(outcomes.length);
      for (const [at, line] of found.entries()) expect(line).toContain(`${outcomes[at]}: ${about[at]}`);
    };
    expect((await it.reconcile(false, orders)).map((line) => line.split(": ")[0])).toEqual(about.map(() => "Found"));
    await told(["Refused", "Refused", "Repaired", "Refused", "Repaired"]);
    const books = `select sku, on_hand::int, held::int from ${it.schema}.stock_skus order by sku`;
    expect((await it.sql(books)).rows).toEqual([
      { sku: "apple", on_hand: 8, held: 2 },
      { sku: "pear", on_hand: 3, held: 0 },
    ]);
    // A person has looked the order up.
    await it.sql(`update ${it.schema}.stock_holds set lines = '[{"sku": "apple", "quantity": 2}]' where order_id = 'held'`);
    const afterwards = await it.reconcile(true, { paid: ["promised"] });
    expect(afterwards).toEqual([
      expect.stringContaining("Repaired: the hold of order held is held in the ledger and not known in the log"),
    ]);
    expect(await it.reconcile(true, { paid: ["promised"] })).toEqual([]);
  });

  test("finds a log that is no more", async () => {
    const it = await open();
    await it.sql(`update ${it.schema}.stock_shards set master_replid = 'another'`);
    await mended(it, ["the log of generation"]);
  });

  test("leaves alone what only a person can decide", async () => {
    const it = await open();
    await it.sell([about("Release", "promised")]);
    const orders = { paid: ["promised"] };
    expect(await it.reconcile(true, orders)).toEqual([expect.stringContaining("Refused: order promised is awaitingFulfillment")]);
    expect(await hold(it, "promised")).toBe("released");
  });

  test("ships what has left, as the finished order says", async () => {
    const it = await open();
    const books = await mended(it, ["order promised is finished and should have had its goods shipped, its hold is committed"], {
      finished: ["promised"],
    });
    expect([books, await hold(it, "promised")]).toEqual([{ on_hand: 6, held: 2, committed: 0, shortage: 0 }, "shipped"]);
  });
});

const claimsOf = ({ over = [], paid = [], finished = [] }: Orders): StockReconcile.Claims<never> => {
  const all = new Map<OrderId, StockReconcile.Claim>();
  const add = (ids: ReadonlyArray<string>, should: StockReconcile.Claim["should"], status: string): void =>
    ids.forEach((id) => void all.set(OrderId.make(id), { orderId: OrderId.make(id), should, status, lines }));
  add(over, "Nothing", "canceled");
  add(paid, "Goods", "awaitingFulfillment");
  add(finished, "Shipment", "finished");
  return {
    of: () => Effect.succeed(all),
    owed: Effect.succeed([...all.values()].filter(({ should }) => should !== "Nothing")),
  };
};
