/**
 * A payment provider in memory that keeps the contract, with a line to it that a test may cut. It outlives the service's
 * process. What it has to tell waits in `webhooks` until a courier delivers it.
 */
import { Duration, Effect, Layer } from "effect";
import { type CustomerId, Money, Worker } from "@org/saga-core";
import {
  type AuthorizeCall,
  type Outcome,
  PaymentProvider,
  type ProviderError,
  ProviderRejected,
  ProviderTimeout,
  type Webhook,
} from "@example/contracts";
import { type CheckoutService, type Payment, PaymentWebhook } from "@example/checkout";

export type Line = "works" | "lostRequest" | "lostAnswer" | "rejects";

export interface Intent {
  readonly status: "authorized" | "declined" | "processing" | "captured" | "canceled" | "refunding" | "refunded";
  readonly amount: Money.Money;
  readonly captures: number;
  readonly refunds: number;
}

/** How long the provider takes for a capture or a refund, in milliseconds. */
const SETTLE_MS = 50;
const TIMEOUT_MS = 200;

export class ProviderFake {
  readonly intents = new Map<string, Intent>();
  readonly calls: Array<Payment.Call> = [];
  readonly webhooks: Array<Webhook.Event> = [];
  /** How the line is for the n-th call of its kind (from 1). */
  line: (call: Payment.Call, n: number) => Line = () => "works";
  /** Does it ever finish a capture? */
  captures = true;
  /** Does it tell by webhook? */
  tells = true;
  balance = Money.of(100_000, "EUR");
  balanceLine: () => Line = () => "works";

  readonly layer: Layer.Layer<PaymentProvider> = Layer.succeed(PaymentProvider, {
    authorize: (call) => this.call("authorize", call.reference, authorization, () => this.authorize(call)),
    capture: ({ reference }) => this.call("capture", reference, notAuthorized, () => this.startCapture(reference)),
    cancel: ({ reference }) => this.call("cancel", reference, canceled, () => this.cancel(reference)),
    refund: ({ reference }) => this.call("refund", reference, notCaptured, () => this.startRefund(reference)),
    probe: (reference) =>
      this.call(
        "probe",
        reference,
        (outcome) => outcome,
        () => Effect.void,
      ),
    balance: (_: CustomerId) =>
      Effect.suspend(() => (this.balanceLine() === "works" ? Effect.succeed(this.balance) : this.failure(this.balanceLine(), "balance"))),
  });

  /** Delivers what the provider has to tell, twice each, until it was heard. */
  readonly courier: Layer.Layer<never, never, CheckoutService.Payments> = Worker.layer(
    "courier",
    Effect.suspend(() => {
      const [event] = this.webhooks;
      if (event === undefined) return Effect.sleep(Duration.millis(20));
      return PaymentWebhook.receive(event).pipe(
        Effect.andThen(PaymentWebhook.receive(event)),
        Effect.andThen(Effect.sync(() => void this.webhooks.shift())),
      );
    }),
  );

  count(call: Payment.Call): number {
    return this.calls.filter((each) => each === call).length;
  }

  private call<A extends Outcome>(
    call: Payment.Call,
    reference: string,
    narrow: (outcome: Outcome) => A | null,
    run: () => Effect.Effect<void>,
  ): Effect.Effect<A, ProviderError> {
    return Effect.suspend((): Effect.Effect<A, ProviderError> => {
      this.calls.push(call);
      const line = this.line(call, this.count(call));
      if (line === "lostRequest" || line === "rejects") return this.failure(line, call);
      return run().pipe(
        Effect.andThen(Effect.sleep(Duration.millis(5))),
        Effect.andThen(
          Effect.suspend((): Effect.Effect<A, ProviderError> => {
            if (line === "lostAnswer") return this.failure(line, call);
            const outcome = narrow(outcomeOf(this.intents.get(reference)));
            return outcome === null ? Effect.die(new Error(`the fake broke its contract: ${call}`)) : Effect.succeed(outcome);
          }),
        ),
      );
    });
  }

  private failure(line: Line, operation: string): Effect.Effect<never, ProviderError> {
    if (line === "rejects") return Effect.fail(new ProviderRejected({ operation, code: "InvalidRequest" }));
    return Effect.andThen(
      Effect.sleep(Duration.millis(TIMEOUT_MS)),
      Effect.fail(new ProviderTimeout({ operation, timeoutMillis: TIMEOUT_MS })),
    );
  }

  private authorize({ reference, amount, paymentMethod }: AuthorizeCall): Effect.Effect<void> {
    return Effect.sync(() => {
      const status = paymentMethod === "pm_decline" ? "declined" : "authorized";
      if (!this.intents.has(reference)) this.intents.set(reference, { status, amount, captures: 0, refunds: 0 });
    });
  }

  private cancel(reference: string): Effect.Effect<void> {
    return Effect.sync(() => {
      const intent = this.intents.get(reference) ?? { status: "authorized", amount: Money.of(0, "EUR"), captures: 0, refunds: 0 };
      if (intent.status === "authorized" || intent.status === "processing") this.intents.set(reference, { ...intent, status: "canceled" });
    });
  }

  private startCapture(reference: string): Effect.Effect<void> {
    return this.later(reference, "authorized", "processing", "captured", "payment.captured", () => this.captures);
  }

  private startRefund(reference: string): Effect.Effect<void> {
    return this.later(reference, "captured", "refunding", "refunded", "payment.refunded", () => true);
  }

  private later(
    reference: string,
    from: Intent["status"],
    meanwhile: Intent["status"],
    to: "captured" | "refunded",
    type: Webhook.EventType,
    ever: () => boolean,
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      const intent = this.intents.get(reference);
      if (intent?.status !== from) return Effect.void;
      this.intents.set(reference, { ...intent, status: meanwhile });
      if (!ever()) return Effect.void;
      const settle = Effect.sync(() => {
        const now = this.intents.get(reference);
        if (now?.status !== meanwhile) return;
        const captures = now.captures + (to === "captured" ? 1 : 0);
        const refunds = now.refunds + (to === "refunded" ? 1 : 0);
        this.intents.set(reference, { ...now, status: to, captures, refunds });
        if (this.tells) this.webhooks.push(eventOf(reference, type, now.amount));
      });
      // In a fiber of its own: the provider goes on when its caller dies.
      return Effect.asVoid(Effect.forkDetach(Effect.andThen(Effect.sleep(Duration.millis(SETTLE_MS)), settle)));
    });
  }
}

export const eventOf = (reference: string, type: Webhook.EventType, amount: Money.Money): Webhook.Event => ({
  id: `evt-${type}-${reference}`,
  type,
  created: 1,
  data: { reference, orderId: reference, amount: amount.amount, currency: amount.currency },
});

const outcomeOf = (intent: Intent | undefined): Outcome => {
  switch (intent?.status) {
    case undefined:
      return { _tag: "NotFound" };
    case "authorized":
      return { _tag: "Authorized" };
    case "declined":
      return { _tag: "Declined" };
    case "processing":
      return { _tag: "Processing", what: "capture" };
    case "captured":
      return { _tag: "Captured", amount: intent.amount };
    case "canceled":
      return { _tag: "Canceled" };
    case "refunding":
      return { _tag: "Processing", what: "refund" };
    case "refunded":
      return { _tag: "Refunded", amount: intent.amount };
  }
};

const authorization = (outcome: Outcome) => (outcome._tag === "NotFound" ? null : outcome);
const notAuthorized = (outcome: Outcome) => (outcome._tag === "Authorized" ? null : outcome);
const canceled = (outcome: Outcome) => (outcome._tag === "NotFound" || outcome._tag === "Authorized" ? null : outcome);
const notCaptured = (outcome: Outcome) => (outcome._tag === "Captured" ? null : outcome);
