/**
 * DBOS: a workflow of four steps an order. Each step's outcome is in PostgreSQL before the next one begins.
 */
import { DBOS } from "@dbos-inc/dbos-sdk";
import pg from "pg";
import { order, STEPS } from "../src/saga/Workload.ts";
import * as Serve from "../src/Serve.ts";

/** Connections; of 10, 20 and 40 as good as any. */
const POOL = Number(process.env.BENCH_DBOS_POOL ?? 20);

const url = new URL(process.env.BENCH_PG_URL);
url.pathname = "/dbos";
const admin = new pg.Client(process.env.BENCH_PG_URL);
await admin.connect();
await admin.query("create database dbos");
await admin.end();

DBOS.setConfig({ name: "bench", systemDatabaseUrl: url.href, systemDatabasePoolSize: POOL, logLevel: "error", runAdminServer: false });

/** How often each step ran. */
const ran = Object.fromEntries(STEPS.map((name) => [name, 0]));

const steps = STEPS.map((name) => ({
  name,
  run: async ({ id }) => {
    ran[name] += 1;
    return { id, at: Date.now() };
  },
}));

const checkout = DBOS.registerWorkflow(
  async (placed) => {
    for (const { name, run } of steps) await DBOS.runStep(() => run(placed), { name });
    return placed.id;
  },
  { name: "checkout" },
);

await DBOS.launch();
const pool = new pg.Pool({ connectionString: url.href, max: 1 });

Serve.serve({
  run: ({ millis, inFlight, round }) =>
    Serve.forAWhile(inFlight, millis, async (n) => {
      const id = `${round}-${n}`;
      // Called, not started: a handle's result is asked for by polling.
      await DBOS.withNextWorkflowID(id, () => checkout(order(id)));
    }),
  audit: async () => {
    const count = async (text) => (await pool.query(text)).rows[0].count;
    const completed = await count("select count(*)::int as count from dbos.workflow_status where status = 'SUCCESS'");
    const outcomes = await count("select count(*)::int as count from dbos.operation_outputs");
    return { completed, instances: outcomes / STEPS.length, ...ran };
  },
});
