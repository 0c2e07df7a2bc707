/**
 * The stock on PostgreSQL while its server or its processes fail under load. A server of this file's own. After each fault:
 * nothing is oversold, nothing leaks (G1, G2), what was answered is so, and sales go on.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type PostgresServer, startPostgres } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Effect, Fiber } from "effect";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as StockSale from "./StockSale.ts";

/** On a machine that does many other things: seconds on a quiet one. */
const TEST_TIMEOUT_MS = 180_000;

/** Commits before the fault, and after it. */
const SOLD = 60;

const PROCESSES = 4;
const MAIN = fileURLToPath(new URL("sale.main.ts", import.meta.url));

/** Connections ended at random, about half of them each time. */
const TERMINATIONS = 20;
const TERMINATE_EVERY = "50 millis";

interface BooksRow {
  readonly sku: string;
  readonly onHand: number;
  readonly held: number;
  readonly committed: number;
  readonly heldByOrders: number;
  readonly committedByOrders: number;
}

describe.runIf(realServer("postgres") !== null)("the stock on PostgreSQL, when", { timeout: TEST_TIMEOUT_MS }, () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.stop());

  const until = (isSo: () => boolean): Effect.Effect<void> =>
    Effect.suspend(() => (isSo() ? Effect.void : Effect.andThen(Effect.sleep("20 millis"), until(isSo))));

  const query = async <Row extends pg.QueryResultRow>(text: string): Promise<ReadonlyArray<Row>> => {
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    try {
      return (await client.query<Row>(text)).rows;
    } finally {
      await client.end();
    }
  };

  /** All has ended: every unit is where the orders say it is, and what was answered is so. */
  const balance = async (schema: string, units: number, committed: Iterable<string>, released: Iterable<string>) => {
    const rows = await query<BooksRow>(StockSale.BOOKS(schema));
    expect(rows.length).toBe(3);
    for (const row of rows) {
      expect(row).toMatchObject({ onHand: units, held: 0, heldByOrders: 0, committed: row.committedByOrders });
      expect(row.committed).toBeLessThanOrEqual(units);
    }
    const holds = await query<{ readonly id: string; readonly status: string }>(
      `select order_id as id, status from "${schema}".stock_holds where status in ('committed', 'released')`,
    );
    const status = new Map(holds.map(({ id, status: is }) => [id, is]));
    for (const orderId of committed) expect([orderId, status.get(orderId)]).toEqual([orderId, "committed"]);
    for (const orderId of released) expect([orderId, status.get(orderId)]).toEqual([orderId, "released"]);
  };

  const during = (schema: string, fault: Effect.Effect<void>) =>
    Effect.gen(function* () {
      const sale = StockSale.begin();
      const engines = [yield* StockSale.connect(server.url, schema), yield* StockSale.connect(server.url, schema)] as const;
      yield* StockSale.stock(engines[0], StockSale.PLENTY);
      const selling = yield* Effect.forkChild(StockSale.run(engines, sale, "buyer"));
      yield* until(() => sale.committed.size > SOLD);
      yield* fault;
      const before = sale.committed.size;
      yield* until(() => sale.committed.size > before + SOLD);
      yield* Fiber.interrupt(selling);
      yield* StockSale.sweep(engines[1]);
      yield* Effect.promise(() => balance(schema, StockSale.PLENTY, sale.committed, sale.released));
      expect(sale.released.size).toBeGreaterThan(0);
    }).pipe(Effect.scoped, Effect.runPromise);

  const restart = Effect.promise(() => server.restart());

  test("its server is restarted in order", () => during("restarted", restart));

  test("its server is killed, and recovers", () =>
    during(
      "killed",
      Effect.andThen(
        Effect.promise(() => server.kill()),
        restart,
      ),
    ));

  test("its connections are terminated again and again", async () => {
    let terminated = 0;
    const storm = Effect.promise(async () => {
      const rows = await query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'terminated' and random() < 0.5",
      );
      terminated += rows.length;
    });
    await during("terminated", Effect.repeat(Effect.andThen(storm, Effect.sleep(TERMINATE_EVERY)), { times: TERMINATIONS }));
    expect(terminated).toBeGreaterThan(0);
  });

  test("four processes contend for the last units and one of them is killed", async () => {
    const committed: Array<string> = [];
    const refused = new Set<string>();
    const children: Array<ChildProcess> = [];
    const ended = () => children.every((child) => child.exitCode !== null || child.signalCode !== null);
    await Effect.gen(function* () {
      const engine = yield* StockSale.connect(server.url, "contended");
      for (let index = 0; index < PROCESSES; index++) {
        const args = ["--conditions=@org/source", MAIN, server.url, "contended", `p${index}`];
        const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
        children.push(child);
        createInterface({ input: child.stdout }).on("line", (line) => (line.startsWith("-") ? refused.add(line) : committed.push(line)));
      }
      // All of them are up before there is anything to sell.
      yield* until(() => refused.size === PROCESSES);
      yield* StockSale.stock(engine, StockSale.FEW);
      yield* until(() => committed.some((line) => line.startsWith("p0-")));
      children[0]?.kill("SIGKILL");
      const soldOut = Effect.map(engine.allBalances, (balances) => balances.some(({ available }) => available === 0));
      yield* Effect.repeat(Effect.delay(soldOut, "20 millis"), { until: (isSo) => isSo });
      for (const child of children) child.kill("SIGKILL");
      yield* until(ended);
      yield* StockSale.sweep(engine);
      yield* Effect.promise(() => balance("contended", StockSale.FEW, committed, []));
      // What the dead held is for sale again.
      const sale = StockSale.begin();
      const selling = yield* Effect.forkChild(StockSale.run([engine], sale, "afterwards"));
      yield* until(() => sale.committed.size > 0);
      yield* Fiber.interrupt(selling);
    }).pipe(Effect.scoped, Effect.ensuring(Effect.sync(() => children.forEach((child) => void child.kill("SIGKILL")))), Effect.runPromise);
  });
});
