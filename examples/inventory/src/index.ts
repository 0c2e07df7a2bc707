/** The inventory service. */
export * as InventoryApp from "./InventoryApp.ts";
export * as InventoryHttp from "./InventoryHttp.ts";
export * as InventoryService from "./InventoryService.ts";
export * as StockAnswers from "./StockAnswers.ts";
