/** The catalogue over HTTP, under /api/v1. */
import { Problem, ProblemMiddleware } from "@example/contracts";
import { Sku } from "@org/saga-core";
import { Schema } from "effect";
import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api";
import { Product } from "./Product.ts";

export class ProductsGroup extends HttpApiGroup.make("products")
  .add(
    HttpApiEndpoint.get("list", "/products", { success: Schema.Array(Product), error: Problem.Unavailable }),
    HttpApiEndpoint.get("get", "/products/:sku", {
      params: { sku: Sku },
      success: Product,
      error: [Problem.ProductNotFound, Problem.Unavailable],
    }),
  )
  .middleware(ProblemMiddleware.RequestProblems)
  .prefix("/api/v1")
  .annotateMerge(OpenApi.annotations({ title: "Products" })) {}

export class CatalogApi extends HttpApi.make("catalog-api")
  .add(ProductsGroup)
  .annotateMerge(OpenApi.annotations({ title: "Catalogue", version: "1" })) {}
