/** Where goods are. Most shops have one place and never name it: what names none is in the default one. */
import { Schema } from "effect";
import { SHORT_NAME_EXPECTED, SHORT_NAME_PATTERN } from "../Limits.ts";
import { Quantity, Sku } from "./Sku.ts";

export const Warehouse = Schema.String.check(Schema.isPattern(SHORT_NAME_PATTERN, { expected: SHORT_NAME_EXPECTED })).pipe(
  Schema.brand("Warehouse"),
);
export type Warehouse = typeof Warehouse.Type;

/** Where goods are of which nobody says where they are. */
export const DEFAULT_WAREHOUSE: Warehouse = Warehouse.make("main");

/** So many units of one SKU, taken from one place; without a name the default one. */
export const TakenLine = Schema.Struct({ sku: Sku, quantity: Quantity, warehouse: Schema.optionalKey(Warehouse) });
export type TakenLine = typeof TakenLine.Type;

/** How records name a warehouse: the default one by nothing. */
export const tagOf = (warehouse: Warehouse | undefined): Warehouse | undefined => (warehouse === DEFAULT_WAREHOUSE ? undefined : warehouse);
