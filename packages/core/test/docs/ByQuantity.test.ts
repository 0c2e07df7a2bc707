/** The guide's shop pays back and gives back by quantity, and money and goods agree (G2, G3), whatever the network does. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Fate, priceOf, ShopWorld } from "./ShopWorld.ts";

const RUNS = 1_000;

/** Enough for each way to end: none of an order, some of it, all of it. */
const EACH_END_MIN = RUNS / 50;

const lines = [
  { sku: "apple", quantity: 1, price: 100 },
  { sku: "piano", quantity: 1, price: 45_000 },
  { sku: "pear", quantity: 3, price: 250 },
];
const calm: Fate = { soldOut: false, declines: 0, refusals: 0, short: [0, 0, 0] };

/** G2: every unit is on the shelf or with the buyer. G3: what was paid is what was delivered. */
const expectAgreement = (world: ShopWorld): void => {
  expect(world.money.captured - world.money.refunded).toBe(priceOf(world.delivered));
  for (const { quantity, sku } of world.lines) {
    const delivered = world.delivered.filter((line) => line.sku === sku).reduce((sum, line) => sum + line.quantity, 0);
    expect([sku, (world.shelf.get(sku) ?? 0) + delivered, world.held.get(sku) ?? 0]).toEqual([sku, quantity, 0]);
  }
};

const settled = (fate: Partial<Fate>): ShopWorld => {
  const world = new ShopWorld(lines, { ...calm, ...fate });
  world.settle();
  return world;
};

describe("an order of three items", () => {
  it("of which one cannot be shipped: the rest is delivered, that one's price is paid back, and it is on the shelf again", () => {
    const world = settled({ short: [0, 1, 0] });
    expect(world.instance.status).toBe("completed");
    expect(world.money).toEqual({ captured: 45_850, refunded: 45_000 });
    expect([...world.shelf]).toEqual([
      ["apple", 0],
      ["piano", 1],
      ["pear", 0],
    ]);
    expectAgreement(world);
  });

  it("of which a line is short by some units: those are paid back and given back, and no others", () => {
    const world = settled({ short: [0, 0, 2] });
    expect([world.money.refunded, world.shelf.get("pear")]).toEqual([500, 2]);
    expectAgreement(world);
  });

  it("of which none can be shipped: everything is undone, by way of a refund that is refused at first", () => {
    const world = settled({ short: [1, 1, 3], refusals: 1 });
    expect([world.instance.status, world.money.refunded, world.delivered]).toEqual(["compensated", 45_850, []]);
    expect(world.instance.audit).toEqual([expect.objectContaining({ action: "resume", by: "ada" })]);
    expectAgreement(world);
  });
});

/** What happens next, drawn by a number. */
const act = (world: ShopWorld, draw: number): void => {
  const which = Math.floor(draw / 16);
  const index = world.network.length === 0 ? 0 : which % world.network.length;
  const kind = draw % 16;
  if (kind < 8) world.deliver(index);
  else if (kind < 11) world.deliver(index, true);
  else if (kind < 12) world.lose(index);
  else if (kind < 14) world.fire();
  else if (kind < 15) world.changeCard();
  else if (which % 8 === 0) world.cancel();
};

const anyFate: fc.Arbitrary<Fate> = fc.record({
  soldOut: fc.constantFrom(false, false, false, true),
  declines: fc.constantFrom(0, 0, 1, 2),
  refusals: fc.nat({ max: 2 }),
  short: fc.tuple(fc.constantFrom(0, 0, 1), fc.constantFrom(0, 0, 1), fc.constantFrom(0, 0, 0, 1, 2, 3)),
});

describe("orders of which any part cannot be shipped, under loss, duplication, reordering, timeouts and cancels", () => {
  it("pay for what they get, and every unit is accounted for", () => {
    const ends = { all: 0, some: 0, none: 0 };
    fc.assert(
      fc.property(anyFate, fc.array(fc.nat({ max: 1_000_000 }), { maxLength: 60 }), (fate, draws) => {
        const world = new ShopWorld(lines, fate);
        for (const draw of draws) act(world, draw);
        world.settle();
        expectAgreement(world);
        ends[world.money.captured === world.money.refunded ? "none" : world.money.refunded === 0 ? "all" : "some"] += 1;
      }),
      { numRuns: RUNS },
    );
    expect(Math.min(ends.all, ends.some, ends.none)).toBeGreaterThan(EACH_END_MIN);
  });
});
