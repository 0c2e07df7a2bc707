import { describe, expect, it } from "vitest";
import { type Fate, lucky } from "../CheckoutParticipants.ts";
import { World } from "../CheckoutWorld.ts";
import { ChoreographedWorld } from "./ChoreographedWorld.ts";

const run = (fate: Partial<Fate> = {}): ChoreographedWorld => {
  const world = new ChoreographedWorld({ ...lucky, ...fate });
  world.settle();
  return world;
};

describe("a choreographed checkout without faults", () => {
  it("ends with goods shipped and money captured once", () => {
    const world = run();
    expect(world.statuses).toEqual(["created", "pendingPayment", "awaitingPayment", "awaitingFulfillment", "finished"].slice(1));
    expect([...world.end, world.captures]).toEqual(["finished", null, "shipped", "captured", true, 1]);
  });
  it.each([
    ["insufficient balance", { balance: false }],
    ["no stock", { stock: false }],
    ["a declined payment", { authorize: "declined" }],
    ["a payment that never answers", { authorize: "timeout" }],
    ["a hold that expired", { commit: false }],
    ["a refused capture", { capture: "declined" }],
    ["a capture that never answers", { capture: "timeout" }],
    ["a failed fulfilment", { fulfill: false }],
  ] as const)("ends as under a coordinator after %s", (_, fate) => {
    const orchestrated = new World({ ...lucky, ...fate });
    orchestrated.settle();
    const choreographed = run(fate);
    expect(choreographed.statuses).toEqual(orchestrated.statuses);
    expect(choreographed.end).toEqual([
      orchestrated.status,
      orchestrated.state.aggregate?.reason,
      orchestrated.stock,
      orchestrated.money,
      true,
    ]);
  });
});
