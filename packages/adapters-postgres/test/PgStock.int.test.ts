import {
  OrderId,
  Quantity,
  Sku,
  type StockBalance,
  type StockCommand,
  type StockLedger,
  StockReservation,
  type StoreError,
} from "@org/saga-core";
import { Contract, StockContention, StockReservationContract } from "@org/saga-core/testing";
import { realServer } from "@tools/servers/testing";
import { Effect, Fiber, Layer, Result } from "effect";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PgClient, PgMigrations, PgStock } from "../src/index.ts";
import { statements } from "../src/PgStockSql.ts";

const url = realServer("postgres") ?? "";

describe.runIf(url !== "")("PgStock on PostgreSQL", () => {
  let schema = "";
  let admin: pg.Client;
  /** An engine with connections of its own, as a process has. */
  const engine = () => PgStock.layer.pipe(Layer.provide(PgMigrations.layer), Layer.provide(PgClient.layer({ url, schema, poolSize: 4 })));
  const connect = Effect.suspend(() =>
    Effect.flatMap(Layer.build(Layer.fresh(engine())), (context) => Effect.provide(StockReservation, context)),
  );

  beforeAll(async () => {
    schema = (await Effect.runPromise(Contract.unique("stock"))).replace("-", "_");
    admin = new pg.Client({ connectionString: url });
    await admin.connect();
  });
  afterAll(async () => {
    await admin.query(`drop schema if exists "${schema}" cascade`);
    await admin.end();
  });

  describe("keeps the contract of StockReservation: it", () => {
    for (const { name, run } of StockReservationContract.cases) {
      test(name, () => Effect.runPromise(Effect.provide(run, engine())));
    }
  });

  describe("in three processes: three", () => {
    for (const { name, run } of StockContention.rivalry) {
      test(name, () =>
        Effect.gen(function* () {
          yield* Effect.provideService(run, StockContention.Rivals, [yield* connect, yield* connect, yield* connect]);
        }).pipe(Effect.scoped, Effect.runPromise),
      );
    }
  });

  test("loses no unit while its connections are terminated again and again", () =>
    Effect.gen(function* () {
      const stubborn = Effect.map(connect, (stock) => ({
        ...stock,
        execute: untilKnown(stock.execute),
        balances: untilKnown(stock.balances),
      }));
      let terminated = 0;
      const storm = Effect.promise(() =>
        admin.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and random() < 0.5", [schema]),
      ).pipe(
        Effect.map(({ rows }) => (terminated += rows.length)),
        Effect.andThen(Effect.sleep("20 millis")),
        Effect.forever,
      );
      yield* Effect.raceFirst(StockContention.mess([yield* stubborn, yield* stubborn]), storm);
      expect(terminated).toBeGreaterThan(0);
      const { rows } = yield* Effect.promise(() =>
        admin.query<{ wrong: number }>(
          `select count(*)::int as wrong from "${schema}".stock_skus where held + committed > on_hand + shortage`,
        ),
      );
      expect(rows).toEqual([{ wrong: 0 }]);
    }).pipe(Effect.scoped, Effect.runPromise));

  test("answers a command that two processes have at once the same in both, although the first one took the last unit", () =>
    Effect.gen(function* () {
      const stock = yield* connect;
      const sku = Sku.make("last-unit");
      const orderId = OrderId.make("twice");
      const lines = [{ sku, quantity: Quantity.make(1) }];
      yield* stock.execute([{ _tag: "Adjust", id: "one", sku, delta: 1 }]);
      // The first process: has written, and is about to commit.
      const rival = new pg.Client({ connectionString: url });
      yield* Effect.promise(() => rival.connect());
      yield* Effect.promise(() =>
        rival.query(`begin;
          insert into "${schema}".stock_holds
            values ('twice', 'held', '[{"sku":"last-unit","quantity":1}]', now() + interval '1 minute', null, now(), now());
          update "${schema}".stock_skus set held = 1 where sku = 'last-unit'`),
      );
      const second = yield* Effect.forkChild(stock.execute([{ _tag: "Reserve", orderId, lines, ttlMillis: 60_000 }]));
      yield* Effect.sleep("300 millis");
      yield* Effect.promise(() => rival.query("commit"));
      yield* Effect.promise(() => rival.end());
      expect(yield* Fiber.join(second)).toMatchObject([{ _tag: "Success", success: { _tag: "Reserved", orderId } }]);
    }).pipe(Effect.scoped, Effect.runPromise));

  test("grants whole batches at once, until a SKU falls short, and holds exactly what it has answered, dated as answered", () =>
    Effect.gen(function* () {
      const engines = [yield* connect, yield* connect, yield* connect];
      const skus = Array.from({ length: 12 }, (_, index) => Sku.make(`rush-${index}`));
      const units = 60;
      yield* engines[0]?.execute(skus.map((sku) => ({ _tag: "Adjust", id: `seed-${sku}`, sku, delta: units }))) ?? Effect.void;
      const orders = Array.from({ length: 400 }, (_, index) => ({
        orderId: OrderId.make(`rush-${index}`),
        lines: [index % 12, (index * 5 + 1) % 12, (index * 7 + 2) % 12].flatMap((at) => {
          const sku = skus[at];
          return sku === undefined ? [] : [{ sku, quantity: Quantity.make(1) }];
        }),
      }));
      const answers = yield* Effect.forEach(
        orders,
        ({ orderId, lines }, index) => {
          const engine = engines[index % engines.length];
          return engine === undefined ? Effect.succeed([]) : engine.execute([{ _tag: "Reserve", orderId, lines, ttlMillis: 60_000 }]);
        },
        { concurrency: "unbounded" },
      );
      const granted = answers
        .flat()
        .flatMap((answer) => (Result.isSuccess(answer) && answer.success._tag === "Reserved" ? [answer.success] : []));
      expect(granted.length).toBeGreaterThan(0);
      expect(granted.length).toBeLessThan(orders.length);
      const { rows } = yield* Effect.promise(() =>
        admin.query<{ id: string; until: number; held_for: number }>(
          `select order_id as id, round(extract(epoch from until) * 1000)::float8 as until,
             round(extract(epoch from until - reserved_at) * 1000)::float8 as held_for
           from "${schema}".stock_holds where order_id like 'rush-%' order by order_id collate "C"`,
        ),
      );
      const told = granted.map(({ orderId, until }) => ({ id: orderId, until, held_for: 60_000 }));
      expect(rows).toEqual(told.toSorted((left, right) => (left.id < right.id ? -1 : 1)));
      const balances = yield* engines[1]?.balances(skus) ?? Effect.succeed(new Map<Sku, StockBalance>());
      for (const sku of skus) {
        const held = granted.flatMap(({ lines }) => lines).reduce((sum, line) => sum + (line.sku === sku ? line.quantity : 0), 0);
        expect(balances.get(sku)).toMatchObject({ onHand: units, held, available: units - held });
      }
    }).pipe(Effect.scoped, Effect.runPromise));

  test("answers a batch whose orders are known, whose SKU is not, or that names an order twice, as the ledger does", () =>
    Effect.gen(function* () {
      const stock = yield* connect;
      const sku = Sku.make("once");
      yield* stock.execute([{ _tag: "Adjust", id: "once", sku, delta: 5 }]);
      const reserve = (id: string, of = sku, quantity = 1) =>
        ({
          _tag: "Reserve",
          orderId: OrderId.make(id),
          lines: [{ sku: of, quantity: Quantity.make(quantity) }],
          ttlMillis: 60_000,
        }) as const;
      const word = (answer: StockLedger.Answer) => (Result.isSuccess(answer) ? answer.success._tag : answer.failure._tag);
      const ask = (...commands: ReadonlyArray<StockCommand>) => Effect.map(stock.execute(commands), (answers) => answers.map(word));
      expect(yield* ask(reserve("once-a"), reserve("once-a"), reserve("once-b"))).toEqual(["Reserved", "Reserved", "Reserved"]);
      expect(yield* ask(reserve("once-a"), reserve("once-c", Sku.make("never")))).toEqual(["Reserved", "UnknownSku"]);
      expect(yield* ask(reserve("once-d", sku, 3), reserve("once-e", sku, 1))).toEqual(["Reserved", "OutOfStock"]);
      expect(yield* ask({ _tag: "Release", orderId: OrderId.make("once-d") }, reserve("once-e"))).toEqual(["Released", "Reserved"]);
      expect((yield* stock.balances([sku])).get(sku)).toMatchObject({ onHand: 5, held: 3, available: 2 });
    }).pipe(Effect.scoped, Effect.runPromise));

  describe("changes the books of a batch in the order of its list, so that no two batches wait for each other: joined", () => {
    const skus = ["a", "b", "c", "d", "e", "f", "g", "h"];
    beforeAll(() => Effect.runPromise(Effect.scoped(Effect.asVoid(connect))));
    const inOrder = async (planner: string) => {
      const tables = `"${schema}_order".`;
      await admin.query(`create schema "${schema}_order";
        create table ${tables}stock_skus (like "${schema}".stock_skus including all);
        create table ${tables}stock_holds (like "${schema}".stock_holds including all);
        insert into ${tables}stock_skus (sku, on_hand, held, committed, shortage, changed_at)
          select sku, 9, 0, 0, 0, now() from unnest('{f,b,h,d,a,g,c,e}'::text[]) as sku union all
          select 'other-' || n, 9, 0, 0, 0, now() from generate_series(1, 40) as n;
        analyze ${tables}stock_skus;
        set enable_seqscan = off; ${planner}`);
      try {
        const units = skus.map(() => 1);
        const { rows } = await admin.query<{ at: number }>(statements(tables).reserve, [skus, units, ["o"], "[]", [60_000]]);
        expect(rows).toEqual([{ at: expect.any(Number) }]);
        // All are on one page, where a new version lies behind those before it: the order of places is the order of changes.
        const { rows: changed } = await admin.query<{ sku: string }>(`select sku from ${tables}stock_skus where held > 0 order by ctid`);
        expect(changed.map(({ sku }) => sku)).toEqual(skus);
      } finally {
        await admin.query(`reset all; drop schema "${schema}_order" cascade`);
      }
    };
    test("as the planner likes", () => inOrder(""));
    test("one by one", () => inOrder("set enable_hashjoin = off; set enable_mergejoin = off"));
    test("by hash", () => inOrder("set enable_nestloop = off; set enable_mergejoin = off"));
    test("by merging", () => inOrder("set enable_nestloop = off; set enable_hashjoin = off"));
    test("by a plan for any list", () => inOrder("set plan_cache_mode = force_generic_plan"));
  });

  test("finds expired holds by an index", async () => {
    await admin.query("set enable_seqscan = off");
    const { rows } = await admin.query<{ "QUERY PLAN": string }>(
      `explain select order_id from "${schema}".stock_holds where status = 'held' and until <= now() order by until, order_id limit 10`,
    );
    expect(rows.map((row) => row["QUERY PLAN"]).join("\n")).toContain("stock_holds_live_idx");
    await admin.query("reset enable_seqscan");
  });
});

/** A caller as the port wants it: the same list again until there is an answer. */
const untilKnown =
  <A, B>(call: (input: A) => Effect.Effect<B, StoreError>) =>
  (input: A): Effect.Effect<B, StoreError> =>
    Effect.retry(call(input), { while: (error) => error.isRetryable || error.reason === "Unknown" });
