/** Interleaved rounds: what each contender measured, and the report of it. */
import { median, type Report, round, spread } from "./Report.ts";

export interface Options {
  readonly quick: boolean;
  readonly say: (line: string) => void;
}

/** Values of each round, by contender. */
export type Rounds<Name extends string> = Readonly<Record<Name, Array<number>>>;

/** The median and the spread of `left / right`, round by round. */
export const ratio = (left: ReadonlyArray<number>, right: ReadonlyArray<number>): ReadonlyArray<number> =>
  left.map((value, index) => value / (right[index] ?? Number.NaN));

export const reportOf = (
  bench: string,
  ratios: Readonly<Record<string, ReadonlyArray<number>>>,
  absolute: Readonly<Record<string, ReadonlyArray<number>>>,
  violations: number,
): Report => ({
  bench,
  ratios: mapped(ratios, (values) => round(median(values))),
  absolute: mapped(absolute, (values) => round(median(values))),
  spread: mapped(ratios, spread),
  violations,
});

const mapped = <A>(
  record: Readonly<Record<string, ReadonlyArray<number>>>,
  f: (values: ReadonlyArray<number>) => A,
): Readonly<Record<string, A>> => Object.fromEntries(Object.entries(record).map(([name, values]) => [name, f(values)]));
