import { FetchHttpClient, HttpClient, HttpServer } from "effect/http";
import { Effect, Layer, References } from "effect";
import { describe, expect, it } from "vitest";
import { ServiceConfig } from "@example/contracts";
import { FulfillmentApp } from "@example/fulfillment";
import { MemoryBus, MemoryDatabase, MemoryStores, Outbox, StoreError } from "@org/saga-core";

const config = ((): ServiceConfig.ServiceConfig => {
  const ports = Object.fromEntries(Object.values(ServiceConfig.ports).map(({ variable }) => [variable, "0"]));
  const parsed = ServiceConfig.parse(ports);
  if (parsed._tag === "Failure") throw parsed.failure;
  return parsed.success;
})();

const readiness = (outbox: (store: Outbox["Service"]) => Outbox["Service"]): Promise<ReadonlyArray<number>> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const database = yield* MemoryDatabase.make;
      const stores = Layer.effect(Outbox, Effect.map(Outbox, outbox)).pipe(Layer.provideMerge(MemoryStores.layerOf(database)));
      return yield* Effect.provide(
        Effect.gen(function* () {
          const { address } = yield* HttpServer.HttpServer;
          const url = address._tag === "InetAddressV4" ? `http://127.0.0.1:${address.port}` : "";
          return [(yield* HttpClient.get(`${url}/livez`)).status, (yield* HttpClient.get(`${url}/readyz`)).status];
        }),
        Layer.merge(FulfillmentApp.layer(config).pipe(Layer.provide([stores, MemoryBus.layer])), FetchHttpClient.layer),
      );
    }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None")),
  );

describe("the fulfillment service as a whole", () => {
  it("is alive and ready", async () => {
    expect(await readiness((store) => store)).toEqual([200, 200]);
  });

  it("is alive, and not ready, while its database is away", async () => {
    const away = new StoreError({ reason: "Unavailable", operation: "test", message: "away" });
    expect(await readiness((store) => ({ ...store, pendingShards: Effect.fail(away) }))).toEqual([200, 503]);
  });
});
