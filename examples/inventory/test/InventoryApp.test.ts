import { FetchHttpClient, HttpClient, HttpServer } from "effect/http";
import { Effect, Layer, References } from "effect";
import { describe, expect, it } from "vitest";
import { Catalogue, CatalogueUnavailable } from "@example/catalog";
import { ServiceConfig } from "@example/contracts";
import { InventoryApp } from "@example/inventory";
import { MemoryBus, MemoryDatabase, MemoryStock, MemoryStores, StockReservation, StoreError } from "@org/saga-core";

const config = ((): ServiceConfig.ServiceConfig => {
  const ports = Object.fromEntries(Object.values(ServiceConfig.ports).map(({ variable }) => [variable, "0"]));
  const parsed = ServiceConfig.parse(ports);
  if (parsed._tag === "Failure") throw parsed.failure;
  return parsed.success;
})();

/** The whole service on memory adapters, over real HTTP. */
const withService = <A, E>(
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

const get = Effect.fnUntraced(function* (url: string) {
  const response = yield* HttpClient.get(url);
  return { status: response.status, body: yield* response.json };
});

describe("the inventory service over HTTP", () => {
  it("shows the books of a SKU, stocked from the catalogue", () =>
    withService((url) =>
      Effect.gen(function* () {
        expect(yield* get(`${url}/api/v1/inventory/limited-100`)).toEqual({
          status: 200,
          body: { sku: "limited-100", onHand: 100, held: 0, committed: 0, available: 100, shortage: 0 },
        });
      }),
    ));

  it("does not find what it never had, nor what cannot be a SKU", () =>
    withService((url) =>
      Effect.gen(function* () {
        for (const sku of ["unicorn", "%20"]) {
          const { status, body } = yield* get(`${url}/api/v1/inventory/${sku}`);
          expect([status, body]).toEqual([404, expect.objectContaining({ code: "product_not_found" })]);
        }
      }),
    ));

  it("is ready while its stores and its stock answer", () =>
    withService((url) =>
      Effect.gen(function* () {
        expect(yield* (yield* HttpClient.get(`${url}/readyz?verbose`)).text).toBe("stores ok\nstock ok\nready\n");
      }),
    ));

  it("answers 503 while the engine is away", () => {
    const away = new StoreError({ reason: "Unavailable", operation: "test", message: "away" });
    const stock = Layer.effect(
      StockReservation,
      Effect.map(StockReservation, (engine) => ({ ...engine, balances: () => Effect.fail(away), expired: () => Effect.fail(away) })),
    ).pipe(Layer.provide(MemoryStock.layer));
    return withService(
      (url) =>
        Effect.gen(function* () {
          expect((yield* get(`${url}/api/v1/inventory/mug`)).status).toBe(503);
          expect((yield* get(`${url}/readyz`)).body).toMatchObject({ code: "unavailable", detail: "not ready: stock" });
        }),
      stock,
    );
  });

  it("waits for a catalogue that comes up later", () => {
    let failures = 1;
    const catalogue = Layer.effect(
      Catalogue,
      Effect.map(Catalogue, (all) => ({
        ...all,
        list: Effect.suspend(() => (failures-- > 0 ? Effect.fail(new CatalogueUnavailable({ message: "not yet" })) : all.list)),
      })),
    ).pipe(Layer.provide(Catalogue.layer));
    return withService(
      (url) => Effect.map(get(`${url}/api/v1/inventory/mug`), ({ status }) => expect(status).toBe(200)),
      MemoryStock.layer,
      catalogue,
    );
  });
});
