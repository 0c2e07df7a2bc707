import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest, HttpServer } from "effect/http";
import { Effect, Layer, References } from "effect";
import { describe, expect, it } from "vitest";
import { Catalogue } from "@example/catalog";
import { ServiceConfig } from "@example/contracts";
import { OrderApp } from "@example/order";
import { MemoryBus, MemoryDatabase, MemoryStores } from "@org/saga-core";

const config = ((): ServiceConfig.ServiceConfig => {
  const ports = Object.fromEntries(Object.values(ServiceConfig.ports).map(({ variable }) => [variable, "0"]));
  const parsed = ServiceConfig.parse(ports);
  if (parsed._tag === "Failure") throw parsed.failure;
  return parsed.success;
})();

/** The whole service on memory adapters, over real HTTP. */
const withService = <A, E>(settings: OrderApp.Settings, test: (url: string) => Effect.Effect<A, E, HttpClient.HttpClient>): Promise<A> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const database = yield* MemoryDatabase.make;
      const app = OrderApp.layer(settings).pipe(Layer.provide([MemoryStores.layerOf(database), MemoryBus.layer, Catalogue.layer]));
      return yield* Effect.provide(
        Effect.gen(function* () {
          const { address } = yield* HttpServer.HttpServer;
          return yield* test(address._tag === "InetAddressV4" ? `http://127.0.0.1:${address.port}` : "");
        }),
        Layer.merge(app, FetchHttpClient.layer),
      );
    }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None")),
  );

const place = (url: string) =>
  HttpClient.execute(
    HttpClientRequest.post(`${url}/api/v1/orders`).pipe(
      HttpClientRequest.setHeaders({ "x-customer-id": "ada", "idempotency-key": "k" }),
      HttpClientRequest.setBody(HttpBody.jsonUnsafe({ lines: [{ sku: "mug", quantity: 1 }], paymentMethod: "pm_success" })),
    ),
  );

describe("the order service as a whole", () => {
  it("takes orders, and answers operators", () =>
    withService(
      config,
      Effect.fnUntraced(function* (url) {
        expect((yield* place(url)).status).toBe(201);
        for (const path of ["/livez", "/readyz", "/health", "/metrics", "/openapi.json", "/docs"]) {
          expect((yield* HttpClient.get(`${url}${path}`)).status).toBe(200);
        }
      }),
    ));

  it("answers operators only without the web role", () =>
    withService(
      { ...config, roles: new Set(["consumer"]) },
      Effect.fnUntraced(function* (url) {
        expect((yield* place(url)).status).toBe(404);
        expect((yield* HttpClient.get(`${url}/readyz`)).status).toBe(200);
      }),
    ));

  it("gives a payment both of its deadlines before it asks again", () => {
    const { paymentTimeoutMillis, stepTimeoutMillis, cancelWindowMillis, holdTtlMillis } = OrderApp.sagaSettings(config);
    expect(paymentTimeoutMillis).toBeGreaterThan(2 * config.payment.deadlineMillis);
    expect([stepTimeoutMillis, cancelWindowMillis, holdTtlMillis]).toEqual([10_000, 500, 600_000]);
  });
});
