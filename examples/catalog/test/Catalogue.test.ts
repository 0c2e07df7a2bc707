import { createServer } from "node:http";
import { NodeHttpServer } from "@effect/platform-node";
import { HttpService, Problem } from "@example/contracts";
import { Quantity, Sku } from "@org/saga-core";
import { assert, describe, it } from "@effect/vitest";
import { Effect, Layer, Schema } from "effect";
import { FetchHttpClient, HttpClient, HttpRouter, HttpServerResponse } from "effect/http";
import { TestClock } from "effect/testing";
import { CatalogService, Catalogue, HttpCatalogue, Pricing, Product } from "../src/index.ts";

const line = (sku: string, quantity: number) => ({ sku: Sku.make(sku), quantity: Quantity.make(quantity) });

const ports = { order: 0, checkout: 0, inventory: 0, catalog: 0, fulfillment: 0, notification: 0, "payment-provider": 0 };
const service = CatalogService.layer({ http: { host: "127.0.0.1", ports } }).pipe(Layer.provide(Catalogue.layer));

/** The client against a service of its own. */
const overHttp = Layer.unwrap(Effect.map(HttpService.url, (baseUrl) => HttpCatalogue.layer({ baseUrl }))).pipe(
  Layer.provide(service),
  Layer.provide(FetchHttpClient.layer),
);

describe("Product", () => {
  it("has what the flows need: goods in stock, one that never is, one that cannot be shipped, and a hundred of one", () => {
    const stock = new Map(Product.products.map(({ sku, initialStock }): readonly [string, number] => [sku, initialStock]));
    assert.strictEqual(stock.size, Product.products.length);
    assert.strictEqual(stock.get("sold-out"), 0);
    assert.strictEqual(stock.get("limited-100"), 100);
    for (const sku of ["tshirt", "mug", "poster", Product.UNSHIPPABLE]) assert.isAbove(stock.get(sku) ?? 0, 1_000_000);
  });
});

for (const [name, layer] of [
  ["in this process", Catalogue.layer],
  ["over HTTP", overHttp],
] as const) {
  describe(`Catalogue: ${name}`, () => {
    it.live("finds what is there, and leaves out what is not", () =>
      Effect.gen(function* () {
        const catalogue = yield* Catalogue;
        const found = yield* catalogue.find([Sku.make("mug"), Sku.make("unicorn")]);
        assert.deepStrictEqual([...found.keys()], [Sku.make("mug")]);
        assert.deepStrictEqual(yield* catalogue.list, Product.products);
      }).pipe(Effect.provide(layer)),
    );

    it.live("prices a cart, same SKUs summed, and names every unknown SKU by its line", () =>
      Effect.gen(function* () {
        const priced = yield* Pricing.price([line("mug", 1), line("tshirt", 1), line("mug", 2)]);
        assert.deepStrictEqual(
          priced.map(({ sku, quantity, name, unitPrice }) => [sku, quantity, name, unitPrice.amount]),
          [
            ["mug", 3, "Mug", 899],
            ["tshirt", 1, "T-shirt", 1_999],
          ],
        );
        const unknown = yield* Effect.flip(Pricing.price([line("mug", 1), line("unicorn", 1), line("dragon", 1)]));
        assert.strictEqual(unknown._tag, "UnknownSku");
        assert.deepStrictEqual(
          unknown.errors?.map(({ pointer }) => pointer),
          ["/lines/1/sku", "/lines/2/sku"],
        );
        const much = yield* Effect.flip(Pricing.price([line("mug", 600_000), line("mug", 600_000)]));
        assert.strictEqual(much._tag, "QuantityTooLarge");
      }).pipe(Effect.provide(layer)),
    );
  });
}

describe("CatalogService", () => {
  it.live("answers products, and a problem for what is not there", () =>
    Effect.gen(function* () {
      const url = yield* HttpService.url;
      const mug = yield* HttpClient.get(`${url}/api/v1/products/mug`);
      assert.deepInclude(yield* mug.json, { sku: "mug", unitPrice: { amount: 899, currency: "EUR" } });
      const none = yield* HttpClient.get(`${url}/api/v1/products/unicorn`);
      assert.strictEqual(none.status, 404);
      const body = yield* Schema.decodeUnknownEffect(Problem.Body)(yield* none.json);
      assert.strictEqual(body.code, "product_not_found");
      assert.strictEqual((yield* HttpClient.get(`${url}/readyz`)).status, 200);
    }).pipe(Effect.provide(service), Effect.provide(FetchHttpClient.layer)),
  );
});

describe("HttpCatalogue", () => {
  /** Counts the questions, and answers while it is up. */
  const counting = () => {
    const state = { asked: 0, up: true };
    const routes = HttpRouter.add(
      "GET",
      "/api/v1/products",
      Effect.sync(() => {
        state.asked += 1;
        return state.up ? HttpServerResponse.jsonUnsafe(Product.products) : HttpServerResponse.empty({ status: 503 });
      }),
    );
    const server = HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
      Layer.provideMerge(FetchHttpClient.layer),
    );
    return { state, server };
  };

  it.effect("asks once for many, keeps the answer for a moment, and lives on it while the service is away", () => {
    const { state, server } = counting();
    return Effect.gen(function* () {
      const catalogue = yield* HttpCatalogue.make({ baseUrl: yield* HttpService.url, keepMillis: 1_000, staleMillis: 5_000 });
      const find = catalogue.find([Sku.make("mug")]);
      yield* Effect.all([find, find, catalogue.list], { concurrency: "unbounded" });
      assert.strictEqual(state.asked, 1);
      yield* TestClock.adjust("1 second");
      yield* find;
      assert.strictEqual(state.asked, 2);
      state.up = false;
      yield* TestClock.adjust("1 second");
      assert.strictEqual((yield* find).size, 1);
      yield* TestClock.adjust("5 seconds");
      const error = yield* Effect.flip(find);
      assert.strictEqual(error._tag, "CatalogueUnavailable");
    }).pipe(Effect.provide(server));
  });

  it.live("fails when nobody answers, in time or at all, and the order is answered 503", () =>
    Effect.gen(function* () {
      const nobody = yield* HttpCatalogue.make({ baseUrl: "http://127.0.0.1:9" });
      assert.strictEqual((yield* Effect.flip(nobody.list))._tag, "CatalogueUnavailable");
      const priced = yield* Effect.flip(Effect.provideService(Pricing.price([line("mug", 1)]), Catalogue, nobody));
      assert.strictEqual(priced._tag, "Unavailable");
      const slow = HttpRouter.serve(HttpRouter.add("GET", "/*", Effect.never), { disableLogger: true, disableListenLog: true }).pipe(
        Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: 10 })),
      );
      yield* Effect.gen(function* () {
        const catalogue = yield* HttpCatalogue.make({ baseUrl: yield* HttpService.url, timeoutMillis: 50 });
        assert.include((yield* Effect.flip(catalogue.list)).message, "50 ms");
      }).pipe(Effect.provide(slow));
    }).pipe(Effect.provide(FetchHttpClient.layer)),
  );
});
