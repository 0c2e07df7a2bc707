/**
 * `stock`: reservations per second, on Redis and on PostgreSQL, against the same contract as a Lua script per command on the same
 * Redis, and a transaction per request on the same PostgreSQL. Rounds in turn; each cell of a round is closed by a look at the books.
 */
import { startPostgres, startRedis } from "@tools/servers";
import { analyze } from "../Analyze.ts";
import * as Contender from "../Contender.ts";
import { type Report } from "../Report.ts";
import { type Options, ratio, reportOf } from "../Rounds.ts";
import * as Cells from "./Cells.ts";
import * as RedisControl from "./RedisControl.ts";

const FILES = { redis: "./stock/redis.main.ts", lua: "./stock/lua.main.ts", pg: "./stock/pg.main.ts", tx: "./stock/tx.main.ts" };
type Name = keyof typeof FILES;

/** Processes of the cells with several. */
const PROCESSES = 4;

/** Starved: no answer for so long, in milliseconds, while four processes contend. */
const STARVED_MS = 100;

/** An odd number of rounds has a median that was measured. */
const ROUNDS = { full: 7, quick: 5 };
const CELL_MS = { full: 1_000, quick: 200 };
/** Of the cells with several processes, in round 0: after so long their rates grow no more. */
const WARM_UP_MS = 4_000;
/** So many rounds that the log of the many is as long as its snapshot: it takes a new one meanwhile, as it does for ever. */
const HOLDS = {
  full: { holds: 1_000_000, rounds: 13, pairs: 40_000 },
  quick: { holds: 100_000, rounds: 13, pairs: 10_000 },
};

/** The cell of the transactions: no SKU that they wait for each other's lock of. */
const TX_CELL = "uniform_3l_c256";

type Values = Record<string, Array<number>>;

export const run = async ({ quick, say }: Options): Promise<Report> => {
  const size = quick ? "quick" : "full";
  const postgres = await startPostgres();
  const redis = await startRedis({ settings: RedisControl.SETTINGS });
  const started: Array<Contender.Contender> = [];
  const control = RedisControl.open(redis.url);
  const start = async (name: Name): Promise<Contender.Contender> => {
    const contender = await Contender.start(FILES[name], postgres.url, redis.url);
    started.push(contender);
    return contender;
  };
  const several = async (name: Name): Promise<Processes> => ({
    alone: await start(name),
    sale: await start(name),
    together: await Promise.all(Array.from({ length: PROCESSES }, () => start(name))),
  });
  try {
    const contenders: Contenders = {
      redis: await several("redis"),
      lua: await several("lua"),
      pg: await start("pg"),
      tx: await start("tx"),
    };
    const bench = { redis: control, millis: CELL_MS[size] };
    const values: Values = {};
    let violations = (await contenders.lua.alone.ask("check"))["different"] ?? 1;
    say(`the peer's answers that are not the ledger's: ${violations}`);
    // Round 0 warms up: code is compiled, files have grown.
    for (let index = 0; index <= ROUNDS[size]; index++) {
      const into: Values = index === 0 ? {} : values;
      violations += await round(bench, contenders, into, index === 0, (line) => say(`round ${index}: ${line}`));
      if (index === 0) await analyze(postgres.url);
    }
    violations += await live(bench, contenders, HOLDS[size], values, say);
    return report(values, violations);
  } finally {
    for (const each of started) each.stop();
    control.close();
    await Promise.all([postgres.stop(), redis.stop()]);
  }
};

interface Processes {
  /** For all that one process does. */
  readonly alone: Contender.Contender;
  /** Only for the sale that is sold out: an answer is too short to collect meanwhile what other cells left behind. */
  readonly sale: Contender.Contender;
  /** For the cells with several: what others leave behind would be collected in pauses that starve somebody. */
  readonly together: ReadonlyArray<Contender.Contender>;
}

interface Contenders {
  readonly redis: Processes;
  readonly lua: Processes;
  readonly pg: Contender.Contender;
  readonly tx: Contender.Contender;
}

/** Every cell, each contender in turn; returns the violations. */
const round = async (
  bench: Cells.Bench,
  contenders: Contenders,
  into: Values,
  isWarmUp: boolean,
  say: (line: string) => void,
): Promise<number> => {
  let violations = 0;
  const cell = async (name: string, ways: ReadonlyArray<readonly [Name, () => Promise<Cells.Measured>]>): Promise<void> => {
    const said: Array<string> = [];
    for (const [contender, measure] of ways) {
      const measured = await measure();
      add(into, `${contender}_${name}`, measured.perSecond);
      add(into, `${contender}_${name}_gap`, measured.gap);
      violations += measured.violations;
      const starved = name === CONTENDED ? `, ${Math.round(measured.gap)} ms without an answer` : "";
      const wrong = measured.violations === 0 ? "" : ` (${measured.violations} VIOLATIONS)`;
      said.push(`${contender} ${Math.round(measured.perSecond)}/s${starved}${wrong}`);
    }
    say(`${name}: ${said.join(" · ")}`);
  };
  // Their processes do nothing else, and compiling takes them seconds.
  const several = isWarmUp ? { ...bench, millis: WARM_UP_MS } : bench;
  const { redis, lua, pg, tx } = contenders;
  for (const each of Cells.CELLS) {
    const transactions = each.name === TX_CELL ? [["tx", () => Cells.reserving(bench, tx, each)] as const] : [];
    await cell(each.name, [
      ["redis", () => Cells.reserving(bench, redis.alone, each)],
      ["lua", () => Cells.reserving(bench, lua.alone, each)],
      ["pg", () => Cells.reserving(bench, pg, each)],
      ...transactions,
    ]);
  }
  for (const how of ["owned", "contended"] as const) {
    await cell(`${how}4`, [
      ["redis", () => Cells.together(several, redis.together, how)],
      ["lua", () => Cells.together(several, lua.together, how)],
    ]);
  }
  await cell("lifecycle", [
    ["redis", () => Cells.living(bench, redis.alone)],
    ["lua", () => Cells.living(bench, lua.alone)],
  ]);
  await cell("losers", [
    ["redis", () => Cells.losing(several, redis.sale)],
    ["lua", () => Cells.losing(several, lua.sale)],
  ]);
  return violations;
};

const CONTENDED = "contended4";

/** Very many live holds, of both that keep them in Redis. */
const live = async (
  bench: Cells.Bench,
  contenders: Contenders,
  size: (typeof HOLDS)["full"],
  into: Values,
  say: (line: string) => void,
): Promise<number> => {
  let violations = 0;
  for (const name of ["redis", "lua"] as const) {
    const [few, many] = contenders[name].together;
    if (few === undefined || many === undefined) throw new Error("no contender");
    const measured = await Cells.holding(bench, [few, many], size);
    add(into, `${name}_bytes_per_hold`, measured.bytesPerHold);
    into[`${name}_many_vs_few_holds`] = [...ratio(measured.many, measured.few)];
    violations += measured.violations;
    say(`${name}: ${Math.round(measured.bytesPerHold)} bytes a hold, ${measured.violations} violations`);
  }
  return violations;
};

const add = (into: Values, name: string, value: number): void => void (into[name] ??= []).push(value);

const report = (values: Values, violations: number): Report => {
  const of = (name: string): ReadonlyArray<number> => values[name] ?? [];
  const against = (left: Name, right: Name, cell: string): ReadonlyArray<number> => ratio(of(`${left}_${cell}`), of(`${right}_${cell}`));
  const cells = Cells.CELLS.map(({ name }) => name);
  const starved = of(`redis_${CONTENDED}_gap`).filter((gap) => gap > STARVED_MS).length;
  return reportOf(
    "stock",
    {
      ...Object.fromEntries(cells.map((cell) => [`redis_vs_lua_${cell}`, against("redis", "lua", cell)])),
      ...Object.fromEntries(cells.map((cell) => [`pg_vs_lua_${cell}`, against("pg", "lua", cell)])),
      pg_vs_tx: against("pg", "tx", TX_CELL),
      redis_vs_lua_owned4: against("redis", "lua", "owned4"),
      redis_vs_lua_contended4: against("redis", "lua", CONTENDED),
      lifecycle_vs_lua: against("redis", "lua", "lifecycle"),
      losers_vs_lua: against("redis", "lua", "losers"),
    },
    {
      ...Object.fromEntries(
        [...cells, "owned4", CONTENDED, "lifecycle", "losers"].flatMap((cell) =>
          (["redis", "lua", "pg", "tx"] as const).flatMap((name) =>
            of(`${name}_${cell}`).length === 0 ? [] : [[`${name}_${cell}_per_second`, of(`${name}_${cell}`).map(Math.round)]],
          ),
        ),
      ),
      // The worst of all rounds, not their median.
      redis_contended4_longest_gap_ms: [Math.max(...of(`redis_${CONTENDED}_gap`))],
      lua_contended4_longest_gap_ms: [Math.max(...of(`lua_${CONTENDED}_gap`))],
      redis_bytes_per_hold: of("redis_bytes_per_hold"),
      lua_bytes_per_hold: of("lua_bytes_per_hold"),
      redis_many_vs_few_holds: of("redis_many_vs_few_holds"),
      lua_many_vs_few_holds: of("lua_many_vs_few_holds"),
    },
    violations + starved,
  );
};
