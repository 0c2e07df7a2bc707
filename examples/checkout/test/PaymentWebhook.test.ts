import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest, HttpServer } from "effect/http";
import { Effect, Layer, Redacted, References } from "effect";
import { describe, expect, it } from "vitest";
import { ServiceConfig, Webhook } from "@example/contracts";
import { CheckoutApp, PaymentWebhook } from "@example/checkout";
import { IdempotencyKeys, MemoryBus, MemoryDatabase, MemoryStores, MessageBus, Money } from "@org/saga-core";
import { eventOf, ProviderFake } from "./ProviderFake.ts";

const [old, fresh] = [Redacted.make("old-secret"), Redacted.make("new-secret")];

const config = ((): ServiceConfig.ServiceConfig => {
  const ports = Object.fromEntries(Object.values(ServiceConfig.ports).map(({ variable }) => [variable, "0"]));
  const parsed = ServiceConfig.parse(ports);
  if (parsed._tag === "Failure") throw parsed.failure;
  return { ...parsed.success, webhookSecrets: [fresh, old] };
})();

/** The whole service on memory stores, over real HTTP. */
const withService = <A, E>(
  test: (url: string, database: MemoryDatabase.Database) => Effect.Effect<A, E, HttpClient.HttpClient>,
  settings: CheckoutApp.Settings = config,
  keys: (intact: IdempotencyKeys["Service"]) => IdempotencyKeys["Service"] = (intact) => intact,
): Promise<A> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const database = yield* MemoryDatabase.make;
      const stores = MemoryStores.layerOf(database);
      const wrapped = Layer.merge(stores, Layer.provide(Layer.effect(IdempotencyKeys, Effect.map(IdempotencyKeys, keys)), stores));
      const app = CheckoutApp.layer(settings).pipe(Layer.provide([wrapped, Layer.effect(MessageBus, quiet), new ProviderFake().layer]));
      return yield* Effect.provide(
        Effect.gen(function* () {
          const { address } = yield* HttpServer.HttpServer;
          return yield* test(address._tag === "InetAddressV4" ? `http://127.0.0.1:${address.port}` : "", database);
        }),
        Layer.merge(app, FetchHttpClient.layer),
      );
    }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None")),
  );

/** A bus that nobody speaks on. */
const quiet = Effect.provide(MessageBus, MemoryBus.layer);

const deliver = Effect.fnUntraced(function* (url: string, body: string, signature: string | null) {
  const request = HttpClientRequest.post(`${url}${PaymentWebhook.PATH}`).pipe(
    HttpClientRequest.setBody(HttpBody.text(body, "application/json")),
    signature === null ? (same) => same : HttpClientRequest.setHeader(Webhook.HEADER, signature),
  );
  const { status } = yield* HttpClient.execute(request);
  return status;
});

const event = Webhook.encodeEvent(eventOf("order-1", "payment.captured", Money.of(1_999, "EUR")));
const signed = (body: string, secrets = [fresh], now = Date.now()) => Webhook.sign(body, now, secrets);

describe("POST /api/v1/webhooks/payments", () => {
  it("records an event that is signed with any of the secrets, as often as it comes", () =>
    withService((url, database) =>
      Effect.gen(function* () {
        expect(yield* deliver(url, event, signed(event))).toBe(204);
        expect(yield* deliver(url, event, signed(event, [old]))).toBe(204);
        expect(database.idempotencyKeys.committed.size).toBe(1);
      }),
    ));

  it("is not answered with success while the same event is in flight elsewhere: it may yet fail there", () => {
    let isHeld = true;
    return withService(
      (url, database) =>
        Effect.gen(function* () {
          expect(yield* deliver(url, event, signed(event))).toBe(409);
          expect(database.idempotencyKeys.committed.size).toBe(0);
          isHeld = false;
          expect(yield* deliver(url, event, signed(event))).toBe(204);
          expect(database.idempotencyKeys.committed.size).toBe(1);
        }),
      config,
      (intact) => ({
        ...intact,
        claim: (list) => (isHeld ? Effect.succeed(list.map(() => ({ _tag: "InFlight" as const }))) : intact.claim(list)),
      }),
    );
  });

  it("refuses what is not signed, signed by someone else, changed, or old, and records nothing", () =>
    withService((url, database) =>
      Effect.gen(function* () {
        const changed = event.replace("1999", "1");
        for (const [body, signature] of [
          [event, null],
          [event, "t=1,v1=zz"],
          [event, signed(event, [Redacted.make("guessed")])],
          [changed, signed(event)],
          [event, signed(event, [fresh], Date.now() - 3_600_000)],
        ] as const) {
          expect(yield* deliver(url, body, signature)).toBe(401);
        }
        expect(database.idempotencyKeys.committed.size).toBe(0);
      }),
    ));

  it("accepts an event of a kind that it does not know, and one that is not about an order of its own", () =>
    withService((url, database) =>
      Effect.gen(function* () {
        const unknown = JSON.stringify({ id: "evt-1", type: "payment.disputed" });
        expect(yield* deliver(url, unknown, signed(unknown))).toBe(202);
        const foreign = event.replaceAll("order-1", "not an order");
        expect(yield* deliver(url, foreign, signed(foreign))).toBe(204);
        expect(database.idempotencyKeys.committed.size).toBe(0);
      }),
    ));

  it("refuses another event under the id of one that it has recorded", () =>
    withService((url) =>
      Effect.gen(function* () {
        yield* deliver(url, event, signed(event));
        const other = event.replace('"type":"payment.captured"', '"type":"payment.refunded"');
        expect(yield* deliver(url, other, signed(other))).toBe(422);
      }),
    ));

  it("answers operators, too, and has no webhook without the web role", () =>
    withService(
      (url) =>
        Effect.gen(function* () {
          for (const path of ["/livez", "/readyz", "/health", "/metrics"]) {
            expect((yield* HttpClient.get(`${url}${path}`)).status).toBe(200);
          }
          expect(yield* deliver(url, event, signed(event))).toBe(404);
        }),
      { ...config, roles: new Set(["worker"]) },
    ));
});
