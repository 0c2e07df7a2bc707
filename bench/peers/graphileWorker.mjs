/**
 * graphile-worker, as strong as it can be set.
 *
 * Enqueue: `add_job` in the transaction of the business row. Handle: jobs are fetched into a local queue and completed in batches;
 * the effects of the tasks that run at a time are written by one statement. A task may run twice, so its effect is written once.
 */
import { Logger, run } from "graphile-worker";
import pg from "pg";
import * as Serve from "../src/Serve.ts";
import * as Workload from "../src/outbox/Workload.ts";

const SCHEMA = "peer_graphile";
const TASK = "placed";

/** Connections of the requests. */
const POOL = 16;
/** Tasks at a time, and jobs fetched at once. */
const CONCURRENT = Number(process.env.BENCH_GRAPHILE_CONCURRENT ?? 200);
const LOCAL_QUEUE = Number(process.env.BENCH_GRAPHILE_QUEUE ?? 500);
/** How long a completed job waits for others, to be completed with them, in milliseconds. */
const COMPLETE_DELAY_MS = Number(process.env.BENCH_GRAPHILE_DELAY ?? 0);

const connectionString = process.env.BENCH_PG_URL;
const pool = new pg.Pool({ connectionString, max: POOL });
for (const text of Workload.tables(SCHEMA)) await pool.query(text);

const jobs = `${SCHEMA}._private_jobs`;
const ADD_JOB = `select ${SCHEMA}.add_job('${TASK}', $1::json)`;

const request = async (item) => {
  const client = await pool.connect();
  try {
    await client.query("begin");
    await client.query({ name: "business", text: Workload.insertOne(SCHEMA), values: [item.id, item.customer, item.amount] });
    await client.query({ name: "add_job", text: ADD_JOB, values: [JSON.stringify(item)] });
    await client.query("commit");
  } finally {
    client.release();
  }
};

const begun = new Map();
let handled = 0;

/** Effects that wait for the statement that is under way. */
let waiting = [];
let isWriting = false;

const effect = (id) =>
  new Promise((resolve, reject) => {
    waiting.push({ id, resolve, reject });
    if (!isWriting) void writeEffects();
  });

const writeEffects = async () => {
  isWriting = true;
  // Those that begin in the same turn go together.
  await new Promise((resolve) => setImmediate(resolve));
  while (waiting.length > 0) {
    const batch = waiting;
    waiting = [];
    try {
      await pool.query({ name: "effects", text: Workload.effectOnce(SCHEMA), values: [batch.map(({ id }) => id)] });
      for (const { resolve } of batch) resolve();
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
  isWriting = false;
};

const taskList = {
  [TASK]: async ({ id }) => {
    begun.set(id, performance.now());
    await effect(id);
    handled += 1;
  },
};

const preset = {
  worker: {
    connectionString,
    schema: SCHEMA,
    maxPoolSize: POOL,
    concurrentJobs: CONCURRENT,
    localQueue: { size: LOCAL_QUEUE },
    completeJobBatchDelay: COMPLETE_DELAY_MS,
    pollInterval: 500,
    logger: new Logger(() => () => undefined),
  },
};
/** Runs `body` while the worker works. */
const working = async (body) => {
  handled = 0;
  begun.clear();
  const runner = await run({ preset, taskList, noHandleSignals: true });
  try {
    return await body();
  } finally {
    await runner.stop();
  }
};
// Makes the tables.
await working(async () => undefined);

const count = async (table) => (await pool.query(Workload.count(table))).rows[0].count;

Serve.serve({
  enqueue: ({ millis, inFlight, round }) => Serve.forAWhile(inFlight, millis, (n) => request(Workload.business(`${round}`, n))),
  fill: async ({ count, round }) => {
    const all = Array.from({ length: count }, (_, n) => JSON.stringify(Workload.business(`${round}`, n)));
    const text = `select count(*) from ${SCHEMA}.add_jobs(array(select row('${TASK}', payload::json, null, null, null, null, null, null)::${SCHEMA}.job_spec from unnest($1::text[]) as p(payload)))`;
    for (let from = 0; from < count; from += 5_000) await pool.query(text, [all.slice(from, from + 5_000)]);
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
    waiting: await count(jobs),
  }),
  clear: async () => {
    await pool.query(`truncate ${jobs} cascade`);
    await pool.query(Workload.clear(SCHEMA));
    return {};
  },
});
