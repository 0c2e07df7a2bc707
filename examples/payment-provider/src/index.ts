/** A stub of an outside payment provider: the pure core, the service over it, and an in-process version of it. */
export * as HttpWebhookSender from "./HttpWebhookSender.ts";
export * as Intents from "./Intents.ts";
export * as MemoryPaymentProvider from "./MemoryPaymentProvider.ts";
export * as PaymentIntent from "./PaymentIntent.ts";
export * as PaymentMethod from "./PaymentMethod.ts";
export * as ProviderHttp from "./ProviderHttp.ts";
export * as ProviderService from "./ProviderService.ts";
export * as Settlement from "./Settlement.ts";
