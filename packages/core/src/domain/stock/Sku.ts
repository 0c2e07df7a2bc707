/** Stock keeping unit: the name of a thing that can be counted, and how many of it. */
import { Schema } from "effect";
import { QUANTITY_MAX, SHORT_NAME_EXPECTED, SHORT_NAME_PATTERN } from "../Limits.ts";

export const Sku = Schema.String.check(Schema.isPattern(SHORT_NAME_PATTERN, { expected: SHORT_NAME_EXPECTED })).pipe(Schema.brand("Sku"));
export type Sku = typeof Sku.Type;

/** A whole number of units, 1 to `QUANTITY_MAX`. */
export const Quantity = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: QUANTITY_MAX })).pipe(Schema.brand("Quantity"));
export type Quantity = typeof Quantity.Type;

/** So many units of one SKU. */
export const StockLine = Schema.Struct({ sku: Sku, quantity: Quantity });
export type StockLine = typeof StockLine.Type;
