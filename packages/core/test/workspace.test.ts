import { expect, it } from "vitest";

it("core can be imported from source under its own name", async () => {
  expect(await import("@org/saga-core")).toBeDefined();
});
