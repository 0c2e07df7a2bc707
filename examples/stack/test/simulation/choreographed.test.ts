import { describe, expect, it } from "vitest";
import * as Scenario from "./Scenario.ts";

const SEEDS = 20;

/** Seeds of one test case: small enough to name the culprit, large enough to keep the report short. */
const CHUNK = 5;

describe("the whole shop without a coordinator, under crashes, duplicates, reordering and loss", () => {
  const ends = new Set<string>();
  for (let from = 0; from < SEEDS; from += CHUNK) {
    it(`keeps G1 to G7 and comes to rest (G9): seeds ${from} to ${from + CHUNK - 1}`, { timeout: 120_000 }, () => {
      for (let seed = from; seed < from + CHUNK; seed++) {
        const { violations, orders } = Scenario.run(seed, "choreographed");
        expect(violations, `seed ${seed}`).toEqual([]);
        for (const { status, paid } of orders) ends.add(`${status}${paid ? " paid" : ""}`);
      }
    });
  }

  it("reached every end that a coordinator reaches", () => {
    expect([...ends].toSorted((a, b) => a.localeCompare(b))).toEqual(["canceled", "failed", "finished paid", "refunded paid"]);
  });
});
