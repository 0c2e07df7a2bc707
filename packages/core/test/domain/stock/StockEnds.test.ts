import fc from "fast-check";
import { expect, test } from "vitest";
import { OrderId, type StockLedger } from "../../../src/index.ts";
import { Ends } from "../../../src/domain/stock/StockEnds.ts";

const hold = (name: number, until: number): StockLedger.Hold => ({
  orderId: OrderId.make(`o${name}`),
  status: "held",
  lines: [],
  until,
  reason: null,
  reservedAt: 0,
  at: 0,
});

/** Holds by order, and how often it was asked whether one of them lives. */
const kept = () => {
  const holds = new Map<OrderId, StockLedger.Hold>();
  const looks = { count: 0 };
  const ends = new Ends((each) => {
    looks.count += 1;
    return holds.get(each.orderId) === each;
  });
  const put = (each: StockLedger.Hold): void => {
    const before = holds.get(each.orderId);
    holds.set(each.orderId, each);
    if (before !== undefined) ends.remove(before);
    ends.add(each);
  };
  const end = (orderId: OrderId): void => {
    const before = holds.get(orderId);
    holds.delete(orderId);
    if (before !== undefined) ends.remove(before);
  };
  return { holds, ends, looks, put, end };
};

const name = fc.nat(120);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ put: name, until: fc.nat(2_000) }) },
  { weight: 2, arbitrary: fc.record({ end: name }) },
  { weight: 1, arbitrary: fc.record({ due: fc.nat(2_500), max: fc.integer({ min: 1, max: 30 }) }) },
);

test("what is due is what lives and is over, the first to end first, whatever was put, moved or ended before", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 600, size: "max" }), (steps) => {
      const { holds, ends, put, end } = kept();
      const check = (now: number, max: number): void => {
        const expected = [...holds.values()]
          .filter((each) => each.until <= now)
          .toSorted((left, right) => left.until - right.until || (left.orderId < right.orderId ? -1 : 1));
        expect(ends.due(now, max)).toEqual(expected.slice(0, max));
      };
      for (const each of steps) {
        if ("put" in each) put(hold(each.put, each.until));
        else if ("end" in each) end(OrderId.make(`o${each.end}`));
        else check(each.due, each.max);
      }
      check(3_000, 1_000);
    }),
    { numRuns: 200 },
  );
});

test("however many live, nothing that is put or ended looks at more than a few of them", () => {
  const { looks, put, end } = kept();
  const perSecond = 400;
  let most = 0;
  const looking = (use: () => void): void => {
    const before = looks.count;
    use();
    most = Math.max(most, looks.count - before);
  };
  for (let index = 0; index < 40_000; index++) looking(() => put(hold(index, Math.floor((index * 1_000) / perSecond))));
  for (let index = 0; index < 40_000; index++) if (index % 5 > 0) looking(() => end(OrderId.make(`o${index}`)));
  expect(most).toBeLessThanOrEqual(perSecond);
});

test("a large backlog is taken little by little, without a look at all of it each time", () => {
  const { ends, looks, put, end } = kept();
  const all = 10_000;
  for (let index = 0; index < all; index++) put(hold(index, 100));
  for (let rest = all; rest > 0; rest -= 100) for (const { orderId } of ends.due(100, 100)) end(orderId);
  expect(ends.due(100, 100)).toEqual([]);
  expect(looks.count).toBeLessThan(6 * all);
});
