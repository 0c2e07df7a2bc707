/**
 * The inventory service over HTTP, under /api/v1, for other services and for who keeps the stock; not for buyers: nobody
 * is asked who they are, and orders have no owner here. Success bodies are the resource itself; everything else is a `Problem`.
 *
 * The ids are the idempotency keys: `orderId` of a reservation and of a release, `id` of an adjustment. Asked again with the same
 * content, the answer is the same; with other content it is refused. An order's id may be left out of a reservation: the
 * answer then has one. That is quickest in a rush (a sold-out SKU is refused without asking the engine), but whoever misses the
 * answer cannot ask again, and leaves a hold that ends by itself.
 */
import { CustomerId, Limits, OrderId, Quantity, Sku, StockLedger, StockLine, TakenLine, Warehouse } from "@org/saga-core";
import { Schema } from "effect";
import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api";
import { IsoTime } from "./OrdersApi.ts";
import * as Problem from "./Problem.ts";
import { RequestProblems } from "./ProblemMiddleware.ts";

/** SKUs of one question, as many as an order can have. */
export const SKUS_MAX = Limits.ORDER_LINES_MAX;

const Ttl = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: Limits.HOLD_TTL_MAX_MS }));

export const Reserve = Schema.Struct({
  orderId: Schema.optionalKey(OrderId),
  lines: Schema.Array(StockLine).check(Schema.isMinLength(1), Schema.isMaxLength(Limits.ORDER_LINES_MAX)),
  /** Milliseconds; ten minutes unless said otherwise. No part of the content: asked again with another one, the hold ends as it did. */
  ttlMillis: Schema.optionalKey(Ttl),
  /** `all` (the default) or nothing; `partial`: of each line what there is. */
  policy: Schema.optionalKey(Schema.Literals(["all", "partial"])),
  /** Where from, in order of preference: the first that can serve all lines. */
  warehouses: Schema.optionalKey(
    Schema.Array(Warehouse).check(Schema.isMinLength(1), Schema.isMaxLength(Limits.WAREHOUSES_MAX), Schema.isUnique()),
  ),
  /** When no single warehouse can serve all lines: `never` (the default) from several, or `allowed`. */
  split: Schema.optionalKey(Schema.Literals(["never", "allowed"])),
  /** So many units of a SKU and no more for one buyer, over all of the buyer's orders that name one. */
  limit: Schema.optionalKey(Schema.Struct({ buyer: CustomerId, perSku: Quantity })),
}).annotate({ identifier: "Reserve" });
export type Reserve = typeof Reserve.Type;

export const Reservation = Schema.Struct({
  orderId: OrderId,
  /** What was granted, per SKU and warehouse; without a warehouse: from the default one. */
  lines: Schema.Array(TakenLine),
  until: IsoTime,
  /** What a `partial` reservation did not get. */
  missing: Schema.Array(StockLine),
}).annotate({ identifier: "Reservation" });
export type Reservation = typeof Reservation.Type;

export const Release = Schema.Struct({ orderId: OrderId }).annotate({ identifier: "Release" });

export const Released = Schema.Struct({
  orderId: OrderId,
  /** What the order had; nothing, if it never had any: then it gets none later, either. */
  lines: Schema.Array(TakenLine),
  /** `expired`, `revoked`: it had ended before. */
  reason: StockLedger.ReturnReason,
}).annotate({ identifier: "Released" });

export const Adjust = Schema.Struct({
  /** Which ids there are the ledger says, and what is wrong with another one. */
  id: Schema.String.annotate({ description: `1 to ${Limits.IDENTIFIER_MAX} printable characters` }),
  sku: Sku,
  /** Units counted in, or out if negative. */
  delta: Schema.Int.check(Schema.isBetween({ minimum: -Limits.STOCK_MAX, maximum: Limits.STOCK_MAX })),
  /** From a supplier, counted again (the default), or back from a buyer. */
  kind: Schema.optionalKey(Schema.Literals(["receive", "correct", "return"])),
  warehouse: Schema.optionalKey(Warehouse),
}).annotate({ identifier: "Adjust" });
export type Adjust = typeof Adjust.Type;

export const Adjusted = Schema.Struct({
  sku: Sku,
  warehouse: Warehouse,
  onHand: Schema.Int,
  /** Promised beyond what is on hand: holds were revoked, the newest first, and these promises are left. */
  shortage: Schema.Int,
  /** Orders whose holds were revoked, the newest first. */
  revoked: Schema.Array(OrderId),
}).annotate({ identifier: "Adjusted" });

const units = { onHand: Schema.Int, held: Schema.Int, committed: Schema.Int, available: Schema.Int, shortage: Schema.Int };

export const Balance = Schema.Struct({
  sku: Sku,
  ...units,
  /** Each warehouse's own, if there are others than the default one. */
  warehouses: Schema.optionalKey(Schema.Array(Schema.Struct({ warehouse: Warehouse, ...units }))),
}).annotate({ identifier: "Balance" });

const service = [Problem.Overloaded, Problem.Unavailable, Problem.OutcomeUnknown] as const;

export const reserve = HttpApiEndpoint.post("reserve", "/inventory/reserve", {
  payload: Reserve,
  success: Reservation,
  error: [
    Problem.OutOfStock,
    Problem.ProductNotFound,
    Problem.LimitExceeded,
    Problem.InvalidQuantity,
    Problem.ReservationMismatch,
    Problem.AlreadyReleased,
    Problem.HoldExpired,
    ...service,
  ],
}).annotate(OpenApi.Summary, "Hold goods for an order");

export const release = HttpApiEndpoint.post("release", "/inventory/release", {
  payload: Release,
  success: Released,
  error: [Problem.AlreadyShipped, ...service],
}).annotate(OpenApi.Summary, "Give back what an order holds or was promised");

export const adjust = HttpApiEndpoint.post("adjust", "/inventory/adjust", {
  payload: Adjust,
  success: Adjusted,
  error: [Problem.ProductNotFound, Problem.InvalidQuantity, Problem.AdjustmentMismatch, Problem.AdjustmentIdInvalid, ...service],
}).annotate(OpenApi.Summary, "Count goods in or out");

export const get = HttpApiEndpoint.get("get", "/inventory/:sku", {
  params: { sku: Sku },
  success: Balance,
  error: [Problem.ProductNotFound, ...service],
}).annotate(OpenApi.Summary, "The books of a SKU");

/** Also for a SKU that is named like a path of this API. */
export const list = HttpApiEndpoint.get("list", "/inventory", {
  query: { sku: Schema.Array(Sku).check(Schema.isMinLength(1), Schema.isMaxLength(SKUS_MAX)) },
  success: Schema.Array(Balance),
  error: [...service],
}).annotate(OpenApi.Summary, "The books of several SKUs; those that are not known are left out");

export class InventoryGroup extends HttpApiGroup.make("inventory")
  .add(reserve, release, adjust, get, list)
  .middleware(RequestProblems)
  .prefix("/api/v1")
  .annotateMerge(OpenApi.annotations({ title: "Inventory" })) {}

export class InventoryApi extends HttpApi.make("inventory-api")
  .add(InventoryGroup)
  .annotate(HttpApi.PayloadParseOptions, { onExcessProperty: "error", errors: "all" })
  .annotateMerge(OpenApi.annotations({ title: "Inventory service", version: "1" })) {}
