/** The fulfillment service. */
export * as FulfillmentApp from "./FulfillmentApp.ts";
export * as FulfillmentService from "./FulfillmentService.ts";
export * as Shipment from "./Shipment.ts";
export * as ShipmentMessages from "./ShipmentMessages.ts";
