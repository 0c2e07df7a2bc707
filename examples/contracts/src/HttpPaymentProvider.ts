/**
 * `PaymentProvider` over HTTP. Classifies at the edge: no answer in time is `ProviderTimeout`, no or a broken answer is
 * `ProviderUnavailable`, a 4xx about the call itself is `ProviderRejected`. It never retries: whoever asks decides that,
 * under the same key.
 */
import { Money } from "@org/saga-core";
import { Duration, Effect, Layer } from "effect";
import { HttpClient, HttpClientRequest } from "effect/http";
import { HttpApiClient } from "effect/http-api";
import {
  CALL_TIMEOUT_MAX_MS,
  type IntentCall,
  isOneOf,
  type Outcome,
  PaymentProvider,
  type ProviderError,
  ProviderRejected,
  ProviderTimeout,
  ProviderUnavailable,
} from "./PaymentProvider.ts";
import { type Intent, ProviderApi } from "./ProviderApi.ts";

export interface Options {
  /** Where the provider is, e.g. `http://127.0.0.1:3010`. */
  readonly baseUrl: string;
  /** Bound of one call, at most `CALL_TIMEOUT_MAX_MS`. */
  readonly timeoutMillis?: number;
}

export const outcomeOf = (intent: Intent): Outcome => {
  const money: Money.Money = { amount: intent.amount, currency: intent.currency ?? Money.Currency.make("XXX") };
  switch (intent.status) {
    case "authorized":
      return { _tag: "Authorized" };
    case "declined":
      return { _tag: "Declined" };
    case "processing":
      return { _tag: "Processing", what: "capture" };
    case "captured":
      return { _tag: "Captured", amount: money };
    case "canceled":
      return { _tag: "Canceled" };
    case "refunding":
      return { _tag: "Processing", what: "refund" };
    case "refunded":
      return { _tag: "Refunded", amount: money };
  }
};

export const make = Effect.fnUntraced(function* (options: Options) {
  const timeoutMillis = Math.min(options.timeoutMillis ?? CALL_TIMEOUT_MAX_MS, CALL_TIMEOUT_MAX_MS);
  const client = yield* HttpApiClient.make(ProviderApi, {
    transformClient: HttpClient.mapRequest(HttpClientRequest.prependUrl(options.baseUrl)),
  });

  const bounded =
    (operation: string) =>
    <A>(call: Effect.Effect<A, { readonly _tag: string }>): Effect.Effect<A, ProviderError> =>
      call.pipe(
        Effect.mapError((error) => classify(operation, error)),
        Effect.timeoutOrElse({
          duration: Duration.millis(timeoutMillis),
          orElse: () => Effect.fail(new ProviderTimeout({ operation, timeoutMillis })),
        }),
        Effect.withSpan(`HttpPaymentProvider.${operation}`),
      );

  const probe = (reference: string): Effect.Effect<Outcome, ProviderError> =>
    client.intents.probe({ params: { reference } }).pipe(
      Effect.map(outcomeOf),
      Effect.catchTag("IntentNotFound", () => Effect.succeed<Outcome>({ _tag: "NotFound" })),
      bounded("probe"),
    );

  /** A refusal because of the intent's state is an answer: the state. */
  const stateOr =
    (reference: string) =>
    (error: ProviderError): Effect.Effect<Outcome, ProviderError> => {
      if (error._tag !== "ProviderRejected") return Effect.fail(error);
      if (error.code === "IntentNotFound") return Effect.succeed({ _tag: "NotFound" });
      return error.code === "IntentRefused" ? probe(reference) : Effect.fail(error);
    };

  const act = (operation: "capture" | "cancel" | "refund") => (call: IntentCall) =>
    client.intents[operation]({ params: { reference: call.reference }, headers: { "idempotency-key": call.idempotencyKey } }).pipe(
      Effect.map(outcomeOf),
      bounded(operation),
      Effect.catch(stateOr(call.reference)),
    );

  return PaymentProvider.of({
    authorize: ({ reference, idempotencyKey, orderId, customerId, amount, paymentMethod }) =>
      client.intents
        .create({
          headers: { "idempotency-key": idempotencyKey },
          payload: { reference, orderId, customerId, amount: amount.amount, currency: amount.currency, paymentMethod },
        })
        .pipe(Effect.map(outcomeOf), bounded("authorize"), Effect.catch(stateOr(reference)), expecting("authorize", isAuthorization)),
    capture: (call) => act("capture")(call).pipe(expecting("capture", isCapture)),
    cancel: (call) => act("cancel")(call).pipe(expecting("cancel", isCancellation)),
    refund: (call) => act("refund")(call).pipe(expecting("refund", isRefund)),
    probe,
    balance: (customerId) =>
      client.intents.balance({ params: { customerId } }).pipe(
        Effect.map(({ available }) => available),
        bounded("balance"),
      ),
  });
});

export const layer = (options: Options): Layer.Layer<PaymentProvider, never, HttpClient.HttpClient> =>
  Layer.effect(PaymentProvider, make(options));

/** What each call may answer, by the port. */
export const isAuthorization = isOneOf("Authorized", "Declined", "Processing", "Captured", "Canceled", "Refunded");
export const isCapture = isOneOf("Declined", "Processing", "Captured", "Canceled", "Refunded", "NotFound");
export const isCancellation = isOneOf("Declined", "Processing", "Captured", "Canceled", "Refunded");
export const isRefund = isOneOf("Authorized", "Declined", "Processing", "Canceled", "Refunded", "NotFound");

/** Anything else is a contract broken by the provider: then nothing is known. */
export const expecting =
  <Expected extends Outcome>(operation: string, is: (outcome: Outcome) => outcome is Expected) =>
  (call: Effect.Effect<Outcome, ProviderError>): Effect.Effect<Expected, ProviderError> =>
    Effect.flatMap(call, (outcome) =>
      is(outcome)
        ? Effect.succeed(outcome)
        : Effect.fail(new ProviderUnavailable({ operation, message: `an answer that cannot be: ${outcome._tag}` })),
    );

/** The call itself was wrong: nothing happened, and the same again cannot help. */
const rejections: ReadonlySet<string> = new Set([
  "MalformedJson",
  "InvalidRequest",
  "UnknownField",
  "IdempotencyKeyMissing",
  "IdempotencyKeyInvalid",
  "IdempotencyKeyReused",
  "Unauthenticated",
  "NotFound",
  "BodyTooLarge",
  "UnsupportedMediaType",
  "IntentNotFound",
  "IntentRefused",
]);

const classify = (operation: string, error: { readonly _tag: string }): ProviderError =>
  rejections.has(error._tag)
    ? new ProviderRejected({ operation, code: error._tag })
    : new ProviderUnavailable({ operation, message: error._tag });
