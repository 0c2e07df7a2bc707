import { expect, test } from "vitest";
import { OrderId, Quantity, Sku, StockFold, StockLedger, type StockCommand } from "../../../src/index.ts";

const apple = Sku.make("apple");
const id = (name: string | number) => OrderId.make(`o${name}`);
const reserve = (name: string | number, ttlMillis: number): StockCommand => ({
  _tag: "Reserve",
  orderId: id(name),
  lines: [{ sku: apple, quantity: Quantity.make(1) }],
  ttlMillis,
});

const folded = (units: number) => {
  const fold = new StockFold.Fold();
  const run = (commands: ReadonlyArray<StockCommand>, now: number) => {
    const { answers, writes } = StockLedger.decideBatch(fold, commands, now);
    fold.apply(writes, now);
    return answers;
  };
  run([{ _tag: "Adjust", id: "first", sku: apple, delta: units }], 0);
  return { fold, run };
};

test("a fold lists what is due in the order of the ends, whatever was renewed, ended or asked for before", () => {
  const { fold, run } = folded(1_000);
  const ttls = Array.from({ length: 500 }, (_, index) => 1 + ((index * 7_919) % 500));
  run(
    ttls.map((ttl, index) => reserve(index, ttl)),
    0,
  );
  run(
    [
      { _tag: "Release", orderId: id(3) },
      { _tag: "Commit", orderId: id(4) },
      { _tag: "Renew", orderId: id(5), ttlMillis: 100_000 },
    ],
    0,
  );
  const gone = new Set([3, 4, 5]);
  const expected = ttls
    .map((ttl, index) => ({ ttl, index }))
    .filter(({ index }) => !gone.has(index))
    .toSorted((left, right) => left.ttl - right.ttl)
    .map(({ index }) => id(index));
  expect(fold.expired(500, 10)).toEqual(expected.slice(0, 10));
  expect(fold.expired(500, 1_000)).toEqual(expected);
  expect(fold.expired(200, 1_000)).toEqual(expected.filter((orderId) => (ttls[Number(orderId.slice(1))] ?? 0) <= 200));
});

test("a fold forgets the oldest of what has ended, and nothing that is held, promised or on hand", () => {
  const rounds = Math.ceil((StockFold.ENDED_MAX + 20_000) / 1_000);
  const { fold, run } = folded(1_000);
  run([reserve("held", 1_000_000), reserve("promised", 1_000_000), { _tag: "Commit", orderId: id("promised") }], 0);
  for (let round = 0; round < rounds; round++) {
    const names = Array.from({ length: 900 }, (_, index) => `${round}.${index}`);
    run(
      names.map((name) => reserve(name, 1_000_000)),
      round,
    );
    run(
      names.map((name): StockCommand => ({ _tag: "Release", orderId: id(name) })),
      round,
    );
  }
  expect(fold.holds.size).toBeLessThan(StockFold.ENDED_MAX + 10_000);
  expect(fold.holds.has(id("0.0"))).toBe(false);
  expect(fold.holds.has(id(`${rounds - 1}.899`))).toBe(true);
  expect([fold.holds.get(id("held"))?.status, fold.holds.get(id("promised"))?.status]).toEqual(["held", "committed"]);
  expect(fold.skus.get(apple)).toMatchObject({ onHand: 1_000, held: 1, committed: 1 });
});

test("a fold forgets what has ended for longer than its time", () => {
  const { fold, run } = folded(10_000);
  const names = Array.from({ length: 5_000 }, (_, index) => `old${index}`);
  run(
    names.map((name): StockCommand => ({ _tag: "Release", orderId: id(name) })),
    1,
  );
  const later = StockFold.ENDED_FOR_MS + 10;
  run(
    names.map((_, index): StockCommand => ({ _tag: "Release", orderId: id(`new${index}`) })),
    later,
  );
  expect([fold.holds.has(id("old0")), fold.holds.has(id("new0"))]).toEqual([false, true]);
});
