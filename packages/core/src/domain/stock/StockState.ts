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
import { OrderId } from "../order/OrderId.ts";
import { Timestamp } from "../Timestamp.ts";
import { Sku, StockLine, type Quantity } from "./Sku.ts";
import type { StockBalance } from "./StockCommand.ts";

const Units = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: STOCK_MAX }));

/** The books of one SKU. Invariant (G1, G2): 0 ≤ held + committed ≤ onHand + shortage. */
export const SkuBooks = Schema.Struct({
  sku: Sku,
  onHand: Units,
  held: Units,
  committed: Units,
  /** Promised beyond what is on hand. Only an `Adjust` makes it grow; whatever gives stock back makes it shrink. */
  shortage: Units,
  /** When these books last changed; no later decision on them is dated before. */
  at: Timestamp,
});
export type SkuBooks = typeof SkuBooks.Type;

export const HoldStatus = Schema.Literals(["held", "committed", "lapsed", "released", "shipped"]);
export type HoldStatus = typeof HoldStatus.Type;

/** Why stock came back: the order gave it back, its time was over, or an `Adjust` found less goods than were promised. */
export const ReturnReason = Schema.Literals(["asked", "expired", "revoked"]);
export type ReturnReason = typeof ReturnReason.Type;

/** What an order has of the stock, and had. One per order, for ever (engines may forget ended ones after their retention). */
export const Hold = Schema.Struct({
  orderId: OrderId,
  status: HoldStatus,
  /** Summed per SKU, in SKU order. Empty only for a tombstone. */
  lines: Schema.Array(StockLine),
  /** End of the hold while it is held; afterwards what it was. */
  until: Timestamp,
  /** Why it ended, for `lapsed` and `released`; null otherwise. */
  reason: Schema.NullOr(ReturnReason),
  /** Newest holds are revoked first. */
  reservedAt: Timestamp,
  /** When it last changed; no later decision on it is dated before. */
  at: Timestamp,
});
export type Hold = typeof Hold.Type;

/** An `Adjust` that was carried out, with its answer: the same id is never counted twice. */
export const Adjustment = Schema.Struct({ id: Schema.String, sku: Sku, delta: Schema.Int, onHand: Units, shortage: Units, at: Timestamp });
export type Adjustment = typeof Adjustment.Type;

/** A part of the ledger, as far as some commands touch it. What is absent does not exist. */
export interface StockView {
  readonly skus: ReadonlyMap<Sku, SkuBooks>;
  readonly holds: ReadonlyMap<OrderId, Hold>;
  readonly adjustments: ReadonlyMap<string, Adjustment>;
}

/** New values of what changed: absolute, so that an engine compares what it read and writes these, or nothing. */
export interface StockWrites {
  readonly skus: ReadonlyArray<SkuBooks>;
  readonly holds: ReadonlyArray<Hold>;
  readonly adjustments: ReadonlyArray<Adjustment>;
}

export const empty: StockView = { skus: new Map(), holds: new Map(), adjustments: new Map() };

export const view = (skus: Iterable<SkuBooks>, holds: Iterable<Hold>, adjustments: Iterable<Adjustment>): StockView => ({
  skus: new Map(Array.from(skus, (books) => [books.sku, books])),
  holds: new Map(Array.from(holds, (hold) => [hold.orderId, hold])),
  adjustments: new Map(Array.from(adjustments, (adjustment) => [adjustment.id, adjustment])),
});

/** The view after `writes`. */
export const patch = (before: StockView, writes: StockWrites): StockView => ({
  skus: new Map([...before.skus, ...writes.skus.map((books) => [books.sku, books] as const)]),
  holds: new Map([...before.holds, ...writes.holds.map((hold) => [hold.orderId, hold] as const)]),
  adjustments: new Map([...before.adjustments, ...writes.adjustments.map((adjustment) => [adjustment.id, adjustment] as const)]),
});

/** Units of these books that nobody was promised; 0 in a shortage. */
export const availableOf = (books: SkuBooks): number => Math.max(0, books.onHand - books.held - books.committed);

export const balanceOf = (books: SkuBooks): StockBalance => ({
  sku: books.sku,
  onHand: books.onHand,
  held: books.held,
  committed: books.committed,
  available: availableOf(books),
  shortage: books.shortage,
});

/** Lines of the same SKU summed, in SKU order: two orders of the same goods have the same lines. */
export const sumLines = (lines: ReadonlyArray<{ readonly sku: Sku; readonly quantity: number }>): ReadonlyArray<readonly [Sku, number]> => {
  const bySku = new Map<Sku, number>();
  for (const line of lines) bySku.set(line.sku, (bySku.get(line.sku) ?? 0) + line.quantity);
  return [...bySku].toSorted(([left], [right]) => (left < right ? -1 : 1));
};

export const quantityOf = (lines: ReadonlyArray<StockLine>, sku: Sku): Quantity | 0 =>
  lines.find((line) => line.sku === sku)?.quantity ?? 0;
