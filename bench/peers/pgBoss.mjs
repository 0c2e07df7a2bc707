/**
 * pg-boss, as strong as it can be set.
 *
 * Enqueue: `send` on the user's own transaction (its `db` option). Handle: a transactional worker, so that its effects and the
 * completion of its jobs are one commit; full batches are fetched without a pause, and a notification wakes it.
 */
import pg from "pg";
import { PgBoss } from "pg-boss";
import * as Serve from "../src/Serve.ts";
import * as Workload from "../src/outbox/Workload.ts";

const SCHEMA = "peer_pgboss";
const QUEUE = "placed";

/** Connections of the requests. */
const POOL = 16;
/** Jobs fetched, handled and completed at once. */
const BATCH = Number(process.env.BENCH_PGBOSS_BATCH ?? 500);
/** Workers of the queue in this process. */
const WORKERS = Number(process.env.BENCH_PGBOSS_WORKERS ?? 2);

const url = process.env.BENCH_PG_URL;
const pool = new pg.Pool({ connectionString: url, max: POOL });
const boss = new PgBoss({ connectionString: url, schema: SCHEMA, max: POOL, useListenNotify: true, schedule: false });
boss.on("error", (error) => console.error(error));
await boss.start();
// A table of its own, and a notification for each job.
await boss.createQueue(QUEUE, { partition: true, notify: true });
for (const text of Workload.tables(SCHEMA)) await pool.query(text);
const {
  rows: [{ table_name: table }],
} = await pool.query(`select table_name from ${SCHEMA}.queue where name = $1`, [QUEUE]);
const jobs = `${SCHEMA}.${table}`;

const request = async (item) => {
  const client = await pool.connect();
  try {
    await client.query("begin");
    await client.query({ name: "business", text: Workload.insertOne(SCHEMA), values: [item.id, item.customer, item.amount] });
    await boss.send(QUEUE, item, { db: { executeSql: (text, values) => client.query(text, values) } });
    await client.query("commit");
  } finally {
    client.release();
  }
};

const begun = new Map();
let handled = 0;

/** Runs `body` while the workers work. */
const working = async (body) => {
  handled = 0;
  begun.clear();
  const options = {
    transactional: true,
    batchSize: BATCH,
    localConcurrency: WORKERS,
    pollingIntervalSeconds: 0.5,
    burstWhenBatchFull: true,
  };
  await boss.work(QUEUE, options, async (batch, db) => {
    for (const { data } of batch) begun.set(data.id, performance.now());
    await db.executeSql(Workload.effectMany(SCHEMA), [batch.map(({ data }) => data.id)]);
    handled += batch.length;
  });
  try {
    return await body();
  } finally {
    await boss.offWork(QUEUE, { wait: true });
  }
};

const count = async (table, where = "") => (await pool.query(`${Workload.count(table)} ${where}`)).rows[0].count;

Serve.serve({
  enqueue: ({ millis, inFlight, round }) => Serve.forAWhile(inFlight, millis, (n) => request(Workload.business(`${round}`, n))),
  fill: async ({ count, round }) => {
    const all = Array.from({ length: count }, (_, n) => ({ data: Workload.business(`${round}`, n) }));
    for (let from = 0; from < count; from += 5_000) await boss.insert(QUEUE, all.slice(from, from + 5_000));
    return {};
  },
  drain: ({ count, atMostMillis }) => {
    const start = performance.now();
    return working(async () => {
      await Serve.until(() => handled >= count, atMostMillis);
      return { seconds: (performance.now() - start) / 1_000 };
    });
  },
  latency: ({ perSecond, millis, round, atMostMillis }) =>
    working(async () => {
      const committed = new Map();
      const count = await Serve.evenly(perSecond, millis, async (n) => {
        const item = Workload.business(`${round}`, n);
        await request(item);
        committed.set(item.id, performance.now());
      });
      await Serve.until(() => handled >= count, atMostMillis);
      return { count, p50Millis: Serve.p50([...committed].map(([id, at]) => begun.get(id) - at)) };
    }),
  audit: async () => ({
    business: await count(`${SCHEMA}.business`),
    effects: await count(`${SCHEMA}.effects`),
    waiting: await count(jobs, "where state < 'completed'"),
  }),
  clear: async () => {
    await pool.query(`truncate ${jobs}`);
    await pool.query(Workload.clear(SCHEMA));
    return {};
  },
});
