/**
 * The hybrid stock engine while its servers fail under load. After each fault: nothing is oversold and nothing leaks in the
 * ledger (G1, G2), what was answered is so, sales went on, and the log serves again.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type PostgresServer, startPostgres, startRedis } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Effect, Fiber } from "effect";
import { Redis } from "ioredis";
import { PgClient } from "@org/saga-postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as HybridSale from "./HybridSale.ts";

/** How long sales are looked at around a fault. */
const SOME_TIME = "700 millis";

const PROCESSES = 4;
const MAIN = fileURLToPath(new URL("sale.main.ts", import.meta.url));

interface Served {
  readonly engine: string;
  readonly generation: number;
}

interface BooksRow {
  readonly sku: string;
  readonly onHand: number;
  readonly held: number;
  readonly committed: number;
  readonly heldByOrders: number;
  readonly committedByOrders: number;
}

describe.runIf(realServer("redis") !== null && realServer("postgres") !== null)("the hybrid stock, when", () => {
  let postgres: PostgresServer;
  let folder: string;
  let schemas = 0;

  beforeAll(async () => {
    postgres = await startPostgres();
    folder = await mkdtemp(join(tmpdir(), "hybrid-stock-"));
  });
  afterAll(async () => {
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** A Redis and a schema of its own. */
  const open = async () => {
    schemas += 1;
    const schema = `sale_${schemas}`;
    const redis = await startRedis({ dataDir: join(folder, schema) });
    const admin = new Redis(redis.url, { maxRetriesPerRequest: null });
    admin.on("error", () => undefined);
    const query = <Row extends object>(text: string) =>
      Effect.flatMap(PgClient.PgClient, (client) => client.query<Row>("test", text)).pipe(
        Effect.map(({ rows }) => rows),
        Effect.provide(PgClient.layer({ url: postgres.url, schema, poolSize: 1 })),
        Effect.scoped,
      );
    const served = Effect.map(
      query<Served>(`select engine, generation::float8 as generation from "${schema}".stock_shards`),
      ([row]) => row,
    );
    return { schema, redis, admin, query, served, place: { postgresUrl: postgres.url, redisUrl: redis.url, schema } };
  };
  type Shop = Awaited<ReturnType<typeof open>>;

  const until = <E>(what: Effect.Effect<boolean, E>): Effect.Effect<void> =>
    Effect.flatMap(
      Effect.orElseSucceed(what, () => false),
      (isSo) =>
        isSo
          ? Effect.void
          : Effect.andThen(
              Effect.sleep("50 millis"),
              Effect.suspend(() => until(what)),
            ),
    );

  /** All has ended: every unit is where the orders say it is, and what was answered is so. */
  const balances = Effect.fnUntraced(function* ({ schema, query }: Shop, committed: Iterable<string>, released: Iterable<string>) {
    const rows = yield* query<BooksRow>(HybridSale.BOOKS(schema));
    expect(rows.length).toBe(3);
    for (const row of rows) {
      expect(row).toMatchObject({ onHand: HybridSale.UNITS, held: 0, heldByOrders: 0, committed: row.committedByOrders });
      expect(row.committed).toBeLessThanOrEqual(row.onHand);
    }
    const holds = yield* query<{ readonly id: string; readonly status: string }>(
      `select order_id as id, status from "${schema}".stock_holds where status in ('committed', 'released')`,
    );
    const status = new Map(holds.map(({ id, status: is }) => [id, is]));
    for (const orderId of committed) expect([orderId, status.get(orderId)]).toEqual([orderId, "committed"]);
    for (const orderId of released) expect([orderId, status.get(orderId)]).toEqual([orderId, "released"]);
  });

  const during = async (fault: (shop: Shop) => Promise<void>) => {
    const shop = await open();
    const sale = HybridSale.begin();
    const sold = Effect.sync(() => sale.committed.size);
    await Effect.gen(function* () {
      const engines = [yield* HybridSale.connect(shop.place), yield* HybridSale.connect(shop.place)] as const;
      yield* HybridSale.stock(engines[0]);
      yield* until(Effect.map(shop.served, (row) => row?.engine === "log"));
      const selling = yield* Effect.forkChild(HybridSale.run(engines, sale, "buyer"));
      yield* until(Effect.map(sold, (count) => count > 50));
      yield* Effect.sleep(SOME_TIME);
      yield* Effect.promise(() => fault(shop));
      const before = yield* sold;
      yield* until(Effect.map(sold, (count) => count > before + 50));
      yield* until(Effect.map(shop.served, (row) => row?.engine === "log"));
      yield* Effect.sleep(SOME_TIME);
      yield* Fiber.interrupt(selling);
      yield* HybridSale.sweep(engines[1]);
      yield* balances(shop, sale.committed, sale.released);
      expect(yield* HybridSale.sells(engines[0], "afterwards")).toBe(true);
    }).pipe(Effect.scoped, Effect.runPromise);
    shop.admin.disconnect();
    await shop.redis.stop();
  };

  const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis));

  const faults: ReadonlyArray<readonly [string, (shop: Shop) => Promise<void>]> = [
    [
      "Redis is killed and restarted empty",
      async ({ redis }) => {
        await redis.kill();
        await redis.restart();
      },
    ],
    [
      "Redis forgets everything (FLUSHALL)",
      async ({ admin }) => {
        await admin.flushall();
      },
    ],
    [
      "Redis is restarted from an old snapshot",
      async ({ redis, admin }) => {
        await admin.save();
        await pause(1_500);
        await redis.kill();
        await redis.restart();
      },
    ],
    [
      "Redis is paused for ten seconds",
      async ({ redis }) => {
        await redis.kill("SIGSTOP");
        await pause(10_000);
        await redis.kill("SIGCONT");
      },
    ],
    [
      "Redis' memory is full",
      async ({ admin }) => {
        await admin.config("SET", "maxmemory", "1");
        await pause(3_000);
        await admin.config("SET", "maxmemory", "0");
      },
    ],
    [
      "a replica is promoted that misses the last writes",
      async ({ redis, admin }) => {
        const replica = await startRedis({ settings: { replicaof: `127.0.0.1 ${redis.port}` } });
        const other = new Redis(replica.url);
        while (!(await other.info("replication")).includes("master_link_status:up")) await pause(20);
        await other.replicaof("NO", "ONE");
        await pause(1_000);
        await redis.stop();
        // It takes over the address.
        await other.config("SET", "port", String(redis.port));
        admin.once("close", () => void replica.stop());
        other.disconnect();
      },
    ],
    [
      "PostgreSQL is restarted",
      async () => {
        await postgres.kill("SIGQUIT");
        await postgres.restart();
      },
    ],
  ];

  for (const [name, fault] of faults) test(`${name}, keeps the books and goes on`, () => during(fault));

  test("four processes sell and one is killed, keeps what they were answered, and leaks nothing", async () => {
    const shop = await open();
    const committed: Array<string> = [];
    const children: Array<ChildProcess> = [];
    await Effect.gen(function* () {
      const engine = yield* HybridSale.connect(shop.place);
      yield* HybridSale.stock(engine);
      for (let index = 0; index < PROCESSES; index++) {
        const args = ["--conditions=@org/source", MAIN, shop.place.postgresUrl, shop.place.redisUrl, shop.schema, `p${index}`];
        const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
        children.push(child);
        createInterface({ input: child.stdout }).on("line", (line) => committed.push(line));
      }
      const countOf = (name: string) => committed.filter((line) => line.startsWith(name)).length;
      yield* until(Effect.sync(() => children.every((_, index) => countOf(`p${index}-`) > 20)));
      children[0]?.kill("SIGKILL");
      const before = committed.length;
      yield* until(Effect.sync(() => committed.length > before + 100));
      for (const child of children) child.kill("SIGKILL");
      yield* until(Effect.sync(() => children.every((child) => child.exitCode !== null || child.signalCode !== null)));
      yield* HybridSale.sweep(engine);
      yield* balances(shop, committed, []);
      expect(yield* HybridSale.sells(engine, "afterwards")).toBe(true);
    }).pipe(Effect.scoped, Effect.ensuring(Effect.sync(() => children.forEach((child) => void child.kill("SIGKILL")))), Effect.runPromise);
    shop.admin.disconnect();
    await shop.redis.stop();
  });
});
