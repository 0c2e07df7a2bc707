/** The cells of a round: each opens its contenders' engines with keys of their own, measures, and looks at the books. */
import type * as Contender from "../Contender.ts";
import type { Numbers } from "../Serve.ts";
import * as Carts from "./Carts.ts";
import type { RedisControl } from "./RedisControl.ts";

export interface Bench {
  readonly redis: RedisControl;
  /** How long a cell takes, in milliseconds. */
  readonly millis: number;
}

export interface Measured {
  readonly perSecond: number;
  readonly violations: number;
  /** The longest time that one of the processes went without an answer, in milliseconds. */
  readonly gap: number;
}

/** What is asked for, in one cell. */
export interface Cell {
  readonly name: string;
  readonly lines: number;
  readonly hot: boolean;
  readonly inFlight: number;
}

export const CELLS: ReadonlyArray<Cell> = [true, false].flatMap((hot) =>
  [1, 3].flatMap((lines) =>
    [1, 64, 256].map((inFlight) => ({ name: `${hot ? "hot" : "uniform"}_${lines}l_c${inFlight}`, lines, hot, inFlight })),
  ),
);

export const MANY = 256;

/** Units of the sale that is sold out. */
const SALE_UNITS = 100;

/** Buyers who come before it is measured: the sale is sold out by then. */
const SALE_BUYERS = 1_000;

let cells = 0;

/** One process reserves as fast as it can. */
export const reserving = (bench: Bench, contender: Contender.Contender, { lines, hot, inFlight }: Cell): Promise<Measured> =>
  alone(bench, contender, "reserve", { lines, hot: hot ? 1 : 0, inFlight }, { hotUnits: Carts.HOT_UNITS });

/** Reserves, commits, releases and expires. */
export const living = (bench: Bench, contender: Contender.Contender): Promise<Measured> =>
  alone(bench, contender, "live", { lines: 1, hot: 0, inFlight: MANY }, { hotUnits: Carts.HOT_UNITS });

/** A sale that is sold out, with as many buyers as it can answer. */
export const losing = async (bench: Bench, contender: Contender.Contender): Promise<Measured> => {
  const sale = { lines: 1, hot: 1, inFlight: MANY, every: 64, millis: bench.millis };
  await contender.ask("open", { cell: cells++, seeded: 1, hotUnits: SALE_UNITS, soldOut: 1 });
  const early = await contender.ask("reserve", { ...sale, to: SALE_BUYERS });
  const late = await contender.ask("reserve", { ...sale, from: SALE_BUYERS });
  const violations = broken(await contender.ask("audit"), [late], SALE_UNITS);
  await contender.ask("close");
  await bench.redis.clear();
  return { perSecond: (value(late, "answers") - value(early, "answers")) / value(late, "seconds"), violations, gap: value(late, "gap") };
};

const alone = async (bench: Bench, contender: Contender.Contender, command: string, work: Numbers, place: Numbers): Promise<Measured> => {
  await contender.ask("open", { ...place, cell: cells++, seeded: 1 });
  const tally = await contender.ask(command, { ...work, millis: bench.millis });
  const violations = broken(await contender.ask("audit"), [tally], place["hotUnits"] ?? 0);
  await contender.ask("close");
  await bench.redis.clear();
  return { perSecond: value(tally, "answers") / value(tally, "seconds"), violations, gap: value(tally, "gap") };
};

/** Several processes at once, each with a shard of its own, or all after one hot SKU. */
export const together = async (
  bench: Bench,
  contenders: ReadonlyArray<Contender.Contender>,
  how: "owned" | "contended",
): Promise<Measured> => {
  const cell = cells++;
  for (const [index, contender] of contenders.entries()) {
    const place = how === "owned" ? { shard: index, seeded: 1 } : { shard: 0, seeded: index === 0 ? 1 : 0 };
    await contender.ask("open", { ...place, cell, worker: index, hotUnits: Carts.HOT_UNITS });
  }
  const inFlight = MANY / contenders.length;
  const tallies = await Promise.all(
    contenders.map((contender, worker) => contender.ask("reserve", { lines: 1, hot: 1, inFlight, worker, millis: bench.millis })),
  );
  let violations = 0;
  for (const [index, contender] of contenders.entries()) {
    const own = tallies[index];
    const told = how === "contended" ? tallies : own === undefined ? [] : [own];
    violations += broken(await contender.ask("audit"), told, Carts.HOT_UNITS);
  }
  for (const contender of contenders) await contender.ask("close");
  await bench.redis.clear();
  return {
    perSecond: sum(tallies, "answers") / Math.max(...tallies.map((each) => value(each, "seconds"))),
    violations,
    gap: Math.max(...tallies.map((each) => value(each, "gap"))),
  };
};

export interface Living {
  readonly bytesPerHold: number;
  /** Microseconds of a reserve and its release, with few and with many live holds. */
  readonly few: ReadonlyArray<number>;
  readonly many: ReadonlyArray<number>;
  readonly violations: number;
}

const FEW_HOLDS = 1_000;

/** Rounds that warm up: code is compiled, and what loading has left behind is collected. */
const WARM_UP_ROUNDS = 2;

/**
 * Memory of a hold, and whether a reservation costs more when very many are alive. Two processes with the same past, one with few
 * and one with many, in turn: seconds later the machine is another one.
 */
export const holding = async (
  bench: Bench,
  [few, many]: readonly [Contender.Contender, Contender.Contender],
  size: { readonly holds: number; readonly rounds: number; readonly pairs: number },
): Promise<Living> => {
  for (const each of [few, many]) await each.ask("open", { cell: cells++, seeded: 1, hotUnits: Carts.HOT_UNITS });
  await few.ask("fill", { from: 0, to: FEW_HOLDS, inFlight: MANY });
  await many.ask("fill", { from: 0, to: FEW_HOLDS, inFlight: MANY });
  const before = await bench.redis.bytes();
  await many.ask("fill", { from: FEW_HOLDS, to: size.holds, inFlight: MANY });
  const bytesPerHold = ((await bench.redis.bytes()) - before) / (size.holds - FEW_HOLDS);
  const micros: Record<"few" | "many", Array<number>> = { few: [], many: [] };
  let violations = 0;
  const last = WARM_UP_ROUNDS + size.rounds - 1;
  for (let round = 0; round <= last; round++) {
    const both = [["few", few] as const, ["many", many] as const];
    for (const [name, contender] of round % 2 === 0 ? both : both.toReversed()) {
      const told = await contender.ask("churn", { round, pairs: size.pairs, inFlight: MANY });
      if (round >= WARM_UP_ROUNDS) micros[name].push(value(told, "micros"));
      if (round === last) violations += broken(await contender.ask("audit"), [told], Carts.HOT_UNITS);
    }
  }
  for (const each of [few, many]) await each.ask("close");
  await bench.redis.clear();
  return { bytesPerHold, ...micros, violations };
};

/** The books against what was told: units held are those granted and not yet given back or promised, and none came from nowhere. */
const broken = (books: Numbers, tallies: ReadonlyArray<Numbers>, hotUnits: number): number => {
  const held = sum(tallies, "granted") - sum(tallies, "returned") - sum(tallies, "committed");
  const differs = [
    value(books, "held") !== held,
    value(books, "committed") !== sum(tallies, "committed"),
    value(books, "onHand") !== Carts.onHand(hotUnits),
    hotUnits === SALE_UNITS && sum(tallies, "granted") !== SALE_UNITS,
  ];
  return value(books, "broken") + sum(tallies, "wrong") + differs.filter((each) => each).length;
};

const value = (numbers: Numbers, name: string): number => numbers[name] ?? Number.NaN;

const sum = (all: ReadonlyArray<Numbers>, name: string): number => all.reduce((total, each) => total + value(each, name), 0);
