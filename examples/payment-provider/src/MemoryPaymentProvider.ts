/**
 * The provider inside of this process: the same decider, ledger and settlement as behind HTTP, over whatever stores are
 * given; webhooks go to a callback. Deterministic on the memory stores: only Effect's clock and fibers.
 */
import { DocumentStore, Limits, Money, type StoreError, Timers, UnitOfWork } from "@org/saga-core";
import {
  CALL_TIMEOUT_MAX_MS,
  HttpPaymentProvider,
  type Outcome,
  PaymentProvider,
  ProviderRejected,
  ProviderTimeout,
  ProviderUnavailable,
  type Webhook,
} from "@example/contracts";
import { Duration, Effect, Layer } from "effect";
import * as Intents from "./Intents.ts";
import * as PaymentIntent from "./PaymentIntent.ts";
import * as PaymentMethod from "./PaymentMethod.ts";
import * as Settlement from "./Settlement.ts";

export interface Options extends Partial<Intents.Options> {
  /** Hears every webhook, at least once; a failure is a delivery that was not heard. */
  readonly onWebhook: (event: Webhook.Event) => Effect.Effect<void, unknown>;
  /** After how long a silent call (`pm_timeout`) fails with `ProviderTimeout`. */
  readonly timeoutMillis?: number;
}

/** `PaymentProvider` on the intents in the environment; the settlement runs elsewhere. */
export const make = Effect.fnUntraced(function* (timeoutMillis: number = CALL_TIMEOUT_MAX_MS) {
  const intents = yield* Intents.Intents;

  const probe = (reference: string) =>
    intents.find(reference).pipe(
      Effect.map((state): Outcome => (state === null ? { _tag: "NotFound" } : outcomeOf(state))),
      Effect.mapError(unavailable("probe")),
    );

  const run = (operation: PaymentIntent.Operation, reference: string, command: PaymentIntent.Command) =>
    intents.run(reference, command).pipe(
      Effect.map(outcomeOf),
      Effect.catch((error): Effect.Effect<Outcome, ProviderUnavailable | ProviderRejected> => {
        if (error._tag === "StoreError") return Effect.fail(unavailable(operation)(error));
        if (error.reason === "IntentNotFound") return Effect.succeed({ _tag: "NotFound" });
        return error.reason === "IntentRefused" ? probe(reference) : Effect.fail(new ProviderRejected({ operation, code: error.reason }));
      }),
    );

  const { expecting } = HttpPaymentProvider;
  return PaymentProvider.of({
    authorize: ({ reference, idempotencyKey, orderId, customerId, amount, paymentMethod }) => {
      const call = run("authorize", reference, {
        _tag: "Authorize",
        reference,
        key: idempotencyKey,
        terms: { orderId, customerId, amount, paymentMethod },
        balance: PaymentIntent.balanceOf(customerId, amount.currency),
      }).pipe(expecting("authorize", HttpPaymentProvider.isAuthorization));
      return PaymentMethod.isSilent(paymentMethod)
        ? Effect.sleep(Duration.millis(timeoutMillis)).pipe(
            Effect.andThen(Effect.fail(new ProviderTimeout({ operation: "authorize", timeoutMillis }))),
          )
        : call;
    },
    capture: ({ reference, idempotencyKey }) =>
      run("capture", reference, { _tag: "Capture", key: idempotencyKey }).pipe(expecting("capture", HttpPaymentProvider.isCapture)),
    cancel: ({ reference, idempotencyKey }) =>
      run("cancel", reference, { _tag: "Cancel", reference, key: idempotencyKey }).pipe(
        expecting("cancel", HttpPaymentProvider.isCancellation),
      ),
    refund: ({ reference, idempotencyKey }) =>
      run("refund", reference, { _tag: "Refund", key: idempotencyKey }).pipe(expecting("refund", HttpPaymentProvider.isRefund)),
    probe,
    balance: (customerId) => Effect.succeed(PaymentIntent.balanceOf(customerId, EUR)),
  });
});

/** The whole provider: intents, settlement and the port, on the stores in the environment. */
export const layer = (options: Options): Layer.Layer<PaymentProvider | Intents.Intents, never, DocumentStore | Timers | UnitOfWork> =>
  Layer.mergeAll(Layer.effect(PaymentProvider, make(options.timeoutMillis)), Settlement.layer).pipe(
    Layer.provideMerge(Intents.layer(options)),
    Layer.provide(
      Layer.succeed(Settlement.WebhookSender, {
        send: (event) => Effect.mapError(options.onWebhook(event), () => new Settlement.NotDelivered({ message: "not heard" })),
      }),
    ),
  );

const { currency: EUR } = Money.of(Limits.MONEY_MAX, "EUR");

const outcomeOf = (intent: PaymentIntent.Intent): Outcome => HttpPaymentProvider.outcomeOf(PaymentIntent.toResource(intent));

const unavailable =
  (operation: string) =>
  (error: StoreError): ProviderUnavailable =>
    new ProviderUnavailable({ operation, message: error.reason });
