/** The checkout service: payments. */
export * as BalanceCheck from "./BalanceCheck.ts";
export * as CheckoutService from "./CheckoutService.ts";
export * as CheckoutSettings from "./CheckoutSettings.ts";
export * as PaymentWebhook from "./PaymentWebhook.ts";
export * as Payment from "./Payment.ts";
export * as PaymentMessages from "./PaymentMessages.ts";
export * as ProviderCalls from "./ProviderCalls.ts";
