/** The flows of the shop, run against any instance of it over HTTP. */
export { type Flow, flows } from "./Flow.ts";
export * as Flows from "./Flows.ts";
export { runFlows } from "./Flows.ts";
export * as Print from "./Print.ts";
export type { FlowResult, Report } from "./Report.ts";
export * as Sale from "./Sale.ts";
export { runSale } from "./Sale.ts";
export * as ShopClient from "./ShopClient.ts";
