import { describe, expect, it } from "vitest";
import * as Scenario from "./Scenario.ts";

const SEEDS = 200;

/** Seeds of one test case: small enough to name the culprit, large enough to keep the report short. */
const CHUNK = 20;

describe("the whole shop under crashes, duplicates, reordering and loss", () => {
  for (let from = 0; from < SEEDS; from += CHUNK) {
    it(`keeps G1 to G7 and comes to rest (G9): seeds ${from} to ${from + CHUNK - 1}`, { timeout: 120_000 }, () => {
      for (let seed = from; seed < from + CHUNK; seed++) {
        const { violations } = Scenario.run(seed);
        expect(violations, `seed ${seed}`).toEqual([]);
      }
    });
  }

  it("repeats a seed exactly", () => {
    const { fingerprint, steps, orders } = Scenario.run(7);
    expect(Scenario.run(7)).toMatchObject({ fingerprint, steps, orders });
  });

  it("reaches every end and crashes in many places: it is no calm sea", () => {
    const runs = [1, 2, 3, 4, 5, 6].map((seed) => Scenario.run(seed));
    const ends = new Set(runs.flatMap(({ orders }) => orders.map(({ status, paid }) => `${status}${paid ? " paid" : ""}`)));
    expect([...ends].toSorted((a, b) => a.localeCompare(b))).toEqual(["canceled", "failed", "finished paid", "refunded paid"]);
    const points = new Set(runs.flatMap(({ crashes }) => crashes.map(({ point }) => point)));
    expect(points.size).toBeGreaterThan(20);
  });
});
