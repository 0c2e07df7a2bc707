/** What the shop sells: as a library, as a service over HTTP, and as its client. */
export { CatalogApi } from "./CatalogApi.ts";
export * as CatalogService from "./CatalogService.ts";
export { Catalogue, CatalogueUnavailable } from "./Catalogue.ts";
export * as HttpCatalogue from "./HttpCatalogue.ts";
export * as Pricing from "./Pricing.ts";
export * as Product from "./Product.ts";
