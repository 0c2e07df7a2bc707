/**
 * `orders`: accepted orders per second over HTTP, durable in PostgreSQL, at 64 connections: group commit against a
 * transaction a request. Same HTTP layer, same tables, same server, rounds in turn.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { startPostgres } from "@tools/servers";
import pg from "pg";
import * as LoadClient from "../LoadClient.ts";
import { median, type Report, round, spread } from "../Report.ts";

const CONNECTIONS = 64;
const HOST = "127.0.0.1";

export interface Options {
  readonly quick: boolean;
  readonly say: (line: string) => void;
}

/** An odd number of rounds has a median that was measured. */
const ROUNDS = { full: 7, quick: 5 };
const ROUND_MS = { full: 6_000, quick: 2_500 };
const WARM_UP_MS = { full: 3_000, quick: 1_500 };

export const run = async ({ quick, say }: Options): Promise<Report> => {
  const size = quick ? "quick" : "full";
  const postgres = await startPostgres();
  const started: Array<ChildProcess> = [];
  try {
    const contenders = {
      group_commit: await start("groupCommit.main.ts", postgres.url, started),
      transaction: await start("transaction.main.ts", postgres.url, started),
    };
    const counts = { group_commit: 0, transaction: 0 };
    const round1 = async (name: keyof typeof contenders, millis: number): Promise<LoadClient.Measured> => {
      const measured = await LoadClient.run(loadOf(contenders[name], millis, name));
      counts[name] += measured.done;
      wrong += measured.wrong;
      return measured;
    };
    let wrong = 0;
    await round1("group_commit", WARM_UP_MS[size]);
    await round1("transaction", WARM_UP_MS[size]);
    const ours: Array<LoadClient.Measured> = [];
    const theirs: Array<LoadClient.Measured> = [];
    for (let index = 0; index < ROUNDS[size]; index++) {
      const mine = await round1("group_commit", ROUND_MS[size]);
      const other = await round1("transaction", ROUND_MS[size]);
      ours.push(mine);
      theirs.push(other);
      say(
        `round ${index + 1}: group commit ${describe(mine)} · transaction a request ${describe(other)} · ${round(mine.perSecond / other.perSecond)}`,
      );
    }
    const ratios = ours.map((mine, index) => mine.perSecond / (theirs[index]?.perSecond ?? Number.NaN));
    const missing =
      (await audit(postgres.url, "group_commit", counts.group_commit)) + (await audit(postgres.url, "transaction", counts.transaction));
    return {
      bench: "orders",
      ratios: { vs_tx: round(median(ratios)) },
      absolute: {
        per_second: Math.round(median(ours.map(({ perSecond }) => perSecond))),
        p95_ms: round(median(ours.map(({ p95Millis }) => p95Millis))),
        p99_ms: round(median(ours.map(({ p99Millis }) => p99Millis))),
        tx_per_second: Math.round(median(theirs.map(({ perSecond }) => perSecond))),
        tx_p95_ms: round(median(theirs.map(({ p95Millis }) => p95Millis))),
      },
      spread: { vs_tx: spread(ratios), per_second: spread(ours.map(({ perSecond }) => perSecond)) },
      violations: wrong + missing,
    };
  } finally {
    for (const child of started) child.kill("SIGKILL");
    await postgres.stop();
  }
};

const describe = ({ perSecond, p95Millis }: LoadClient.Measured): string => `${Math.round(perSecond)}/s (p95 ${round(p95Millis)} ms)`;

const start = (file: string, url: string, started: Array<ChildProcess>): Promise<number> =>
  new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL(file, import.meta.url)), { env: { ...process.env, BENCH_PG_URL: url } });
    started.push(child);
    child.once("message", (port) => (typeof port === "number" ? resolve(port) : reject(new Error(`${file} has no port`))));
    child.once("exit", (code) => reject(new Error(`${file} ended with ${code}`)));
  });

const BODY = JSON.stringify({
  lines: [
    { sku: "tshirt", quantity: 2 },
    { sku: "mug", quantity: 1 },
  ],
  paymentMethod: "pm_success",
});

const loadOf = (port: number, durationMillis: number, name: string): LoadClient.Load => {
  const run = `${name}-${Math.round(performance.now())}`;
  return {
    target: { host: HOST, port },
    connections: CONNECTIONS,
    durationMillis,
    expect: 201,
    request: (n) => LoadClient.post("/orders", { "Idempotency-Key": `${run}-${n}`, "X-Customer-Id": `customer-${n % 1_000}` }, BODY),
  };
};

/** Everything that was answered is there, whole: a row in each table for each order, two for its lines. */
const audit = async (url: string, schema: string, answered: number): Promise<number> => {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const count = async (table: string): Promise<number> => {
      const { rows } = await client.query<{ count: number }>(`select count(*)::int as count from ${schema}.${table}`);
      return rows[0]?.count ?? 0;
    };
    const found = [
      await count("orders"),
      (await count("order_lines")) / 2,
      await count("order_history"),
      await count("outbox"),
      await count("idempotency_keys"),
    ];
    return found.filter((rows) => rows !== answered).length;
  } finally {
    await client.end();
  }
};
