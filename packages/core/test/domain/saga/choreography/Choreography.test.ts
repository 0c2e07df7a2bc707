import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Order, OrderStatus, StateMachine } from "@org/saga-core";
import { type Fate, lucky } from "../CheckoutParticipants.ts";
import { World } from "../CheckoutWorld.ts";
import { ChoreographedWorld, choreography, type Letter } from "./ChoreographedWorld.ts";

/** More than there are in a run without faults. */
const LETTERS = 60;

/** Letters that may overtake a request: enough to ask for the payment in between. */
const OVERTAKING = 15;

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

describe("a service that hears of the abort last", () => {
  it.each(["order", "inventory", "fulfillment"])("does what is left without waiting to be told again: %s", (late) => {
    const world = new ChoreographedWorld({ ...lucky, fulfill: false });
    while (world.network.length > 0) {
      const index = world.network.findIndex(({ to, envelope }) => to !== late || !choreography.home.protocol.Aborted.is(envelope));
      world.deliver(Math.max(index, 0));
    }
    expect(world.end).toEqual(run({ fulfill: false }).end);
  });
});

describe("a local step that the arbiter does not hear of", () => {
  /** Delivers everything but what tells the arbiter of "complete-checkout"; `isLost` says how often that is. */
  const loseWhile = (isLost: (times: number) => boolean): ChoreographedWorld => {
    const world = new ChoreographedWorld(lucky);
    const { Passed, Started } = choreography.home.protocol;
    const tells = ({ to, envelope }: Letter): boolean =>
      to === choreography.arbiter.service &&
      ((Passed.is(envelope) && envelope.body.step === "complete-checkout") ||
        (Started.is(envelope) && envelope.body.outcomes["complete-checkout"] !== undefined));
    let times = 0;
    while (world.network.length > 0 || world.timers.size > 0) {
      const [next] = world.network;
      if (next === undefined) world.fire(0);
      else if (tells(next) && isLost((times += 1))) world.lose(0);
      else world.deliver(0);
    }
    return world;
  };

  it("once: it is told again before the arbiter gives up", () => {
    expect(loseWhile((times) => times === 1).end).toEqual(["finished", null, "shipped", "captured", true]);
  });

  it("ever: the order ends as timed out, for nobody has canceled it", () => {
    expect(loseWhile(() => true).end).toEqual(["canceled", "checkoutTimeout", "released", "voided", true]);
  });
});

/** What a fault may be, drawn by a number. */
const act = (world: ChoreographedWorld, draw: number): void => {
  const { length } = world.network;
  const index = length === 0 ? 0 : Math.floor(draw / 16) % length;
  const kind = draw % 16;
  if (kind < 9) world.deliver(index);
  else if (kind < 12) world.deliver(index, true);
  else if (kind < 13) world.lose(index);
  else if (kind < 15) world.fire(Math.floor(draw / 16) % Math.max(1, world.timers.size));
  else if (draw % 3 === 0) world.cancel();
};

const anyFate: fc.Arbitrary<Fate> = fc.record({
  balance: fc.boolean(),
  stock: fc.boolean(),
  authorize: fc.constantFrom("ok", "ok", "declined", "timeout"),
  commit: fc.boolean(),
  capture: fc.constantFrom("ok", "ok", "declined", "timeout"),
  fulfill: fc.boolean(),
});

/** Money and goods agree (G3), once each (G6), along the table (G7), and everyone is done with it (G9). */
const expectAgreement = (world: ChoreographedWorld): void => {
  const { order } = world;
  if (order === null) throw new Error("no order");
  expect(Order.isTerminal(order)).toBe(true);
  expect([...world.rows.values()].every(({ isClosed }) => isClosed)).toBe(true);
  expect(world.captures).toBeLessThanOrEqual(1);
  expect(world.refunds).toBeLessThanOrEqual(world.captures);
  const delivered = world.stock === "shipped";
  expect(world.captures - world.refunds).toBe(delivered ? 1 : 0);
  expect(order.status === "finished").toBe(delivered);
  expect(["held", "committed"]).not.toContain(world.stock);
  for (const [index, status] of order.history.entries()) {
    const next = order.history[index + 1];
    if (next !== undefined) expect(StateMachine.can(OrderStatus.machine, status.status, next.status)).toBe(true);
  }
};

describe("a cancel", () => {
  it("comes before the payment is asked for, or too late, wherever in the run it comes and is heard of", () => {
    const ends = new Set<string>();
    for (let before = 0; before <= LETTERS; before++) {
      for (let between = 0; between <= OVERTAKING; between++) {
        const world = new ChoreographedWorld(lucky);
        for (let n = 0; n < before; n++) world.deliver(0);
        const last = world.network.length;
        world.cancel();
        const [request] = world.network.splice(last, 1);
        for (let n = 0; n < between; n++) world.deliver(0);
        if (request !== undefined) world.network.unshift(request);
        world.settle();
        expectAgreement(world);
        ends.add(`${world.status} ${world.stock} ${world.money}`);
      }
    }
    expect([...ends].toSorted()).toEqual([
      "canceled none none",
      "canceled released none",
      "canceled released voided",
      "finished shipped captured",
    ]);
  });
});

describe("a choreographed checkout whose messages arrive in any order", () => {
  it("comes to rest by what is told once: no timer has to tell it again", () => {
    fc.assert(
      fc.property(anyFate, fc.array(fc.nat({ max: 1_000 }), { minLength: LETTERS, maxLength: 2 * LETTERS }), (fate, draws) => {
        const world = new ChoreographedWorld(fate);
        for (const draw of draws) if (world.network.length > 0) world.deliver(draw % world.network.length);
        while (world.network.length > 0) world.deliver(0);
        expectAgreement(world);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("a choreographed checkout under loss, duplication, reordering, timeouts and cancels", () => {
  it("comes to rest with money and goods in agreement (G3), once each (G6), along the table (G7, G9)", () => {
    fc.assert(
      fc.property(anyFate, fc.array(fc.nat({ max: 1_000_000 }), { maxLength: 160 }), (fate, draws) => {
        const world = new ChoreographedWorld(fate);
        for (const draw of draws) act(world, draw);
        world.settle();
        expectAgreement(world);
      }),
      { numRuns: 1_000 },
    );
  });
});
