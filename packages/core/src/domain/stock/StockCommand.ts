/**
 * What can be asked of stock, and what it answers. `StockLedger` decides it; every engine behind the `StockReservation`
 * port answers the same.
 */
import type { OrderId } from "../order/OrderId.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { Sku, StockLine } from "./Sku.ts";

/**
 * - `Reserve`: all lines or none; idempotent per order (same lines: the same answer; other lines: `ReservationMismatch`).
 * - `Commit`: the hold becomes a promise that no longer expires. After the hold's time it takes fresh stock or says `HoldExpired`.
 * - `Release`: gives a hold or an unshipped commitment back. Of an order never seen it leaves a tombstone: a later
 *   `Reserve` is refused with `AlreadyReleased`.
 * - `Ship`: the goods left the house: takes from on hand and committed.
 * - `Adjust`: goods counted in (positive) or out (negative).
 * - `Renew`: a live hold until `now + ttlMillis`.
 * - `Expire`: releases the order's hold if its time is over at `now`, else says `HoldAlive`.
 */
export type StockCommand =
  | { readonly _tag: "Reserve"; readonly orderId: OrderId; readonly lines: ReadonlyArray<StockLine>; readonly ttlMillis: number }
  | { readonly _tag: "Commit"; readonly orderId: OrderId }
  | { readonly _tag: "Release"; readonly orderId: OrderId }
  | { readonly _tag: "Ship"; readonly orderId: OrderId }
  | { readonly _tag: "Adjust"; readonly id: string; readonly sku: Sku; readonly delta: number }
  | { readonly _tag: "Renew"; readonly orderId: OrderId; readonly ttlMillis: number }
  | { readonly _tag: "Expire"; readonly orderId: OrderId };

export type StockAccepted =
  | { readonly _tag: "Reserved"; readonly orderId: OrderId; readonly lines: ReadonlyArray<StockLine>; readonly until: Timestamp }
  | { readonly _tag: "Committed"; readonly orderId: OrderId; readonly lines: ReadonlyArray<StockLine> }
  | { readonly _tag: "Released"; readonly orderId: OrderId; readonly lines: ReadonlyArray<StockLine>; readonly reason: "asked" | "expired" }
  | { readonly _tag: "Shipped"; readonly orderId: OrderId; readonly lines: ReadonlyArray<StockLine> }
  | { readonly _tag: "Adjusted"; readonly sku: Sku; readonly onHand: number; readonly shortage: number };

export type StockRejection =
  | { readonly _tag: "OutOfStock"; readonly orderId: OrderId; readonly skus: ReadonlyArray<Sku> }
  | { readonly _tag: "UnknownSku"; readonly sku: Sku }
  | { readonly _tag: "ReservationMismatch"; readonly orderId: OrderId }
  | { readonly _tag: "AlreadyReleased"; readonly orderId: OrderId }
  | { readonly _tag: "HoldExpired"; readonly orderId: OrderId }
  | { readonly _tag: "HoldAlive"; readonly orderId: OrderId; readonly until: Timestamp }
  | { readonly _tag: "HoldNotFound"; readonly orderId: OrderId }
  | { readonly _tag: "AlreadyShipped"; readonly orderId: OrderId }
  | { readonly _tag: "NotCommitted"; readonly orderId: OrderId }
  | { readonly _tag: "InvalidQuantity"; readonly detail: string };

/** The books of one SKU (G2): onHand = available + held + committed − shortage. */
export interface StockBalance {
  readonly sku: Sku;
  readonly onHand: number;
  readonly held: number;
  readonly committed: number;
  /** onHand − held − committed, never below 0. */
  readonly available: number;
  /** Promised beyond what is on hand after an `Adjust`; 0 otherwise. */
  readonly shortage: number;
}
