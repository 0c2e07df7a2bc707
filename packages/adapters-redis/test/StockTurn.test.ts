import { describe, expect, test } from "vitest";
import { Row, Turn } from "../src/StockTurn.ts";

const rowOf = (...origins: ReadonlyArray<string>): Row => {
  const row = new Row();
  for (const origin of origins) row.appended(origin);
  return row;
};

const ahead = (row: Row, ...origins: ReadonlyArray<string>): ReadonlyArray<number> => origins.map((origin) => row.ahead(origin));

describe("the row of those who append to a log", () => {
  test("begins with whose last entry is the oldest; who has just appended is its end", () => {
    expect(ahead(rowOf("a", "b", "c"), "a", "b", "c")).toEqual([0, 1, 2]);
    expect(ahead(rowOf("a", "b", "c", "a"), "a", "b", "c")).toEqual([2, 0, 1]);
  });

  test("lets newcomers go at once, and those who are alone", () => {
    expect(ahead(rowOf("a", "b"), "new")).toEqual([0]);
    expect(ahead(rowOf("a", "a"), "a")).toEqual([0]);
  });

  test("keeps the place of one who missed a turn, so that he need not race for it", () => {
    expect(ahead(rowOf("late", "a", "b", "a", "b"), "late", "a", "b")).toEqual([0, 1, 2]);
  });

  test("forgets those who take no turns any more, and has all the others wait for nobody", () => {
    const row = rowOf("gone", ...Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? "a" : "b")));
    expect(ahead(row, "a", "b")).toEqual([0, 1]);
  });

  test("is of so many processes at most", () => {
    const row = rowOf(...Array.from({ length: 1_000 }, (_, index) => `p${index}`));
    expect(row.ahead("p999")).toBeLessThan(100);
  });
});

describe("a turn", () => {
  test("is waited for only shortly after somebody has appended, and not when nobody is ahead", () => {
    const turn = new Turn();
    expect(turn.rest(3, 5)).toBeLessThanOrEqual(0);
    turn.appended(4, 5);
    expect(turn.rest(3, 5)).toBeGreaterThan(0);
    expect(turn.rest(0, 5)).toBeLessThanOrEqual(0);
    expect(turn.rest(3, 1_000)).toBeLessThanOrEqual(0);
  });

  test("is never waited for longer than a bound, however slow the others are", () => {
    const turn = new Turn();
    for (let now = 0; now < 100_000; now += 1_000) turn.appended(now, now + 1_000);
    expect(turn.rest(30, 100_000)).toBeLessThanOrEqual(20);
  });
});
