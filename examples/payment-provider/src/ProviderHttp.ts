/** The provider's API (`ProviderApi`) on `Intents`. Card holder tokens decide the outcome, see `PaymentMethod`. */
import { HttpService, Problem, ProviderApi } from "@example/contracts";
import { Money, type StoreError } from "@org/saga-core";
import { Effect, Layer } from "effect";
import type { HttpRouter } from "effect/http";
import { HttpApiBuilder } from "effect/http-api";
import { Intents, type Refused } from "./Intents.ts";
import * as PaymentIntent from "./PaymentIntent.ts";
import * as PaymentMethod from "./PaymentMethod.ts";

const { currency: EUR } = Money.of(0, "EUR");

const handlers = HttpApiBuilder.group(
  ProviderApi.ProviderApi,
  "intents",
  Effect.fnUntraced(function* (group) {
    const intents = yield* Intents;

    const run = (reference: string, command: PaymentIntent.Command) =>
      intents.run(reference, command).pipe(Effect.map(PaymentIntent.toResource), Effect.mapError(problemOf));

    return group.handleAll({
      create: ({ headers, payload: { reference, orderId, customerId, amount, currency, paymentMethod } }) =>
        PaymentMethod.isSilent(paymentMethod)
          ? Effect.never
          : run(reference, {
              _tag: "Authorize",
              reference,
              key: headers["idempotency-key"],
              terms: { orderId, customerId, amount: { amount, currency }, paymentMethod },
              balance: PaymentIntent.balanceOf(customerId, currency),
            }).pipe(Effect.catchTag("IntentNotFound", Effect.die)),
      probe: ({ params: { reference } }) =>
        intents.find(reference).pipe(
          Effect.mapError(unavailable),
          Effect.flatMap((intent) =>
            intent === null ? Effect.fail(new Problem.IntentNotFound({})) : Effect.succeed(PaymentIntent.toResource(intent)),
          ),
        ),
      capture: ({ headers, params: { reference } }) => run(reference, { _tag: "Capture", key: headers["idempotency-key"] }),
      cancel: ({ headers, params: { reference } }) => run(reference, { _tag: "Cancel", reference, key: headers["idempotency-key"] }),
      refund: ({ headers, params: { reference } }) => run(reference, { _tag: "Refund", key: headers["idempotency-key"] }),
      balance: ({ params: { customerId } }) => Effect.succeed({ customerId, available: PaymentIntent.balanceOf(customerId, EUR) }),
      ledger: ({ query: { orderId } }) => intents.ledger(orderId).pipe(Effect.mapError(unavailable)),
    });
  }),
);

/** The routes; `Intents` is to be provided. */
export const routes: Layer.Layer<never, never, HttpRouter.HttpRouter | Intents | HttpService.Requirements> = HttpService.routes(
  ProviderApi.ProviderApi,
).pipe(Layer.provide(handlers));

const unavailable = (error: StoreError): Problem.Unavailable | Problem.OutcomeUnknown =>
  error.reason === "Unknown" ? new Problem.OutcomeUnknown({}) : new Problem.Unavailable({});

const problemOf = (error: Refused | StoreError) => {
  if (error._tag === "StoreError") return unavailable(error);
  switch (error.reason) {
    case "IntentNotFound":
      return new Problem.IntentNotFound({});
    case "IntentRefused":
      return new Problem.IntentRefused({ detail: `the intent is ${error.status ?? "unknown"}` });
    case "KeyReused":
      return new Problem.IdempotencyKeyReused({ detail: "the key or the reference belongs to another payment or operation" });
  }
};
