/** What `PaymentProvider` promises, for every implementation of it. */
import { CustomerId, Money, OrderId } from "@org/saga-core";
import { type AuthorizeCall, PaymentProvider, type Webhook } from "@example/contracts";
import { assert, describe, it } from "@effect/vitest";
import { Deferred, Effect, type Layer } from "effect";
import type { Intents } from "../src/index.ts";

export type Hear = (event: Webhook.Event) => Effect.Effect<void, unknown>;

/** Collects webhooks; `next` waits for the first of a type and order. */
export class Ear {
  readonly heard: Array<Webhook.Event> = [];
  /** Deliveries to refuse before the first one is heard. */
  deaf = 0;
  readonly #waiting: Array<readonly [type: string, orderId: string, done: Deferred.Deferred<Webhook.Event>]> = [];

  readonly hear: Hear = (event) =>
    Effect.suspend(() => {
      if (this.deaf-- > 0) return Effect.fail("deaf");
      this.heard.push(event);
      const awaited = this.#waiting.filter(([type, orderId]) => type === event.type && orderId === event.data.orderId);
      return Effect.forEach(awaited, ([, , done]) => Deferred.succeed(done, event), { discard: true });
    });

  next(type: Webhook.EventType, orderId: string): Effect.Effect<Webhook.Event> {
    return Effect.gen({ self: this }, function* () {
      const known = this.heard.find((event) => event.type === type && event.data.orderId === orderId);
      if (known !== undefined) return known;
      const done = yield* Deferred.make<Webhook.Event>();
      this.#waiting.push([type, orderId, done]);
      return yield* Deferred.await(done);
    });
  }
}

export const call = (orderId: string, paymentMethod = "pm_success", customerId = "alice"): AuthorizeCall => ({
  reference: orderId,
  idempotencyKey: `${orderId}:authorize`,
  orderId: OrderId.make(orderId),
  customerId: CustomerId.make(customerId),
  amount: Money.of(1_234, "EUR"),
  paymentMethod,
});

export const act = (reference: string, operation: string) => ({ reference, idempotencyKey: `${reference}:${operation}` });

const paid: { readonly _tag: "Captured"; readonly amount: Money.Money } = { _tag: "Captured", amount: Money.of(1_234, "EUR") };

/** `layer` gives up a call after a short time; `Intents` is what lies behind it. */
export const suite = (name: string, layer: (hear: Hear) => Layer.Layer<PaymentProvider | Intents.Intents, unknown>): void => {
  const test = (title: string, body: (ear: Ear, provider: PaymentProvider["Service"]) => Effect.Effect<void, unknown, Intents.Intents>) =>
    it.live(title, () => {
      const ear = new Ear();
      return Effect.flatMap(PaymentProvider, (provider) => body(ear, provider)).pipe(Effect.provide(layer(ear.hear)));
    });

  describe(`PaymentProvider: ${name}`, () => {
    test("authorizes, captures and refunds, and tells by webhook when it is done", (ear, provider) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* provider.probe("o1"), { _tag: "NotFound" });
        assert.deepStrictEqual(yield* provider.authorize(call("o1")), { _tag: "Authorized" });
        assert.deepStrictEqual(yield* provider.capture(act("o1", "capture")), { _tag: "Processing", what: "capture" });
        const captured = yield* ear.next("payment.captured", "o1");
        assert.deepInclude(captured, { id: "evt_o1_captured", data: { reference: "o1", orderId: "o1", amount: 1_234, currency: "EUR" } });
        assert.deepStrictEqual(yield* provider.probe("o1"), paid);
        assert.deepStrictEqual(yield* provider.refund(act("o1", "refund")), { _tag: "Processing", what: "refund" });
        yield* ear.next("payment.refunded", "o1");
        assert.deepStrictEqual(yield* provider.probe("o1"), { _tag: "Refunded", amount: Money.of(1_234, "EUR") });
      }));

    test("repeats its answers", (ear, provider) =>
      Effect.gen(function* () {
        yield* provider.authorize(call("o2"));
        assert.deepStrictEqual(yield* provider.authorize(call("o2")), { _tag: "Authorized" });
        yield* provider.capture(act("o2", "capture"));
        yield* ear.next("payment.captured", "o2");
        assert.deepStrictEqual(yield* provider.capture(act("o2", "capture")), paid);
        assert.deepStrictEqual(yield* provider.authorize(call("o2")), paid);
        assert.strictEqual(ear.heard.length, 1);
      }));

    test("declines, cancels, and refuses what cannot be by telling how it is", (ear, provider) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* provider.authorize(call("o3", "pm_decline")), { _tag: "Declined" });
        assert.deepStrictEqual(yield* provider.capture(act("o3", "capture")), { _tag: "Declined" });
        assert.deepStrictEqual(yield* provider.cancel(act("o3", "cancel")), { _tag: "Declined" });
        assert.deepStrictEqual(yield* provider.authorize(call("o4", "pm_success", "poor-bob")), { _tag: "Declined" });
        assert.deepStrictEqual(yield* provider.cancel(act("o5", "cancel")), { _tag: "Canceled" });
        assert.deepStrictEqual(yield* provider.authorize(call("o5")), { _tag: "Canceled" });
        assert.deepStrictEqual(yield* provider.capture(act("o6", "capture")), { _tag: "NotFound" });
        assert.deepStrictEqual(yield* provider.refund(act("o6", "refund")), { _tag: "NotFound" });
        yield* provider.authorize(call("o7"));
        assert.deepStrictEqual(yield* provider.refund(act("o7", "refund")), { _tag: "Authorized" });
        yield* provider.capture(act("o7", "capture"));
        yield* ear.next("payment.captured", "o7");
        assert.deepStrictEqual(yield* provider.cancel(act("o7", "cancel")), paid);
      }));

    test("rejects a key that was used for something else", (_, provider) =>
      Effect.gen(function* () {
        yield* provider.authorize(call("o8"));
        const error = yield* Effect.flip(provider.capture({ reference: "o8", idempotencyKey: "o8:authorize" }));
        assert.strictEqual(error._tag, "ProviderRejected");
        const other = yield* Effect.flip(provider.authorize({ ...call("o8"), amount: Money.of(1, "EUR") }));
        assert.strictEqual(other._tag, "ProviderRejected");
      }));

    test("never answers pm_timeout and records nothing, so that a cancel leaves a tombstone", (_, provider) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(provider.authorize(call("o9", "pm_timeout")));
        assert.strictEqual(error._tag, "ProviderTimeout");
        assert.deepStrictEqual(yield* provider.probe("o9"), { _tag: "NotFound" });
        assert.deepStrictEqual(yield* provider.cancel(act("o9", "cancel")), { _tag: "Canceled" });
      }));

    test("never confirms a capture of pm_capture_timeout, until it is canceled", (ear, provider) =>
      Effect.gen(function* () {
        yield* provider.authorize(call("o10", "pm_capture_timeout"));
        yield* provider.capture(act("o10", "capture"));
        yield* Effect.sleep("100 millis");
        assert.deepStrictEqual(yield* provider.probe("o10"), { _tag: "Processing", what: "capture" });
        assert.deepStrictEqual(yield* provider.cancel(act("o10", "cancel")), { _tag: "Canceled" });
        assert.deepStrictEqual(yield* provider.capture(act("o10", "capture")), { _tag: "Canceled" });
        assert.strictEqual(ear.heard.length, 0);
      }));

    test("captures pm_late_capture before its webhook comes", (ear, provider) =>
      Effect.gen(function* () {
        yield* provider.authorize(call("o11", "pm_late_capture"));
        yield* provider.capture(act("o11", "capture"));
        while ((yield* provider.probe("o11"))._tag !== "Captured") yield* Effect.sleep("5 millis");
        assert.strictEqual(ear.heard.length, 0);
        yield* ear.next("payment.captured", "o11");
      }));

    test("tells again until it is heard", (ear, provider) =>
      Effect.gen(function* () {
        ear.deaf = 1;
        yield* provider.authorize(call("o12"));
        yield* provider.capture(act("o12", "capture"));
        yield* ear.next("payment.captured", "o12");
        assert.isAtMost(ear.deaf, -1);
      }));

    test("knows what customers can spend", (_, provider) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* provider.balance(CustomerId.make("poor-bob"))).amount, 0);
        assert.isAbove((yield* provider.balance(CustomerId.make("bob"))).amount, 1_000_000);
      }));
  });
};
