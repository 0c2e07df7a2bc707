/**
 * `POST /api/v1/webhooks/payments`: what the provider tells. Verified on the raw bytes, admitted once per event id, and
 * answered with 2xx only after the commit, so that an event that was not recorded is delivered again.
 *
 * Events come duplicated, unordered, and before the answer of the call that they confirm: the payment's state decides what
 * they mean. One about a payment of someone else is accepted and changes nothing.
 */
import { Clock, Effect, Layer, Option, type Redacted, Result, Schema } from "effect";
import { HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http";
import { Aggregate, IdempotentRequest, type Mailbox, OrderId } from "@org/saga-core";
import { Problem, ProblemMiddleware, Webhook } from "@example/contracts";
import { Payments } from "./CheckoutService.ts";
import type * as Payment from "./Payment.ts";

export const PATH = "/api/v1/webhooks/payments";

/** Whose idempotency keys these are. */
export const SCOPE = "payment-webhook";

const FINDINGS: { readonly [K in Webhook.EventType]: Payment.Finding } = {
  "payment.captured": "captured",
  "payment.refunded": "refunded",
};

const decodeId = Schema.decodeUnknownOption(OrderId);

/** Records an event; answers after the commit. */
export const receive = Effect.fn("PaymentWebhook.receive")(function* ({
  id,
  type,
  data,
}: Webhook.Event): Effect.fn.Return<"Recorded" | "Mismatch" | "InFlight" | "Foreign", Mailbox.Failure, Payments> {
  const orderId = decodeId(data.orderId);
  if (Option.isNone(orderId)) return "Foreign";
  const { mailbox } = yield* Payments;
  const command = (now: number): Payment.Command => ({
    _tag: "Report",
    orderId: orderId.value,
    finding: FINDINGS[type],
    seq: null,
    now,
  });
  const idempotency = { scope: SCOPE, key: id, fingerprint: `${type} ${data.reference}` };
  const handled = yield* IdempotentRequest.settled(mailbox.submit(Aggregate.request(orderId.value, command, { idempotency })));
  if (handled._tag === "InFlight") return "InFlight";
  return handled._tag === "KeyReused" ? "Mismatch" : "Recorded";
});

export const routes = (secrets: ReadonlyArray<Redacted.Redacted>): Layer.Layer<never, never, HttpRouter.HttpRouter | Payments> =>
  Layer.merge(
    HttpRouter.use(
      Effect.fnUntraced(function* (router) {
        const payments = yield* Payments;
        yield* router.add("POST", PATH, (request) => Effect.provideService(answer(request, secrets), Payments, payments));
      }),
    ),
    ProblemMiddleware.methodNotAllowed([{ method: "POST", path: PATH }]),
  );

const answer = Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest, secrets: ReadonlyArray<Redacted.Redacted>) {
  // Too large or broken off: the problem middleware tells.
  const body = yield* Effect.orDie(request.text);
  const nowMillis = yield* Clock.currentTimeMillis;
  const verified = Webhook.verify({ header: request.headers[Webhook.HEADER], body, nowMillis, secrets });
  if (Result.isFailure(verified)) {
    yield* Effect.logWarning(`a webhook was refused: ${verified.failure}`);
    return Problem.response("unauthenticated", { detail: "the signature does not verify" });
  }
  const event = yield* Effect.option(Webhook.decodeEvent(body));
  // Signed, so it is the provider's; an event of a kind that is not known here is none of this service's.
  if (Option.isNone(event)) return HttpServerResponse.empty({ status: 202 });
  return yield* receive(event.value).pipe(
    Effect.map((verdict) => {
      switch (verdict) {
        case "Mismatch":
          return Problem.response("idempotency_key_reused");
        // The same event is being recorded elsewhere, and may yet fail there.
        case "InFlight":
          return Problem.response("idempotency_key_in_flight");
        case "Recorded":
        case "Foreign":
          return HttpServerResponse.empty({ status: 204 });
      }
    }),
    // Not recorded, or not known to be: it is delivered again.
    Effect.catch((error) => Effect.as(Effect.logWarning(`a webhook was not recorded: ${error.message}`), Problem.response("unavailable"))),
  );
});
