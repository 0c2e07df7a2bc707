/** The order service: orders and the coordinator of their checkout. */
export * as OrderApp from "./OrderApp.ts";
export * as OrderHttp from "./OrderHttp.ts";
export * as OrderService from "./OrderService.ts";
