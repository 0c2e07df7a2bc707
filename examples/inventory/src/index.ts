/** The inventory service. */
export * as InventoryApp from "./InventoryApp.ts";
export * as InventoryHttp from "./InventoryHttp.ts";
export * as InventoryMessages from "./InventoryMessages.ts";
export * as InventoryService from "./InventoryService.ts";
