/** Products by SKU: what the order service takes names and prices from. Batch-first: one question for a whole cart. */
import type { Sku } from "@org/saga-core";
import { Context, Effect, Layer, Schema } from "effect";
import { type Product, products } from "./Product.ts";

/** The catalogue could not be asked. Nothing is known about the products. */
export class CatalogueUnavailable extends Schema.TaggedError<CatalogueUnavailable>()("CatalogueUnavailable", {
  message: Schema.String,
}) {}

export class Catalogue extends Context.Service<
  Catalogue,
  {
    /** The products of `skus` that exist; an unknown SKU is absent. */
    readonly find: (skus: ReadonlyArray<Sku>) => Effect.Effect<ReadonlyMap<Sku, Product>, CatalogueUnavailable>;
    readonly list: Effect.Effect<ReadonlyArray<Product>, CatalogueUnavailable>;
  }
>()("@example/catalog/Catalogue") {
  /** In this process: the products of `Product`, or those given. */
  static readonly layerOf = (all: ReadonlyArray<Product>): Layer.Layer<Catalogue> => {
    const bySku: ReadonlyMap<Sku, Product> = new Map(all.map((product) => [product.sku, product]));
    return Layer.succeed(Catalogue, {
      find: (skus) => Effect.succeed(pick(bySku, skus)),
      list: Effect.succeed(all),
    });
  };
  static readonly layer: Layer.Layer<Catalogue> = Catalogue.layerOf(products);
}

/** Those of `skus` that are in `all`. */
export const pick = (all: ReadonlyMap<Sku, Product>, skus: ReadonlyArray<Sku>): ReadonlyMap<Sku, Product> =>
  new Map(
    skus.flatMap((sku): ReadonlyArray<readonly [Sku, Product]> => {
      const product = all.get(sku);
      return product === undefined ? [] : [[sku, product]];
    }),
  );
