/** What the services of the shop agree on: APIs, problems, webhooks, settings, and the ports to the outside. */
export * as CheckoutTopology from "./CheckoutTopology.ts";
export * as Concurrency from "./Concurrency.ts";
export * as Connections from "./Connections.ts";
export * as HttpPaymentProvider from "./HttpPaymentProvider.ts";
export * as HttpService from "./HttpService.ts";
export * as InventoryApi from "./InventoryApi.ts";
export * as Operations from "./Operations.ts";
export * as OrdersApi from "./OrdersApi.ts";
export * as Outage from "./Outage.ts";
export * from "./PaymentProvider.ts";
export * as Problem from "./Problem.ts";
export * as ProblemCode from "./ProblemCode.ts";
export * as ProblemMiddleware from "./ProblemMiddleware.ts";
export * as ProviderApi from "./ProviderApi.ts";
export * as ServiceConfig from "./ServiceConfig.ts";
export * as ServiceMain from "./ServiceMain.ts";
export * as TraceContext from "./TraceContext.ts";
export * as Webhook from "./Webhook.ts";
