/** Random stock commands over few orders and SKUs, so that they meet, and the books as the holds say they must be. */
import fc from "fast-check";
import { StockLedger, Timestamp, type Sku, type StockCommand } from "../../../src/index.ts";
import { OrderId, Sku as SkuSchema, StockLine } from "../../../src/index.ts";

export const orders = ["o1", "o2", "o3", "o4"].map((id) => OrderId.make(id));
export const skus = ["apple", "pear", "plum"].map((sku) => SkuSchema.make(sku));

export const line = (sku: string, quantity: number): StockLine =>
  StockLine.make({ sku: SkuSchema.make(sku), quantity: StockLine.fields.quantity.make(quantity) });

const orderId = fc.constantFrom(...orders);
const sku = fc.constantFrom(...skus);
const lines = fc.array(fc.tuple(sku, fc.integer({ min: 1, max: 4 })), { minLength: 1, maxLength: 3 });
const ttlMillis = fc.integer({ min: 1, max: 50 });

export const command: fc.Arbitrary<StockCommand> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      _tag: fc.constant("Reserve" as const),
      orderId,
      lines: lines.map((all) => all.map(([name, quantity]) => line(name, quantity))),
      ttlMillis,
    }),
  },
  { weight: 3, arbitrary: fc.record({ _tag: fc.constant("Commit" as const), orderId }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Release" as const), orderId }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Ship" as const), orderId }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Expire" as const), orderId }) },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Renew" as const), orderId, ttlMillis }) },
  {
    weight: 3,
    arbitrary: fc.record({
      _tag: fc.constant("Adjust" as const),
      id: fc.stringMatching(/^a[0-9]{1,2}$/),
      sku,
      delta: fc.integer({ min: -9, max: 9 }),
    }),
  },
);

/** A command and how far the clock moved before it; sometimes backwards. */
export interface Tick {
  readonly command: StockCommand;
  readonly moved: number;
}

export const ticks = (maxLength: number): fc.Arbitrary<ReadonlyArray<Tick>> =>
  fc.array(fc.record({ command, moved: fc.integer({ min: -10, max: 40 }) }), { maxLength });

/** Full shelves to start from. */
export const stocked = (units: number): StockLedger.StockView =>
  StockLedger.patch(
    StockLedger.empty,
    StockLedger.decideBatch(
      StockLedger.empty,
      skus.map((name) => ({ _tag: "Adjust" as const, id: `seed-${name}`, sku: name, delta: units })),
      Timestamp.make(0),
    ).writes,
  );

/** The books recomputed from holds and adjustments: what G1 and G2 say they must be. Returns what is wrong. */
export const problems = (state: StockLedger.StockView): ReadonlyArray<string> => {
  const wrong: Array<string> = [];
  const sum = (name: Sku, status: StockLedger.HoldStatus): number =>
    [...state.holds.values()]
      .filter((hold) => hold.status === status)
      .flatMap((hold) => hold.lines)
      .reduce((units, each) => units + (each.sku === name ? each.quantity : 0), 0);
  for (const [name, books] of state.skus) {
    const counted = [...state.adjustments.values()].filter((each) => each.sku === name).reduce((units, each) => units + each.delta, 0);
    const balance = StockLedger.balanceOf(books);
    if (books.held !== sum(name, "held")) wrong.push(`${name}: held ${books.held}, holds say ${sum(name, "held")}`);
    if (books.committed !== sum(name, "committed"))
      wrong.push(`${name}: committed ${books.committed}, holds say ${sum(name, "committed")}`);
    if (books.onHand !== counted - sum(name, "shipped"))
      wrong.push(`${name}: on hand ${books.onHand}, counted ${counted} less ${sum(name, "shipped")} shipped`);
    if (books.shortage !== Math.max(0, books.held + books.committed - books.onHand))
      wrong.push(`${name}: shortage ${books.shortage} is not exact`);
    if (balance.onHand !== balance.available + balance.held + balance.committed - balance.shortage)
      wrong.push(`${name}: books do not balance`);
    if (Math.min(books.onHand, books.held, books.committed, books.shortage) < 0) wrong.push(`${name}: below zero`);
  }
  return wrong;
};
