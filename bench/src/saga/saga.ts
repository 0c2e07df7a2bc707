/**
 * `saga`: orders per second through a saga of four steps, against `@dbos-inc/dbos-sdk` on the same server, rounds in turn. With
 * both, a step begins only when the outcome of the one before it is in PostgreSQL. The steps do nothing but count, so that the
 * durability is what is measured.
 */
import { startPostgres } from "@tools/servers";
import { analyze } from "../Analyze.ts";
import * as Contender from "../Contender.ts";
import * as Peers from "../Peers.ts";
import type { Report } from "../Report.ts";
import { type Options, ratio, reportOf, type Rounds } from "../Rounds.ts";
import { STEPS } from "./Workload.ts";

const FILES = { ours: "./saga/ours.main.ts", dbos: "../peers/dbos.mjs" };
type Name = keyof typeof FILES;
const names: ReadonlyArray<Name> = ["ours", "dbos"];

/** Orders at a time, for both: of 16, 64 and 256 the best for DBOS. */
const IN_FLIGHT = 256;

/** An odd number of rounds has a median that was measured. */
const ROUNDS = { full: 7, quick: 5 };
const ROUND_MS = { full: 5_000, quick: 1_500 };

export const run = async ({ quick, say }: Options): Promise<Report> => {
  const size = quick ? "quick" : "full";
  await Peers.install(say);
  const postgres = await startPostgres();
  const started: Array<Contender.Contender> = [];
  try {
    const one = async (name: Name): Promise<Contender.Contender> => {
      const contender = await Contender.start(FILES[name], postgres.url);
      started.push(contender);
      return contender;
    };
    const contenders = { ours: await one("ours"), dbos: await one("dbos") };
    const rates: Rounds<Name> = { ours: [], dbos: [] };
    const total = { ours: 0, dbos: 0 };
    // Round 0 warms up: code is compiled, files have grown.
    for (let index = 0; index <= ROUNDS[size]; index++) {
      const said: Array<string> = [];
      for (const name of names) {
        const input = { round: index, millis: ROUND_MS[size], inFlight: IN_FLIGHT };
        const { done = Number.NaN, seconds = Number.NaN } = await contenders[name].ask("run", input);
        total[name] += done;
        if (index > 0) rates[name].push(done / seconds);
        said.push(`${name} ${Math.round(done / seconds)}/s`);
      }
      say(`round ${index}: ${said.join(" · ")}`);
      if (index === 0) await analyze(postgres.url);
    }
    const violations = (await audit(contenders.ours, total.ours)) + (await audit(contenders.dbos, total.dbos));
    return reportOf(
      "saga",
      { vs_dbos: ratio(rates.ours, rates.dbos) },
      { per_second: rates.ours.map(Math.round), dbos_per_second: rates.dbos.map(Math.round) },
      violations,
    );
  } finally {
    for (const each of started) each.stop();
    await postgres.stop();
  }
};

/** Every order that was answered is completed in the database, no other one is there, and each step ran once for each. */
const audit = async (contender: Contender.Contender, done: number): Promise<number> => {
  const found = await contender.ask("audit");
  return ["completed", "instances", ...STEPS].filter((name) => found[name] !== done).length;
};
