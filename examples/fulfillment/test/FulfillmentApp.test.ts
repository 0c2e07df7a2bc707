import { FetchHttpClient, HttpClient, HttpServer } from "effect/http";
import { Effect, Layer, References } from "effect";
import { describe, expect, it } from "vitest";
import { ServiceConfig } from "@example/contracts";
import { FulfillmentApp } from "@example/fulfillment";
import { MemoryBus, MemoryDatabase, MemoryStores, Outbox, SagaStore, StoreError, UnitOfWork } from "@org/saga-core";

const config = ((): ServiceConfig.ServiceConfig => {
  const ports = Object.fromEntries(Object.values(ServiceConfig.ports).map(({ variable }) => [variable, "0"]));
  const parsed = ServiceConfig.parse(ports);
  if (parsed._tag === "Failure") throw parsed.failure;
  return parsed.success;
})();

const readiness = (
  outbox: (store: Outbox["Service"]) => Outbox["Service"],
  settings: FulfillmentApp.Settings = config,
): Promise<ReadonlyArray<number>> =>
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
        Layer.merge(FulfillmentApp.layer(settings).pipe(Layer.provide([stores, MemoryBus.layer])), FetchHttpClient.layer),
      );
    }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None")),
  );

describe("the fulfillment service as a whole", () => {
  it("is alive and ready", async () => {
    expect(await readiness((store) => store)).toEqual([200, 200]);
  });

  it("is ready without a coordinator, too", async () => {
    expect(await readiness((store) => store, { ...config, topology: "choreographed" })).toEqual([200, 200]);
  });

  it("does not start if its part of the choreography was changed under a version that has run here", async () => {
    const changed = Effect.gen(function* () {
      const database = yield* MemoryDatabase.make;
      const stores = MemoryStores.layerOf(database);
      const before = { saga: "checkout/fulfillment", version: 1, fingerprint: "another", shape: null };
      yield* Effect.provide(
        Effect.flatMap(UnitOfWork, (unit) => unit.commit(Effect.flatMap(SagaStore, (sagas) => sagas.keepShapes([before])))),
        stores,
      );
      const app = FulfillmentApp.layer({ ...config, topology: "choreographed" }).pipe(Layer.provide([stores, MemoryBus.layer]));
      return yield* Effect.flip(Layer.build(app));
    });
    expect(await Effect.runPromise(Effect.scoped(changed))).toMatchObject({ _tag: "SagaChanged", saga: "checkout/fulfillment", live: 0 });
  });

  it("is alive, and not ready, while its database is away", async () => {
    const away = new StoreError({ reason: "Unavailable", operation: "test", message: "away" });
    expect(await readiness((store) => ({ ...store, pendingShards: Effect.fail(away) }))).toEqual([200, 503]);
  });
});
