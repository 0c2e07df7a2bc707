/**
 * `orders`: accepted orders per second over HTTP, durable in PostgreSQL, at 64 connections: group commit against a
 * transaction a request and against one hand-written statement a request. Same HTTP layer, same tables, same server, rounds
 * in turn. Latencies are compared at 70 % of what the peer can do.
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
const ROUND_MS = { full: 6_000, quick: 1_500 };
const WARM_UP_MS = { full: 3_000, quick: 1_500 };

const CONTENDERS = { group_commit: "groupCommit.main.ts", transaction: "transaction.main.ts", statement: "statement.main.ts" };
type Contender = keyof typeof CONTENDERS;
type Peer = Exclude<Contender, "group_commit">;

/** Latencies are compared at this part of a peer's own rate: what one plans for, and a load that both bear. */
const EQUAL_LOAD = 0.7;

type Rounds = Record<Contender, Array<LoadClient.Measured>>;

export const run = async ({ quick, say }: Options): Promise<Report> => {
  const size = quick ? "quick" : "full";
  const postgres = await startPostgres();
  const started: Array<ChildProcess> = [];
  try {
    const ports = { group_commit: 0, transaction: 0, statement: 0 };
    for (const name of names) ports[name] = await start(CONTENDERS[name], postgres.url, started);
    const placed = { group_commit: 0, transaction: 0, statement: 0 };
    let wrong = 0;
    /** One round: each contender in turn. */
    const round1 = async (
      contenders: ReadonlyArray<Contender>,
      millis: number,
      perSecond: number | null,
      into: Rounds,
    ): Promise<string> => {
      const said: Array<string> = [];
      for (const name of contenders) {
        const measured = await LoadClient.run(loadOf(ports[name], millis, name, perSecond));
        placed[name] += measured.done;
        wrong += measured.wrong;
        into[name].push(measured);
        said.push(`${name} ${describe(measured)}`);
      }
      return said.join(" · ");
    };
    await round1(names, WARM_UP_MS[size], null, emptyRounds());
    const full = emptyRounds();
    for (let index = 1; index <= ROUNDS[size]; index++) {
      say(`round ${index}, as fast as it goes: ${await round1(names, ROUND_MS[size], null, full)}`);
    }
    const equal: Record<Peer, Rounds> = { transaction: emptyRounds(), statement: emptyRounds() };
    for (const peer of peers) {
      const load = Math.round(EQUAL_LOAD * median(full[peer].map(rate)));
      for (let index = 1; index <= ROUNDS[size]; index++) {
        say(`round ${index}, ${load}/s each: ${await round1(["group_commit", peer], ROUND_MS[size], load, equal[peer])}`);
      }
    }
    let missing = 0;
    for (const name of names) missing += await audit(postgres.url, name, placed[name]);
    return report(full, equal, wrong + missing);
  } finally {
    for (const child of started) child.kill("SIGKILL");
    await postgres.stop();
  }
};

const peers: ReadonlyArray<Peer> = ["transaction", "statement"];
const names: ReadonlyArray<Contender> = ["group_commit", ...peers];

const emptyRounds = (): Rounds => ({ group_commit: [], transaction: [], statement: [] });

const rate = ({ perSecond }: LoadClient.Measured): number => perSecond;
const p99 = ({ p99Millis }: LoadClient.Measured): number => p99Millis;

const report = (full: Rounds, equal: Record<Peer, Rounds>, violations: number): Report => {
  const against = (rounds: Rounds, peer: Peer, value: (measured: LoadClient.Measured) => number): ReadonlyArray<number> =>
    rounds.group_commit.map((mine, index) => {
      const other = rounds[peer][index];
      return other === undefined ? Number.NaN : value(mine) / value(other);
    });
  const ratios = {
    vs_tx: against(full, "transaction", rate),
    vs_cte: against(full, "statement", rate),
    p99_vs_tx: against(equal.transaction, "transaction", p99),
    p99_vs_cte: against(equal.statement, "statement", p99),
  };
  const entries = Object.entries(ratios);
  return {
    bench: "orders",
    ratios: Object.fromEntries(entries.map(([name, values]) => [name, round(median(values))])),
    absolute: {
      per_second: Math.round(median(full.group_commit.map(rate))),
      tx_per_second: Math.round(median(full.transaction.map(rate))),
      cte_per_second: Math.round(median(full.statement.map(rate))),
      p95_ms: round(median(full.group_commit.map(({ p95Millis }) => p95Millis))),
      p99_ms: round(median(full.group_commit.map(p99))),
      at_tx_load_p99_ms: round(median(equal.transaction.group_commit.map(p99))),
      tx_at_tx_load_p99_ms: round(median(equal.transaction.transaction.map(p99))),
      at_cte_load_p99_ms: round(median(equal.statement.group_commit.map(p99))),
      cte_at_cte_load_p99_ms: round(median(equal.statement.statement.map(p99))),
    },
    spread: Object.fromEntries(entries.map(([name, values]) => [name, spread(values)])),
    violations,
  };
};

const describe = ({ perSecond, p99Millis }: LoadClient.Measured): string => `${Math.round(perSecond)}/s (p99 ${round(p99Millis)} ms)`;

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

const loadOf = (port: number, durationMillis: number, name: string, perSecond: number | null): LoadClient.Load => {
  const run = `${name}-${Math.round(performance.now())}`;
  return {
    target: { host: HOST, port },
    connections: CONNECTIONS,
    durationMillis,
    perSecond,
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
