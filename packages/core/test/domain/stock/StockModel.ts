/** Random stock commands over few orders and SKUs, so that they meet, and the books as the holds say they must be. */
import fc from "fast-check";
import { StockLedger, type TakenLine, Timestamp, type Sku, type StockCommand, type StockUnits } from "../../../src/index.ts";
import { CustomerId, DEFAULT_WAREHOUSE, OrderId, Sku as SkuSchema, StockLine, Warehouse } from "../../../src/index.ts";

export const orders = ["o1", "o2", "o3", "o4"].map((id) => OrderId.make(id));
export const skus = ["apple", "pear", "plum"].map((sku) => SkuSchema.make(sku));
export const warehouses = [DEFAULT_WAREHOUSE, Warehouse.make("east"), Warehouse.make("west")];

/** What every order that names a buyer is limited to. */
export const PER_SKU = 5;

export const line = (sku: string, quantity: number): StockLine =>
  StockLine.make({ sku: SkuSchema.make(sku), quantity: StockLine.fields.quantity.make(quantity) });

const orderId = fc.constantFrom(...orders);
const sku = fc.constantFrom(...skus);
const lines = fc.array(fc.tuple(sku, fc.integer({ min: 1, max: 4 })), { minLength: 1, maxLength: 3 });
const ttlMillis = fc.integer({ min: 1, max: 50 });

/** Nearly always none of them. */
const wishes = fc.oneof(
  { weight: 2, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc.record(
      {
        policy: fc.constantFrom("all" as const, "partial" as const),
        warehouses: fc.shuffledSubarray(warehouses, { minLength: 1 }),
        split: fc.constantFrom("never" as const, "allowed" as const),
        limit: fc.record({ buyer: fc.constantFrom(CustomerId.make("ann"), CustomerId.make("bob")), perSku: fc.constant(PER_SKU) }),
      },
      { requiredKeys: [] },
    ),
  },
);

export const command: fc.Arbitrary<StockCommand> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(
        fc.record({
          _tag: fc.constant("Reserve" as const),
          orderId,
          lines: lines.map((all) => all.map(([name, quantity]) => line(name, quantity))),
          ttlMillis,
        }),
        wishes,
      )
      .map(([plain, more]) => ({ ...plain, ...more })),
  },
  { weight: 3, arbitrary: fc.record({ _tag: fc.constant("Commit" as const), orderId }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Release" as const), orderId }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Ship" as const), orderId }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Expire" as const), orderId }) },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Renew" as const), orderId, ttlMillis }) },
  {
    weight: 3,
    arbitrary: fc.record(
      {
        _tag: fc.constant("Adjust" as const),
        id: fc.stringMatching(/^a[0-9]{1,2}$/),
        sku,
        delta: fc.integer({ min: -9, max: 9 }),
        kind: fc.constantFrom("receive" as const, "correct" as const, "return" as const),
        warehouse: fc.constantFrom(...warehouses),
      },
      { requiredKeys: ["_tag", "id", "sku", "delta"] },
    ),
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
  const units = (isCounted: (hold: StockLedger.Hold) => boolean, isMeant: (line: TakenLine) => boolean): number =>
    [...state.holds.values()]
      .filter(isCounted)
      .flatMap((hold) => hold.lines)
      .reduce((total, each) => total + (isMeant(each) ? each.quantity : 0), 0);
  const check = (what: string, is: number, mustBe: number): void => {
    if (is !== mustBe) wrong.push(`${what} is ${is}, not ${mustBe}`);
  };
  for (const [name, books] of state.skus) {
    for (const shelf of [{ ...books, warehouse: DEFAULT_WAREHOUSE }, ...(books.elsewhere ?? [])]) {
      const isHere = (each: { sku: Sku; warehouse?: Warehouse }) =>
        each.sku === name && (each.warehouse ?? DEFAULT_WAREHOUSE) === shelf.warehouse;
      const sum = (status: StockLedger.HoldStatus): number => units((hold) => hold.status === status, isHere);
      const counted = [...state.adjustments.values()].filter(isHere).reduce((total, each) => total + each.delta, 0);
      const place = `${name} in ${shelf.warehouse}:`;
      check(`${place} held`, shelf.held, sum("held"));
      check(`${place} committed`, shelf.committed, sum("committed"));
      check(`${place} on hand`, shelf.onHand, counted - sum("shipped"));
      check(`${place} shortage`, shelf.shortage, Math.max(0, shelf.held + shelf.committed - shelf.onHand));
      if (Math.min(shelf.onHand, shelf.held, shelf.committed, shelf.shortage) < 0) wrong.push(`${place} below zero`);
    }
    const balance = StockLedger.balanceOf(books);
    for (const each of [balance, ...(balance.warehouses ?? [])]) check(`${name}: on hand`, each.onHand, onHandOf(each));
  }
  for (const { buyer, sku: name, units: counted } of state.buyers.values()) {
    const has = (hold: StockLedger.Hold) => hold.asked?.limit?.buyer === buyer && !["lapsed", "released"].includes(hold.status);
    check(
      `${buyer} has of ${name}:`,
      counted,
      units(has, (each) => each.sku === name),
    );
    if (counted > PER_SKU) wrong.push(`${buyer} has ${counted} of ${name}`);
  }
  return wrong;
};

/** G2, turned round. */
const onHandOf = (units: StockUnits): number => units.available + units.held + units.committed - units.shortage;
