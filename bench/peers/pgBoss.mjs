/**
 * pg-boss, as strong as it can be set.
 *
 * Enqueue: `send` on the user's own transaction (its `db` option). Handle: a transactional worker, so that its effects and the
 * completion of its jobs are one commit; full batches are fetched without a pause, and a notification wakes it.
 */
import { PgBoss } from "pg-boss";
import * as Workload from "../src/outbox/Workload.ts";
import * as OutboxPeer from "./outboxPeer.mjs";

const SCHEMA = "peer_pgboss";
const QUEUE = "placed";

/** Jobs fetched, handled and completed at once. */
const BATCH = Number(process.env.BENCH_PGBOSS_BATCH ?? 500);
/** Workers of the queue in this process. */
const WORKERS = Number(process.env.BENCH_PGBOSS_WORKERS ?? 2);

const { connectionString, POOL, pool } = OutboxPeer;
const boss = new PgBoss({ connectionString, schema: SCHEMA, max: POOL, useListenNotify: true, schedule: false });
boss.on("error", (error) => console.error(error));
await boss.start();
// A table of its own, and a notification for each job.
await boss.createQueue(QUEUE, { partition: true, notify: true });
for (const text of Workload.tables(SCHEMA)) await pool.query(text);
const {
  rows: [{ table_name: table }],
} = await pool.query(`select table_name from ${SCHEMA}.queue where name = $1`, [QUEUE]);

/** Runs `body` while the workers work. */
const working = async (body) => {
  const options = {
    transactional: true,
    batchSize: BATCH,
    localConcurrency: WORKERS,
    pollingIntervalSeconds: 0.5,
    burstWhenBatchFull: true,
  };
  await boss.work(QUEUE, options, async (batch, db) => {
    const ids = batch.map(({ data }) => data.id);
    OutboxPeer.began(ids);
    await db.executeSql(Workload.effectMany(SCHEMA), [ids]);
    OutboxPeer.wereHandled(ids.length);
  });
  try {
    return await body();
  } finally {
    await boss.offWork(QUEUE, { wait: true });
  }
};

OutboxPeer.serve({
  schema: SCHEMA,
  jobs: `${SCHEMA}.${table}`,
  waiting: "state < 'completed'",
  send: (client, item) => boss.send(QUEUE, item, { db: { executeSql: (text, values) => client.query(text, values) } }),
  sendAll: (items) =>
    boss.insert(
      QUEUE,
      items.map((data) => ({ data })),
    ),
  working,
});
