/**
 * What pg-boss and graphile-worker are asked to do alike. A peer brings what is its own: how a message is sent in the transaction of
 * a request, how a backlog is filled, and how its workers are run; they tell what they began and handled.
 */
import pg from "pg";
import * as Serve from "../src/Serve.ts";
import * as Workload from "../src/outbox/Workload.ts";

/** Connections of the requests, and of the workers. */
export const POOL = 16;

/** Messages of one call that fills a backlog. */
const FILL_BATCH = 5_000;

export const connectionString = process.env.BENCH_PG_URL;
export const pool = new pg.Pool({ connectionString, max: POOL });

const begun = new Map();
let handled = 0;

/** The handler of these has begun. */
export const began = (ids) => {
  const now = performance.now();
  for (const id of ids) begun.set(id, now);
};

/** The effects of so many more are durable. */
export const wereHandled = (count) => {
  handled += count;
};

/**
 * Serves the commands of the bench.
 *
 * - `schema`: where the tables of `Workload` are.
 * - `jobs`: the peer's table of messages, `waiting`: which of them are not handled yet.
 * - `send(client, item)`: in the open transaction of `client`. `sendAll(items)`: durable when it ends.
 * - `working(body)`: runs `body` while the peer's workers work.
 */
export const serve = ({ schema, jobs, waiting = "true", send, sendAll, working }) => {
  const request = async (item) => {
    const client = await pool.connect();
    try {
      await client.query("begin");
      await client.query({ name: "business", text: Workload.insertOne(schema), values: [item.id, item.customer, item.amount] });
      await send(client, item);
      await client.query("commit");
    } finally {
      client.release();
    }
  };
  const afresh = (body) => {
    handled = 0;
    begun.clear();
    return working(body);
  };
  const count = async (table, where = "true") => (await pool.query(`${Workload.count(table)} where ${where}`)).rows[0].count;

  Serve.serve({
    enqueue: ({ millis, inFlight, round }) => Serve.forAWhile(inFlight, millis, (n) => request(Workload.business(`${round}`, n))),
    fill: async ({ count, round }) => {
      const all = Array.from({ length: count }, (_, n) => Workload.business(`${round}`, n));
      for (let from = 0; from < count; from += FILL_BATCH) await sendAll(all.slice(from, from + FILL_BATCH));
      return {};
    },
    drain: ({ count, atMostMillis }) => {
      const start = performance.now();
      return afresh(async () => {
        await Serve.until(() => handled >= count, atMostMillis);
        return { seconds: (performance.now() - start) / 1_000 };
      });
    },
    latency: ({ perSecond, millis, round, atMostMillis }) =>
      afresh(async () => {
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
      business: await count(`${schema}.business`),
      effects: await count(`${schema}.effects`),
      waiting: await count(jobs, waiting),
    }),
    clear: async () => {
      await pool.query(`truncate ${jobs} cascade`);
      await pool.query(Workload.clear(schema));
      return {};
    },
  });
};
