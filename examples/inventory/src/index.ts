/** The inventory service. */
export * as InventoryService from "./InventoryService.ts";
export * as StockAnswers from "./StockAnswers.ts";
