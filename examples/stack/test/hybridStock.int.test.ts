import { randomBytes } from "node:crypto";
import { OrderId, Quantity, Sku, StockReservation } from "@org/saga-core";
import { Contract, StockContention, StockReservationContract } from "@org/saga-core/testing";
import { PgClient } from "@org/saga-postgres";
import { startRedis } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer, Result, Schedule } from "effect";
import { Redis } from "ioredis";
import { afterAll, describe, expect, test } from "vitest";
import * as HybridSale from "./HybridSale.ts";

const postgresUrl = realServer("postgres");
const redisUrl = realServer("redis");

/** Longer than a log has to answer before it serves again. */
const HANGS_MS = 3_000;

describe.runIf(postgresUrl !== null && redisUrl !== null)("HybridStock on Redis and PostgreSQL", () => {
  const schema = `hybrid_${randomBytes(4).toString("hex")}`;
  const place = { postgresUrl: postgresUrl ?? "", redisUrl: redisUrl ?? "", schema };
  const query = (text: string) =>
    Effect.flatMap(PgClient.PgClient, (client) => client.query<{ readonly engine: string }>("test", text)).pipe(
      Effect.provide(PgClient.layer({ url: place.postgresUrl, schema, poolSize: 1 })),
      Effect.runPromise,
    );

  afterAll(async () => {
    await query(`drop schema if exists "${schema}" cascade`);
  });

  describe("keeps the contract of StockReservation: it", () => {
    for (const { name, run } of StockReservationContract.cases) {
      test(name, async () => {
        await Effect.runPromise(Effect.provide(run, HybridSale.layer(place)));
        expect((await query(`select engine from "${schema}".stock_shards`)).rows).toEqual([{ engine: "log" }]);
      });
    }
  });

  describe("in three processes: three", () => {
    // One after the other in one process: what the ledger has answered another process, the log may hear a little later.
    const rivalry = StockContention.rivalry.filter(({ name }) => !name.includes("one after the other"));
    for (const { name, run } of rivalry) {
      test(name, () =>
        Effect.gen(function* () {
          const durable = (it: typeof place) =>
            Effect.flatMap(Layer.build(Layer.fresh(HybridSale.layer(it, { durable: true }))), (context) =>
              Effect.provide(StockReservation, context),
            );
          const rivals = [yield* durable(place), yield* durable(place), yield* durable(place)];
          yield* Effect.provideService(run, StockContention.Rivals, rivals);
        }).pipe(
          Effect.scoped,
          Effect.provideService(Contract.Wait, (millis) => Effect.sleep(millis)),
          Effect.runPromise,
        ),
      );
    }
  });

  test("durable: has each hold in PostgreSQL when its buyer is told of it, however often Redis is flushed or killed", async () => {
    const redis = await startRedis();
    const admin = new Redis(redis.url, { maxRetriesPerRequest: null });
    admin.on("error", () => undefined);
    const flush = () => admin.flushall();
    const restart = () => redis.kill().then(redis.restart);
    const faults = new Map<number, () => Promise<unknown>>([
      [20, flush],
      [40, flush],
      [60, restart],
      [90, flush],
    ]);
    const own = { ...place, redisUrl: redis.url, schema: `${schema}_durable` };
    const apple = Sku.make("apple");
    const lines = [{ sku: apple, quantity: Quantity.make(1) }];
    await Effect.gen(function* () {
      const engine = yield* StockReservation;
      const client = yield* PgClient.PgClient;
      yield* engine.execute([{ _tag: "Adjust", id: "first", sku: apple, delta: 100 }]);
      let answered = 0;
      const buy = Effect.fnUntraced(function* (number: number) {
        const orderId = OrderId.make(`buyer-${number}`);
        const [answer] = yield* Effect.retry(engine.execute([{ _tag: "Reserve", orderId, lines, ttlMillis: 600_000 }]), { times: 100 });
        const { rows } = yield* client.query("test", `select status from "${own.schema}".stock_holds where order_id = $1`, [orderId]);
        const isTold = answer !== undefined && Result.isSuccess(answer);
        expect([orderId, rows]).toEqual([orderId, isTold ? [{ status: "held" }] : []]);
        answered += 1;
        yield* Effect.promise(() => faults.get(answered)?.() ?? Promise.resolve());
        return isTold;
      });
      const buyers = Array.from({ length: 120 }, (_, number) => number);
      const told = yield* Effect.forEach(buyers, buy, { concurrency: 8 });
      expect(told.filter((isTold) => isTold).length).toBe(100);
      yield* client.query("test", `drop schema "${own.schema}" cascade`);
    }).pipe(
      Effect.provide(
        Layer.merge(HybridSale.layer(own, { durable: true }), PgClient.layer({ url: own.postgresUrl, schema: own.schema, poolSize: 2 })),
      ),
      Effect.runPromise,
    );
    admin.disconnect();
    await redis.stop();
  });

  test(
    "sells from the ledger while Redis hangs with its connections open, and from the log again afterwards",
    { timeout: 60_000 },
    async () => {
      const redis = await startRedis();
      const own = { ...place, redisUrl: redis.url, schema: `${schema}_hangs` };
      const apple = Sku.make("apple");
      const client = PgClient.layer({ url: own.postgresUrl, schema: own.schema, poolSize: 2 });
      await Effect.gen(function* () {
        const engine = yield* StockReservation;
        const books = yield* PgClient.PgClient;
        const serves = Effect.map(
          books.query<{ readonly engine: string }>("test", `select engine from "${own.schema}".stock_shards`),
          ({ rows }) => rows[0]?.engine,
        );
        const until = (wanted: string) => Effect.repeat(serves, { until: (engine) => engine === wanted, schedule: Schedule.spaced(20) });
        let sold = 0;
        const sell = Effect.suspend(() => {
          const orderId = OrderId.make(`order-${(sold += 1)}`);
          const lines = [{ sku: apple, quantity: Quantity.make(1) }];
          return Effect.map(engine.execute([{ _tag: "Reserve", orderId, lines, ttlMillis: 600_000 }]), (answers) =>
            expect(answers).toMatchObject([{ success: { _tag: "Reserved" } }]),
          );
        });
        yield* engine.execute([{ _tag: "Adjust", id: "first", sku: apple, delta: 1_000 }]);
        yield* until("log");
        yield* sell;
        yield* Effect.promise(() => redis.kill("SIGSTOP"));
        // Long after a log that answers would serve again.
        const end = performance.now() + 2 * HANGS_MS;
        while (performance.now() < end) {
          yield* sell;
          yield* Effect.sleep(50);
          if (performance.now() > end - HANGS_MS) expect(yield* serves).toBe("ledger");
        }
        yield* Effect.promise(() => redis.kill("SIGCONT"));
        yield* until("log");
        yield* sell;
        expect((yield* engine.balances([apple])).get(apple)).toMatchObject({ onHand: 1_000, held: sold });
      }).pipe(
        Effect.provide(Layer.merge(HybridSale.layer(own), client)),
        Effect.ensuring(Effect.promise(() => redis.stop())),
        Effect.runPromise,
      );
      await query(`drop schema "${own.schema}" cascade`);
    },
  );
});
