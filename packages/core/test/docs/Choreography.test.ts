/** The code of docs/guides/choreography.md compiles, and does what it says. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkout, inventory } from "./choreography.ts";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");

describe("the guide to choreography", () => {
  it("shows this code", () => {
    expect(read("../../../../docs/guides/choreography.md")).toContain(read("./choreography.ts"));
  });

  it("gives each service its own steps, and the pivot's owner the last word", () => {
    expect([checkout.home.service, checkout.arbiter.service]).toEqual(["order", "payment"]);
    expect([...inventory.owns]).toEqual(["reserve-stock", "commit-stock", "ship-stock"]);
    const types = inventory.hears.map(({ type }) => type);
    expect(types).toContain("payment.balance-sufficient.v1");
    expect(types).not.toContain("payment.declined.v1");
  });
});
