/**
 * graphile-worker, as strong as it can be set.
 *
 * Enqueue: `add_job` in the transaction of the business row. Handle: jobs are fetched into a local queue and completed in batches;
 * the effects of the tasks that run at a time are written by one statement. A task may run twice, so its effect is written once.
 */
import { Logger, run } from "graphile-worker";
import * as Workload from "../src/outbox/Workload.ts";
import * as OutboxPeer from "./outboxPeer.mjs";

const SCHEMA = "peer_graphile";
const TASK = "placed";

/** Tasks at a time, and jobs fetched at once. */
const CONCURRENT = Number(process.env.BENCH_GRAPHILE_CONCURRENT ?? 200);
const LOCAL_QUEUE = Number(process.env.BENCH_GRAPHILE_QUEUE ?? 500);
/** How long a completed job waits for others, to be completed with them, in milliseconds. */
const COMPLETE_DELAY_MS = Number(process.env.BENCH_GRAPHILE_DELAY ?? 0);

const { connectionString, POOL, pool } = OutboxPeer;
for (const text of Workload.tables(SCHEMA)) await pool.query(text);

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
    OutboxPeer.began([id]);
    await effect(id);
    OutboxPeer.wereHandled(1);
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
  const runner = await run({ preset, taskList, noHandleSignals: true });
  try {
    return await body();
  } finally {
    await runner.stop();
  }
};
// Makes the tables.
await working(async () => undefined);

const ADD_JOB = `select ${SCHEMA}.add_job('${TASK}', $1::json)`;
const ADD_JOBS = `select count(*) from ${SCHEMA}.add_jobs(array(
  select row('${TASK}', payload::json, null, null, null, null, null, null)::${SCHEMA}.job_spec from unnest($1::text[]) as p(payload)))`;

OutboxPeer.serve({
  schema: SCHEMA,
  jobs: `${SCHEMA}._private_jobs`,
  send: (client, item) => client.query({ name: "add_job", text: ADD_JOB, values: [JSON.stringify(item)] }),
  sendAll: (items) => pool.query(ADD_JOBS, [items.map((item) => JSON.stringify(item))]),
  working,
});
