/** What the shop sells, in one place: names, prices, and how much of it there is on the first day. */
import { Money, Sku } from "@org/saga-core";
import { Schema } from "effect";

export const Product = Schema.Struct({
  sku: Sku,
  name: Schema.String,
  unitPrice: Money.Money,
  /** Units that inventory starts with. */
  initialStock: Schema.Int,
}).annotate({ identifier: "Product" });
export type Product = typeof Product.Type;

const product = (sku: string, name: string, cents: number, initialStock: number): Product => ({
  sku: Sku.make(sku),
  name,
  unitPrice: Money.of(cents, "EUR"),
  initialStock,
});

/** More than any demonstration or bench sells. */
const PLENTY = 500_000_000;

export const products: ReadonlyArray<Product> = [
  product("tshirt", "T-shirt", 1_999, PLENTY),
  product("mug", "Mug", 899, PLENTY),
  product("poster", "Poster", 1_250, PLENTY),
  /** Never there. */
  product("sold-out", "Collector's edition", 9_900, 0),
  /** Its fulfillment always fails. */
  product("unshippable", "Grand piano", 450_000, PLENTY),
  /** For sales with more buyers than goods. */
  product("limited-100", "Limited print", 4_900, 100),
];

/** The SKU whose fulfillment always fails. */
export const UNSHIPPABLE: Sku = Sku.make("unshippable");
