/**
 * What the stock ledger remembers: the books of each SKU, the hold of each order, and the adjustments seen.
 *
 * ```
 * (none) ── Reserve ──▶ held ── Commit ──▶ committed ── Ship ──▶ shipped
 *    │                  │  ▲ Renew │            ▲ │
 *    │     Expire, revoke  └───────┘            │ │
 *    │                  ▼                       │ │
 *    │                lapsed ──── Commit ───────┘ │ Release
 *    └──── Release ─────┴────────▶ released ◀─────┘
 * ```
 * `lapsed` ended without being asked: a commit may take fresh stock. `released` was asked for: nothing comes after it, not
 * even a `Reserve` that was overtaken (of an order never seen it has no lines: the tombstone).
 *
 * Plain values, so that every engine stores them as it likes: absolute numbers, never deltas.
 */
import { Schema } from "effect";
import { STOCK_MAX } from "../Limits.ts";
import { CustomerId, OrderId } from "../order/OrderId.ts";
import { Timestamp } from "../Timestamp.ts";
import { ReturnReason } from "./ReturnReason.ts";
import { Quantity, Sku, StockLine } from "./Sku.ts";
import type { StockBalance, StockUnits } from "./StockCommand.ts";
import { DEFAULT_WAREHOUSE, TakenLine, Warehouse } from "./Warehouse.ts";

const Units = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: STOCK_MAX }));

/** What one warehouse has of a SKU. Invariant (G1, G2): 0 ≤ held + committed ≤ onHand + shortage. */
const counts = {
  onHand: Units,
  held: Units,
  committed: Units,
  /** Promised beyond what is on hand. Only an `Adjust` makes it grow; whatever gives stock back makes it shrink. */
  shortage: Units,
};

export const Shelf = Schema.Struct({ warehouse: Warehouse, ...counts });
export type Shelf = typeof Shelf.Type;

/** The books of one SKU: what the default warehouse has of it, and what others have. */
export const SkuBooks = Schema.Struct({
  sku: Sku,
  ...counts,
  /** When these books last changed; no later decision on them is dated before. */
  at: Timestamp,
  /** By name. Absent if no other warehouse ever had any. */
  elsewhere: Schema.optionalKey(Schema.Array(Shelf)),
});
export type SkuBooks = typeof SkuBooks.Type;

/** The columns that the default warehouse's books and a shelf have in common. */
export type Counts = Omit<Shelf, "warehouse">;

export const HoldStatus = Schema.Literals(["held", "committed", "lapsed", "released", "shipped"]);
export type HoldStatus = typeof HoldStatus.Type;

/** What a `Reserve` asked for beyond the ordinary: all of its lines from anywhere, without a limit. */
export const Asked = Schema.Struct({
  lines: Schema.Array(StockLine),
  policy: Schema.Literals(["all", "partial"]),
  warehouses: Schema.NullOr(Schema.Array(Warehouse)),
  split: Schema.Literals(["never", "allowed"]),
  limit: Schema.NullOr(Schema.Struct({ buyer: CustomerId, perSku: Quantity })),
});
export type Asked = typeof Asked.Type;

/** What an order has of the stock, and had. One per order, for ever (engines may forget ended ones after their retention). */
export const Hold = Schema.Struct({
  orderId: OrderId,
  status: HoldStatus,
  /** What was granted, summed per SKU and warehouse, in SKU order. Empty only for a tombstone. */
  lines: Schema.Array(TakenLine),
  /** End of the hold while it is held; afterwards what it was. */
  until: Timestamp,
  /** Why it ended, for `lapsed` and `released`; null otherwise. */
  reason: Schema.NullOr(ReturnReason),
  /** Newest holds are revoked first. */
  reservedAt: Timestamp,
  /** When it last changed; no later decision on it is dated before. */
  at: Timestamp,
  /** Only of an extraordinary request. */
  asked: Schema.optionalKey(Asked),
});
export type Hold = typeof Hold.Type;

/** An `Adjust` that was carried out, with its answer: the same id is never counted twice. */
export const Adjustment = Schema.Struct({
  id: Schema.String,
  sku: Sku,
  delta: Schema.Int,
  onHand: Units,
  shortage: Units,
  at: Timestamp,
  /** Absent: `correct`. */
  kind: Schema.optionalKey(Schema.Literals(["receive", "return"])),
  /** Absent: the default warehouse. */
  warehouse: Schema.optionalKey(Warehouse),
  /** Orders whose holds it ended. Absent: none. */
  revoked: Schema.optionalKey(Schema.Array(OrderId)),
});
export type Adjustment = typeof Adjustment.Type;

/** Units of a SKU that a buyer's orders with a limit have: held, promised or shipped. Changes only with the SKU's books. */
export const BuyerUnits = Schema.Struct({ sku: Sku, buyer: CustomerId, units: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)) });
export type BuyerUnits = typeof BuyerUnits.Type;

/** Names a `BuyerUnits`: `sku@buyer`. Neither of them has an `@`. */
export type BuyerKey = string;

export const buyerKey = (sku: Sku, buyer: CustomerId): BuyerKey => `${sku}@${buyer}`;

/** A part of the ledger, as far as some commands touch it. What is absent does not exist. */
export interface StockView {
  readonly skus: ReadonlyMap<Sku, SkuBooks>;
  readonly holds: ReadonlyMap<OrderId, Hold>;
  readonly adjustments: ReadonlyMap<string, Adjustment>;
  readonly buyers: ReadonlyMap<BuyerKey, BuyerUnits>;
}

/** New values of what changed: absolute, so that an engine compares what it read and writes these, or nothing. */
export interface StockWrites {
  readonly skus: ReadonlyArray<SkuBooks>;
  readonly holds: ReadonlyArray<Hold>;
  readonly adjustments: ReadonlyArray<Adjustment>;
  readonly buyers: ReadonlyArray<BuyerUnits>;
}

export const empty: StockView = { skus: new Map(), holds: new Map(), adjustments: new Map(), buyers: new Map() };

export const view = (
  skus: Iterable<SkuBooks>,
  holds: Iterable<Hold>,
  adjustments: Iterable<Adjustment>,
  buyers: Iterable<BuyerUnits>,
): StockView => ({
  skus: new Map(Array.from(skus, (books) => [books.sku, books])),
  holds: new Map(Array.from(holds, (hold) => [hold.orderId, hold])),
  adjustments: new Map(Array.from(adjustments, (adjustment) => [adjustment.id, adjustment])),
  buyers: new Map(Array.from(buyers, (units) => [buyerKey(units.sku, units.buyer), units])),
});

/** The view after `writes`. */
export const patch = (before: StockView, writes: StockWrites): StockView => {
  const after = view(writes.skus, writes.holds, writes.adjustments, writes.buyers);
  return {
    skus: new Map([...before.skus, ...after.skus]),
    holds: new Map([...before.holds, ...after.holds]),
    adjustments: new Map([...before.adjustments, ...after.adjustments]),
    buyers: new Map([...before.buyers, ...after.buyers]),
  };
};

/** What a warehouse (none named: the default one) has of a SKU. */
export const shelfOf = (books: SkuBooks, warehouse: Warehouse | undefined): Counts | undefined =>
  warehouse === undefined ? books : books.elsewhere?.find((shelf) => shelf.warehouse === warehouse);

/** Units that nobody was promised; 0 in a shortage. */
export const availableOf = (shelf: Counts): number => Math.max(0, shelf.onHand - shelf.held - shelf.committed);

/** The limit that the order was reserved under. */
export const buyerOf = (hold: Hold): CustomerId | undefined => hold.asked?.limit?.buyer;

export const balanceOf = (books: SkuBooks): StockBalance => {
  const { sku, elsewhere } = books;
  const here = unitsOf(books);
  if (elsewhere === undefined) return { sku, ...here };
  const others = elsewhere.map((shelf) => ({ warehouse: shelf.warehouse, ...unitsOf(shelf) }));
  const total = others.reduce(plus, here);
  return { sku, ...total, warehouses: [{ warehouse: DEFAULT_WAREHOUSE, ...here }, ...others] };
};

const unitsOf = (shelf: Counts): StockUnits => ({
  onHand: shelf.onHand,
  held: shelf.held,
  committed: shelf.committed,
  available: availableOf(shelf),
  shortage: shelf.shortage,
});

const plus = (left: StockUnits, right: StockUnits): StockUnits => ({
  onHand: left.onHand + right.onHand,
  held: left.held + right.held,
  committed: left.committed + right.committed,
  available: left.available + right.available,
  shortage: left.shortage + right.shortage,
});

/** Lines of the same SKU summed, in SKU order: two orders of the same goods have the same lines. */
export const sumLines = (lines: ReadonlyArray<{ readonly sku: Sku; readonly quantity: number }>): ReadonlyArray<readonly [Sku, number]> => {
  const bySku = new Map<Sku, number>();
  for (const line of lines) bySku.set(line.sku, (bySku.get(line.sku) ?? 0) + line.quantity);
  return [...bySku].toSorted(([left], [right]) => (left < right ? -1 : 1));
};

/** Units of a SKU in these lines that were taken from this warehouse. */
export const quantityOf = (lines: ReadonlyArray<TakenLine>, sku: Sku, warehouse: Warehouse | undefined): Quantity | 0 =>
  lines.find((line) => line.sku === sku && line.warehouse === warehouse)?.quantity ?? 0;
