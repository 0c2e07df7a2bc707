import { readFileSync } from "node:fs";
import { Saga } from "@org/saga-core";
import { memory, SagaClient } from "@org/saga-core/promise";
import { describe, expect, it } from "vitest";
import { type Agents, stepsOf, Trip } from "../src/Trip.ts";

/** Agents that write down what they did, of which some refuse. */
const agentsOf = (calls: Array<string>, refuses: string | null = null): Agents => ({
  reserve: async (what, _, key) => {
    calls.push(key);
    return what === refuses ? "full" : "reserved";
  },
  release: async (_what, _trip, key) => void calls.push(`release ${key}`),
  charge: async (_trip, _price, key) => {
    calls.push(key);
    return refuses === "card" ? "declined" : "paid";
  },
  refund: async (_trip, _price, key) => void calls.push(`refund ${key}`),
  send: async (_trip, key) => void calls.push(key),
});

const book = async (agents: Agents) => {
  const client = await SagaClient.connect({ database: memory(), messages: [] });
  try {
    const trips = await client.saga({ definition: Trip, steps: stepsOf(agents) });
    await trips.run("t", { trip: "t", traveller: "Ada", price: 900 });
    return await trips.find("t");
  } finally {
    await client.close();
  }
};

const RESERVED = ["t:reserve-flight:1", "t:reserve-hotel:1", "t:reserve-car:1"];

describe("a trip", () => {
  it("always ends, whatever is lost, late, repeated or refused", () => {
    expect(Saga.check(Trip)).toMatchObject({ saga: "trip@1" });
  });

  it("reserves side by side, then pays, then sends the tickets", async () => {
    const calls: Array<string> = [];
    expect(await book(agentsOf(calls))).toMatchObject({ status: "completed", failure: null });
    expect(calls.slice(0, 3).toSorted()).toEqual(RESERVED.toSorted());
    expect(calls.slice(3)).toEqual(["t:pay:1", "t:send-tickets:1"]);
  });

  it("reserves all three before any of them has answered", async () => {
    const gate = Promise.withResolvers<void>();
    const asked: Array<string> = [];
    const agents: Agents = {
      ...agentsOf([]),
      reserve: async (what) => {
        asked.push(what);
        if (asked.length === 3) gate.resolve();
        await gate.promise;
        return "reserved";
      },
    };
    expect(await book(agents)).toMatchObject({ status: "completed" });
    expect(asked).toHaveLength(3);
  });

  it("gives back the others when one is full, and charges nobody", async () => {
    const calls: Array<string> = [];
    expect(await book(agentsOf(calls, "hotel"))).toMatchObject({
      status: "compensated",
      failure: { step: "reserve-hotel", reason: "no hotel" },
      steps: { "reserve-flight": "undone", "reserve-car": "undone" },
    });
    expect(calls.filter((call) => call.startsWith("release")).toSorted()).toEqual([
      "release t:reserve-car:1/undo",
      "release t:reserve-flight:1/undo",
    ]);
    expect(calls.filter((call) => call.includes("pay"))).toEqual([]);
  });

  it("gives back everything when the card is declined", async () => {
    const calls: Array<string> = [];
    expect(await book(agentsOf(calls, "card"))).toMatchObject({ status: "compensated", failure: { step: "pay", reason: "declined" } });
    expect(calls.filter((call) => call.startsWith("release")).toSorted()).toEqual(RESERVED.map((key) => `release ${key}/undo`).toSorted());
  });

  it("leaves nothing reserved when the card is declined, with agents who do a key once, whatever they are asked under it", async () => {
    const keys = new Set<string>();
    const reserved = new Set<string>();
    const once = (key: string, act: () => void): void => {
      if (keys.has(key)) return;
      keys.add(key);
      act();
    };
    let most = 0;
    const agents: Agents = {
      ...agentsOf([], "card"),
      reserve: async (what, _, key) => {
        once(key, () => reserved.add(what));
        most = Math.max(most, reserved.size);
        return "reserved";
      },
      release: async (what, _, key) => once(key, () => reserved.delete(what)),
    };
    expect(await book(agents)).toMatchObject({ status: "compensated", failure: { step: "pay" } });
    expect(most).toBe(3);
    expect([...reserved]).toEqual([]);
  });

  it("takes less than 80 lines", () => {
    const source = readFileSync(new URL("../src/Trip.ts", import.meta.url), "utf8");
    expect(source.trimEnd().split("\n").length).toBeLessThan(80);
  });
});
