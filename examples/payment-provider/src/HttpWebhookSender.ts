/** Webhooks over HTTP: a signed POST; whatever is not 2xx in time counts as not heard. */
import { Webhook } from "@example/contracts";
import { Clock, Duration, Effect, Layer, type Redacted } from "effect";
import { HttpBody, HttpClient, HttpClientRequest } from "effect/http";
import { NotDelivered, WebhookSender } from "./Settlement.ts";

/** Milliseconds a receiver may take: it should store and answer. */
export const TIMEOUT_MS = 5_000;

export interface Options {
  readonly url: string;
  /** The newest first; several while one rotates. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>;
  readonly timeoutMillis?: number;
}

export const layer = ({ url, secrets, timeoutMillis = TIMEOUT_MS }: Options): Layer.Layer<WebhookSender, never, HttpClient.HttpClient> =>
  Layer.effect(
    WebhookSender,
    Effect.map(HttpClient.HttpClient, (client) => ({
      send: Effect.fn("HttpWebhookSender.send")(function* (event: Webhook.Event) {
        const body = Webhook.encodeEvent(event);
        const now = yield* Clock.currentTimeMillis;
        const request = HttpClientRequest.post(url).pipe(
          HttpClientRequest.setHeader(Webhook.HEADER, Webhook.sign(body, now, secrets)),
          HttpClientRequest.setBody(HttpBody.text(body, "application/json")),
        );
        const response = yield* client.execute(request).pipe(
          Effect.mapError((error) => new NotDelivered({ message: error._tag })),
          Effect.timeoutOrElse({
            duration: Duration.millis(timeoutMillis),
            orElse: () => Effect.fail(new NotDelivered({ message: `no answer within ${timeoutMillis} ms` })),
          }),
        );
        if (response.status < 200 || response.status > 299) return yield* new NotDelivered({ message: `answered ${response.status}` });
      }, Effect.scoped),
    })),
  );
