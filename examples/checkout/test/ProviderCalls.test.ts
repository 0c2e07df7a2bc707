import { Effect } from "effect";
import { describe, expect, it } from "vitest";
import { type Outcome, PaymentProvider, ProviderRejected, ProviderTimeout, ProviderUnavailable } from "@example/contracts";
import { Payment, PaymentMessages, ProviderCalls } from "@example/checkout";
import { CheckoutMessages as M, Message, Money, OrderId } from "@org/saga-core";

const amount = Money.of(1, "EUR");
const calls: ReadonlyArray<Payment.Call> = ["authorize", "capture", "cancel", "refund", "probe"];

/** What each answer proves, in the order of `calls`. */
const proofs: ReadonlyArray<readonly [Outcome, ReadonlyArray<Payment.Finding>]> = [
  [{ _tag: "Authorized" }, ["authorized", "authorized", "authorized", "refundRefused", "authorized"]],
  [{ _tag: "Declined" }, ["declined", "captureDeclined", "declined", "refundRefused", "declined"]],
  [{ _tag: "Processing", what: "capture" }, ["accepted", "accepted", "accepted", "accepted", "accepted"]],
  [{ _tag: "Processing", what: "refund" }, ["accepted", "accepted", "accepted", "accepted", "accepted"]],
  [{ _tag: "Captured", amount }, ["accepted", "accepted", "accepted", "accepted", "captured"]],
  [{ _tag: "Canceled" }, ["canceled", "canceled", "canceled", "refundRefused", "canceled"]],
  [{ _tag: "Refunded", amount }, ["accepted", "accepted", "accepted", "accepted", "refunded"]],
  [{ _tag: "NotFound" }, ["notFound", "notFound", "notFound", "refundRefused", "notFound"]],
];

describe("what a provider's answer proves", () => {
  it.each(proofs)("%j", (outcome, findings) => {
    expect(calls.map((call) => ProviderCalls.findingOf(call, outcome))).toEqual(findings);
  });

  it("money is believed to have moved only by the word of a probe", () => {
    const believed = proofs.flatMap(([outcome]) =>
      calls.filter((call) => ["captured", "refunded"].includes(ProviderCalls.findingOf(call, outcome))),
    );
    expect(new Set(believed)).toEqual(new Set(["probe"]));
  });

  it("nothing, if there is none; a rejected call has not happened", () => {
    const rejected = new ProviderRejected({ operation: "x", code: "InvalidRequest" });
    expect(calls.map((call) => ProviderCalls.findingOfError(call, rejected))).toEqual([
      "declined",
      "captureDeclined",
      "unknown",
      "refundRefused",
      "unknown",
    ]);
    for (const error of [
      new ProviderTimeout({ operation: "x", timeoutMillis: 1 }),
      new ProviderUnavailable({ operation: "x", message: "away" }),
    ]) {
      expect(new Set(calls.map((call) => ProviderCalls.findingOfError(call, error)))).toEqual(new Set(["unknown"]));
    }
  });

  it("an authorization without terms is asked of nobody", () => {
    const asked = Effect.die(new Error("asked"));
    const nobody: PaymentProvider["Service"] = {
      authorize: () => asked,
      capture: () => asked,
      cancel: () => asked,
      refund: () => asked,
      probe: () => asked,
      balance: () => asked,
    };
    const finding = Effect.runSync(
      Effect.provideService(ProviderCalls.find(OrderId.make("order-1"), "authorize", null), PaymentProvider, nobody),
    );
    expect(finding).toBe("declined");
  });
});

describe("a payment's messages", () => {
  it("are those of the payment, and no others", () => {
    const orderId = OrderId.make("order-1");
    const read = Message.decode(
      M.catalogue,
      Message.stamp(M.ShipStock.draft({ orderId }), {
        id: "m-1",
        occurredAt: 1,
        correlationId: "c",
        causationId: null,
        traceparent: null,
        tracestate: null,
      }),
    );
    if (read._tag === "Failure") throw new Error(read.failure.detail);
    expect(PaymentMessages.fromMessage(read.success, 1)).toBeNull();
  });
});
