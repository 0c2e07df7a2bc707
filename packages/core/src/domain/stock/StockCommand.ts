/**
 * What can be asked of stock, and what it answers. `StockLedger` decides it; every engine behind the `StockReservation`
 * port answers the same.
 */
import type { CustomerId, OrderId } from "../order/OrderId.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { ReturnReason } from "./ReturnReason.ts";
import type { Sku, StockLine } from "./Sku.ts";
import type { TakenLine, Warehouse } from "./Warehouse.ts";

/**
 * - `Reserve`: all lines or none, unless a policy says otherwise; idempotent per order (the same request: the same answer;
 *   another one: `ReservationMismatch`).
 * - `Commit`: the hold becomes a promise that no longer expires. After the hold's time it takes fresh stock or says `HoldExpired`.
 * - `Release`: gives a hold or an unshipped commitment back. Of an order never seen it leaves a tombstone: a later
 *   `Reserve` is refused with `AlreadyReleased`.
 * - `Ship`: the goods left the house: takes from on hand and committed.
 * - `Adjust`: goods counted in (positive) or out (negative). Below what is promised, the newest holds are revoked; the answer
 *   names their orders, also when it is given again. Idempotent per id (another adjustment: `AdjustmentMismatch`).
 * - `Renew`: a live hold until `now + ttlMillis`.
 * - `Expire`: releases the order's hold if its time is over at `now`, else says `HoldAlive`.
 */
export type StockCommand =
  | Reserve
  | { readonly _tag: "Commit"; readonly orderId: OrderId }
  | { readonly _tag: "Release"; readonly orderId: OrderId }
  | { readonly _tag: "Ship"; readonly orderId: OrderId }
  | Adjust
  | Renew
  | Expire;

export interface Reserve {
  readonly _tag: "Reserve";
  readonly orderId: OrderId;
  readonly lines: ReadonlyArray<StockLine>;
  /** How long it is held. No part of the request's content: asked again with another one, the hold ends as it did (`Renew` moves it). */
  readonly ttlMillis: number;
  /** `all` (the default) or nothing; `partial`: of each line what there is, `OutOfStock` only if there is nothing at all. */
  readonly policy?: ReservePolicy;
  /**
   * Where from, in this order of preference: the first one that can serve all lines. Without a list the default warehouse,
   * then the others that have the goods, by name.
   */
  readonly warehouses?: ReadonlyArray<Warehouse>;
  /** When no single warehouse can serve all lines: `never` (the default) from several, or `allowed`. */
  readonly split?: SplitPolicy;
  /** So many units of a SKU and no more for one buyer, over all orders that name the buyer: held, promised or shipped. */
  readonly limit?: BuyerLimit;
  /** A log in front of a ledger has granted it, and lost it: just these lines, or nothing. */
  readonly granted?: ReadonlyArray<TakenLine>;
}

export type ReservePolicy = "all" | "partial";
export type SplitPolicy = "never" | "allowed";

export interface BuyerLimit {
  readonly buyer: CustomerId;
  readonly perSku: number;
}

export interface Renew {
  readonly _tag: "Renew";
  readonly orderId: OrderId;
  readonly ttlMillis: number;
  /** What a ledger has decided, told to the log in front of it: until then, whatever the log's clock says. */
  readonly until?: Timestamp;
}

export interface Expire {
  readonly _tag: "Expire";
  readonly orderId: OrderId;
  /** A ledger has decided it, and tells the log in front of it: the hold is over, whatever the log's clock says. */
  readonly decided?: true;
}

export interface Adjust {
  readonly _tag: "Adjust";
  /** The same id is counted once. 1 to `IDENTIFIER_MAX` printable characters. */
  readonly id: string;
  readonly sku: Sku;
  readonly delta: number;
  /** Why; kept with the adjustment. What was received or returned is not negative. `correct` is the default. */
  readonly kind?: AdjustKind;
  /** Where; the default warehouse if it is not named. */
  readonly warehouse?: Warehouse;
  /** A ledger has decided it, and tells the log in front of it: it ended no hold, so the log ends none, whatever it has promised. */
  readonly decided?: true;
}

/** Goods came from a supplier, were counted again, or came back from a buyer. */
export type AdjustKind = "receive" | "correct" | "return";

export type StockAccepted =
  | Reserved
  | { readonly _tag: "Committed"; readonly orderId: OrderId; readonly lines: ReadonlyArray<TakenLine> }
  | { readonly _tag: "Released"; readonly orderId: OrderId; readonly lines: ReadonlyArray<TakenLine>; readonly reason: ReturnReason }
  | { readonly _tag: "Shipped"; readonly orderId: OrderId; readonly lines: ReadonlyArray<TakenLine> }
  | Adjusted;

/** With the numbers of the one warehouse. */
export interface Adjusted {
  readonly _tag: "Adjusted";
  readonly sku: Sku;
  readonly warehouse?: Warehouse;
  readonly onHand: number;
  readonly shortage: number;
  /** Orders whose holds it ended, if there are any, the newest first. All of their goods are free again. */
  readonly revoked?: ReadonlyArray<OrderId>;
}

export interface Reserved {
  readonly _tag: "Reserved";
  readonly orderId: OrderId;
  /** What was granted, summed per SKU and warehouse, in this order. */
  readonly lines: ReadonlyArray<TakenLine>;
  readonly until: Timestamp;
  /** Only when something was asked for with `partial` and could not be had: how much of it. */
  readonly missing?: ReadonlyArray<StockLine>;
}

export type StockRejection =
  | { readonly _tag: "OutOfStock"; readonly orderId: OrderId; readonly skus: ReadonlyArray<Sku> }
  | { readonly _tag: "UnknownSku"; readonly sku: Sku }
  /** With this order the buyer would have more of these SKUs than the limit. */
  | { readonly _tag: "LimitExceeded"; readonly orderId: OrderId; readonly skus: ReadonlyArray<Sku> }
  | { readonly _tag: "ReservationMismatch"; readonly orderId: OrderId }
  | { readonly _tag: "AlreadyReleased"; readonly orderId: OrderId }
  | { readonly _tag: "HoldExpired"; readonly orderId: OrderId }
  | { readonly _tag: "HoldAlive"; readonly orderId: OrderId; readonly until: Timestamp }
  | { readonly _tag: "HoldNotFound"; readonly orderId: OrderId }
  | { readonly _tag: "AlreadyShipped"; readonly orderId: OrderId }
  | { readonly _tag: "NotCommitted"; readonly orderId: OrderId }
  /** The id was used for an adjustment with another SKU, number, kind or warehouse. */
  | { readonly _tag: "AdjustmentMismatch"; readonly id: string }
  /** A number out of its bounds, or a name that no record can keep: whatever is there, it is never granted. */
  | { readonly _tag: "InvalidQuantity"; readonly detail: string };

/** Units in one place, or in all of them (G2): onHand = available + held + committed − shortage. */
export interface StockUnits {
  readonly onHand: number;
  readonly held: number;
  readonly committed: number;
  /** onHand − held − committed, never below 0. */
  readonly available: number;
  /** Promised beyond what is on hand after an `Adjust`; 0 otherwise. */
  readonly shortage: number;
}

/** The books of one SKU, over all warehouses. */
export interface StockBalance extends StockUnits {
  readonly sku: Sku;
  /** Each warehouse's own, the default one first; only if there are others. */
  readonly warehouses?: ReadonlyArray<StockUnits & { readonly warehouse: Warehouse }>;
}
