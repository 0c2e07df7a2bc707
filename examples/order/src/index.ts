/** The order service: orders and the coordinator of their checkout. */
export * as OrderService from "./OrderService.ts";
