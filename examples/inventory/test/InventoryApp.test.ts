import { HttpClient } from "effect/http";
import { Effect, Layer } from "effect";
import { describe, expect, it } from "vitest";
import { Catalogue, CatalogueUnavailable } from "@example/catalog";
import { InventoryApp } from "@example/inventory";
import { MemoryStock, StockReservation, StoreError } from "@org/saga-core";
import { get, withService } from "./InventoryWorld.ts";

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
        expect(yield* get(`${url}/api/v1/inventory/unicorn`)).toMatchObject({ status: 404, body: { code: "product_not_found" } });
        expect(yield* get(`${url}/api/v1/inventory/%20`)).toMatchObject({ status: 404, body: { code: "not_found" } });
      }),
    ));

  it("has room for each of its loops: what compares the ledger with its records is one, where there is a ledger", () => {
    const loops = (["redis", "postgres", "hybrid"] as const).map((engine) => InventoryApp.shape(engine).loops);
    expect(loops).toEqual([2, 3, 3]);
  });

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
