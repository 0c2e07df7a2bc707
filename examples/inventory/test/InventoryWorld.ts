/** The whole inventory service on memory adapters, over real HTTP. */
import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest, HttpServer } from "effect/http";
import { Effect, Layer, References } from "effect";
import { Catalogue } from "@example/catalog";
import { ServiceConfig } from "@example/contracts";
import { InventoryApp } from "@example/inventory";
import { MemoryBus, MemoryDatabase, MemoryStock, MemoryStores, type StockReservation } from "@org/saga-core";

const config = ((): ServiceConfig.ServiceConfig => {
  const ports = Object.fromEntries(Object.values(ServiceConfig.ports).map(({ variable }) => [variable, "0"]));
  const parsed = ServiceConfig.parse(ports);
  if (parsed._tag === "Failure") throw parsed.failure;
  return parsed.success;
})();

export const withService = <A, E>(
  test: (url: string) => Effect.Effect<A, E, HttpClient.HttpClient>,
  stock: Layer.Layer<StockReservation> = MemoryStock.layer,
  catalogue: Layer.Layer<Catalogue> = Catalogue.layer,
): Promise<A> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const database = yield* MemoryDatabase.make;
      const app = InventoryApp.layer(config).pipe(Layer.provide([MemoryStores.layerOf(database), MemoryBus.layer, stock, catalogue]));
      return yield* Effect.provide(
        Effect.gen(function* () {
          const { address } = yield* HttpServer.HttpServer;
          return yield* test(address._tag === "InetAddressV4" ? `http://127.0.0.1:${address.port}` : "");
        }),
        Layer.merge(app, FetchHttpClient.layer),
      );
    }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None")),
  );

export const get = Effect.fnUntraced(function* (url: string) {
  const response = yield* HttpClient.get(url);
  return { status: response.status, body: yield* response.json };
});

export const post = Effect.fnUntraced(function* (url: string, body: unknown) {
  const request = HttpClientRequest.setBody(HttpClientRequest.post(url), HttpBody.jsonUnsafe(body));
  const response = yield* HttpClient.execute(request);
  return { status: response.status, body: yield* response.json };
});
