/** What every bench prints last: one JSON object. Ratios are medians of interleaved rounds; spread is their minimum and maximum. */
export interface Report {
  readonly bench: string;
  readonly ratios: Readonly<Record<string, number>>;
  readonly absolute: Readonly<Record<string, number>>;
  readonly spread: Readonly<Record<string, readonly [min: number, max: number]>>;
  /** Broken promises seen while measuring: wrong answers, books that do not balance. 0 or the numbers are worth nothing. */
  readonly violations: number;
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
};

export const spread = (values: ReadonlyArray<number>): readonly [number, number] => [
  round(Math.min(...values)),
  round(Math.max(...values)),
];

/** Two digits behind the point. */
export const round = (value: number): number => Math.round(value * 100) / 100;
