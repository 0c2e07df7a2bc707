/**
 * `outbox`: a message that leaves with its business row, and is handled exactly once, against pg-boss and graphile-worker on the
 * same server, rounds in turn.
 *
 * - enqueue: requests per second, 64 in flight, each a business row and a message, durable together.
 * - drain: messages per second out of a backlog, each leaving one effect, a row of its own.
 * - latency: from the answer to the request until its message's handler begins, p50 at 100 requests a second.
 */
import { startPostgres } from "@tools/servers";
import { analyze } from "../Analyze.ts";
import * as Contender from "../Contender.ts";
import * as Peers from "../Peers.ts";
import { type Report, round } from "../Report.ts";
import { type Options, ratio, reportOf, type Rounds } from "../Rounds.ts";

const FILES = { ours: "./outbox/ours.main.ts", pgboss: "../peers/pgBoss.mjs", graphile: "../peers/graphileWorker.mjs" };
type Name = keyof typeof FILES;
const names: ReadonlyArray<Name> = ["ours", "pgboss", "graphile"];

const IN_FLIGHT = 64;
/** Low enough for all to keep up: waiting for others is not what is measured. */
const LATENCY_PER_SECOND = 100;

/** An odd number of rounds has a median that was measured. */
const ROUNDS = { full: 7, quick: 5 };
const ENQUEUE_MS = { full: 3_000, quick: 1_000 };
const LATENCY_MS = { full: 3_000, quick: 1_000 };
/** Enough for full batches of each of the 64 shards. */
const BACKLOG = { full: 50_000, quick: 25_000 };

/** A backlog that is not drained by then is lost. */
const AT_MOST_MS = 120_000;

export const run = async ({ quick, say }: Options): Promise<Report> => {
  const size = quick ? "quick" : "full";
  await Peers.install(say);
  const postgres = await startPostgres();
  const started: Array<Contender.Contender> = [];
  try {
    const contenders = await startAll(postgres.url, started);
    const enqueued: Rounds<Name> = { ours: [], pgboss: [], graphile: [] };
    const drained: Rounds<Name> = { ours: [], pgboss: [], graphile: [] };
    const latency: Rounds<Name> = { ours: [], pgboss: [], graphile: [] };
    let violations = 0;
    // Round 0 warms up: code is compiled, files have grown.
    for (let index = 0; index <= ROUNDS[size]; index++) {
      const into = index === 0 ? { enqueued: empty(), drained: empty(), latency: empty() } : { enqueued, drained, latency };
      for (const name of names) violations += await enqueue(contenders[name], index, ENQUEUE_MS[size], into.enqueued[name]);
      for (const name of names) violations += await drain(contenders[name], index, BACKLOG[size], into.drained[name]);
      for (const name of names) violations += await measureLatency(contenders[name], index, LATENCY_MS[size], into.latency[name]);
      say(
        `round ${index}: ${names.map((name) => `${name} ${describe(into.enqueued[name], into.drained[name], into.latency[name])}`).join(" · ")}`,
      );
      if (index === 0) await analyze(postgres.url);
    }
    return report(enqueued, drained, latency, violations);
  } finally {
    for (const each of started) each.stop();
    await postgres.stop();
  }
};

const startAll = async (url: string, started: Array<Contender.Contender>): Promise<Record<Name, Contender.Contender>> => {
  const one = async (name: Name): Promise<Contender.Contender> => {
    const contender = await Contender.start(FILES[name], url);
    started.push(contender);
    return contender;
  };
  return { ours: await one("ours"), pgboss: await one("pgboss"), graphile: await one("graphile") };
};

const empty = (): Rounds<Name> => ({ ours: [], pgboss: [], graphile: [] });

/** Every request that was answered has its row and its message. */
const enqueue = async (contender: Contender.Contender, index: number, millis: number, into: Array<number>): Promise<number> => {
  const { done = Number.NaN, seconds = Number.NaN } = await contender.ask("enqueue", { round: index, millis, inFlight: IN_FLIGHT });
  into.push(done / seconds);
  return audit(contender, { business: done, waiting: done });
};

/** Every message has exactly one effect, and none is left. */
const drain = async (contender: Contender.Contender, index: number, count: number, into: Array<number>): Promise<number> => {
  await contender.ask("fill", { round: index, count });
  const { seconds = Number.NaN } = await contender.ask("drain", { count, atMostMillis: AT_MOST_MS });
  into.push(count / seconds);
  return audit(contender, { effects: count, waiting: 0 });
};

const measureLatency = async (contender: Contender.Contender, index: number, millis: number, into: Array<number>): Promise<number> => {
  const input = { round: index, perSecond: LATENCY_PER_SECOND, millis, atMostMillis: AT_MOST_MS };
  const { count = Number.NaN, p50Millis = Number.NaN } = await contender.ask("latency", input);
  into.push(p50Millis);
  return audit(contender, { business: count, effects: count, waiting: 0 });
};

/** How many of the counts are not what they have to be; then the tables are emptied. */
const audit = async (contender: Contender.Contender, expected: Readonly<Record<string, number>>): Promise<number> => {
  const found = await contender.ask("audit");
  await contender.ask("clear");
  return Object.entries(expected).filter(([name, count]) => found[name] !== count).length;
};

const describe = (enqueued: ReadonlyArray<number>, drained: ReadonlyArray<number>, latency: ReadonlyArray<number>): string =>
  `enqueues ${Math.round(enqueued.at(-1) ?? 0)}/s, drains ${Math.round(drained.at(-1) ?? 0)}/s, p50 ${round(latency.at(-1) ?? 0)} ms`;

const report = (enqueued: Rounds<Name>, drained: Rounds<Name>, latency: Rounds<Name>, violations: number): Report =>
  reportOf(
    "outbox",
    {
      enqueue_vs_pgboss: ratio(enqueued.ours, enqueued.pgboss),
      enqueue_vs_graphile: ratio(enqueued.ours, enqueued.graphile),
      drain_vs_pgboss: ratio(drained.ours, drained.pgboss),
      drain_vs_graphile: ratio(drained.ours, drained.graphile),
      latency_vs_pgboss: ratio(latency.ours, latency.pgboss),
      latency_vs_graphile: ratio(latency.ours, latency.graphile),
    },
    Object.fromEntries(
      names.flatMap((name) => [
        [`${name}_enqueue_per_second`, enqueued[name].map(Math.round)],
        [`${name}_drain_per_second`, drained[name].map(Math.round)],
        [`${name}_latency_p50_ms`, latency[name]],
      ]),
    ),
    violations,
  );
