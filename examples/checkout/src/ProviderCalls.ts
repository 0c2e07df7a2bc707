/**
 * Makes the calls that a `Payment` asked for, outside of any transaction, and says what they found. It decides nothing.
 *
 * A capture is never believed by the word of the capture call itself: what it answers is `accepted` at best, and a probe
 * or the webhook confirms it. The same holds for a refund.
 */
import { Effect } from "effect";
import type { OrderId } from "@org/saga-core";
import { type Outcome, PaymentProvider, type ProviderError } from "@example/contracts";
import type * as Payment from "./Payment.ts";

/** Makes one call; what went wrong is a finding, too. */
export const find = Effect.fn("ProviderCalls.find")(function* (
  orderId: OrderId,
  call: Payment.Call,
  terms: Payment.Terms | null,
): Effect.fn.Return<Payment.Finding, never, PaymentProvider> {
  const provider = yield* PaymentProvider;
  return yield* make(provider, orderId, call, terms).pipe(
    Effect.map((outcome) => findingOf(call, outcome)),
    Effect.catch((error) => Effect.succeed(findingOfError(call, error))),
  );
});

const make = (
  provider: PaymentProvider["Service"],
  orderId: OrderId,
  call: Payment.Call,
  terms: Payment.Terms | null,
): Effect.Effect<Outcome, ProviderError> => {
  const intent = { reference: orderId, idempotencyKey: `${orderId}:${call}` };
  switch (call) {
    case "authorize":
      // Terms are recorded before the first call; without them nothing can have been asked.
      return terms === null ? Effect.succeed({ _tag: "Declined" }) : provider.authorize({ ...intent, ...terms, orderId });
    case "capture":
      return provider.capture(intent);
    case "cancel":
      return provider.cancel(intent);
    case "refund":
      return provider.refund(intent);
    case "probe":
      return provider.probe(orderId);
  }
};

/** What an answer to `call` proves. */
export const findingOf = (call: Payment.Call, outcome: Outcome): Payment.Finding => {
  switch (outcome._tag) {
    case "Processing":
      return "accepted";
    case "Captured":
      return call === "probe" ? "captured" : "accepted";
    case "Refunded":
      return call === "probe" ? "refunded" : "accepted";
    case "Authorized":
      return call === "refund" ? "refundRefused" : "authorized";
    case "Declined":
      return call === "refund" ? "refundRefused" : call === "capture" ? "captureDeclined" : "declined";
    case "Canceled":
      return call === "refund" ? "refundRefused" : "canceled";
    case "NotFound":
      return call === "refund" ? "refundRefused" : "notFound";
  }
};

/** A call that the provider rejects as such has not happened; anything else may have. */
export const findingOfError = (call: Payment.Call, error: ProviderError): Payment.Finding => {
  if (error._tag !== "ProviderRejected") return "unknown";
  switch (call) {
    case "authorize":
      return "declined";
    case "capture":
      return "captureDeclined";
    case "refund":
      return "refundRefused";
    case "cancel":
    case "probe":
      return "unknown";
  }
};
