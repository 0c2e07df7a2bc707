import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest, HttpServer } from "effect/http";
import { Deferred, Effect, Fiber, Layer, References, Schedule } from "effect";
import { describe, expect, it } from "vitest";
import { Catalogue } from "@example/catalog";
import { CheckoutTopology, ServiceConfig } from "@example/contracts";
import { OrderApp } from "@example/order";
import { MemoryBus, MemoryDatabase, MemoryStores, OrderStore } from "@org/saga-core";

const config = ((): ServiceConfig.ServiceConfig => {
  const ports = Object.fromEntries(Object.values(ServiceConfig.ports).map(({ variable }) => [variable, "0"]));
  const parsed = ServiceConfig.parse(ports);
  if (parsed._tag === "Failure") throw parsed.failure;
  return parsed.success;
})();

/** The whole service on memory adapters, over real HTTP. */
const withService = <A, E>(
  settings: OrderApp.Settings,
  test: (url: string, database: MemoryDatabase.Database) => Effect.Effect<A, E, HttpClient.HttpClient>,
  orders: (store: OrderStore["Service"]) => OrderStore["Service"] = (store) => store,
): Promise<A> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const database = yield* MemoryDatabase.make;
      const stores = MemoryStores.layerOf(database);
      const wrapped = Layer.effect(OrderStore, Effect.map(OrderStore, orders)).pipe(Layer.provideMerge(stores));
      const app = OrderApp.layer(settings).pipe(Layer.provide([wrapped, MemoryBus.layer, Catalogue.layer]));
      return yield* Effect.provide(
        Effect.gen(function* () {
          const { address } = yield* HttpServer.HttpServer;
          return yield* test(address._tag === "InetAddressV4" ? `http://127.0.0.1:${address.port}` : "", database);
        }),
        Layer.merge(app, FetchHttpClient.layer),
      );
    }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None")),
  );

const place = (url: string, key = "k") =>
  HttpClient.execute(
    HttpClientRequest.post(`${url}/api/v1/orders`).pipe(
      HttpClientRequest.setHeaders({ "x-customer-id": "ada", "idempotency-key": key }),
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

  it("tells on /metrics how its outbox is doing, where it has a relay", () =>
    withService(
      config,
      Effect.fnUntraced(function* (url) {
        expect((yield* place(url)).status).toBe(201);
        const scrape = Effect.flatMap(HttpClient.get(`${url}/metrics`), (response) => response.text);
        const told = scrape.pipe(
          Effect.filterOrFail((text) => text.includes("saga_outbox_pending")),
          Effect.retry({ schedule: Schedule.spaced("20 millis"), times: 500 }),
        );
        const metrics = yield* told;
        for (const name of ["pending", "oldest_age_seconds", "parked", "held"]) {
          expect(metrics).toMatch(new RegExp(`^saga_outbox_${name}\\{outbox="order"\\} \\d`, "m"));
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

  it("refuses what its mailbox cannot hold, at once, with 503 and when to come back, and does nothing of it", () => {
    const begun = Deferred.makeUnsafe<void>();
    const gate = Deferred.makeUnsafe<void>();
    const mailbox = { capacity: 3, batchMax: 1, inFlightMax: 1 };
    const settings: OrderApp.Settings = {
      ...config,
      roles: new Set(["web"]),
      concurrency: { ...config.concurrency, mailbox },
    };
    const slow = (store: OrderStore["Service"]): OrderStore["Service"] => ({
      ...store,
      save: (changes) => Deferred.succeed(begun, undefined).pipe(Effect.andThen(Deferred.await(gate)), Effect.andThen(store.save(changes))),
    });
    const overload = Effect.fnUntraced(function* (url: string, database: MemoryDatabase.Database) {
      const first = yield* Effect.forkChild(place(url, "first"));
      yield* Deferred.await(begun);
      const refused: Array<unknown> = [];
      const others = yield* Effect.forkChild(
        Effect.forEach(
          [1, 2, 3, 4, 5, 6, 7, 8, 9],
          Effect.fnUntraced(function* (n) {
            const { status, headers } = yield* place(url, `key-${n}`);
            if (status !== 201) refused.push([status, headers["content-type"], headers["retry-after"]]);
            // Three wait; when the rest has its answer, they go on.
            if (refused.length === 6) yield* Deferred.succeed(gate, undefined);
            return status;
          }),
          { concurrency: "unbounded" },
        ),
      );
      const statuses = [(yield* Fiber.join(first)).status, ...(yield* Fiber.join(others))];
      expect(statuses.filter((status) => status === 201)).toHaveLength(1 + mailbox.capacity);
      expect(refused).toEqual(Array.from({ length: 6 }, () => [503, "application/problem+json", "1"]));
      expect([database.orders.committed.size, database.outboxPending.committed.size]).toEqual([4, 4]);
    });
    return withService(settings, overload, slow);
  });

  it("gives a payment both of its deadlines before it asks again", () => {
    const { paymentTimeoutMillis, stepTimeoutMillis, cancelWindowMillis, holdTtlMillis } = CheckoutTopology.optionsOf(config);
    expect(paymentTimeoutMillis).toBeGreaterThan(2 * config.payment.deadlineMillis);
    expect([stepTimeoutMillis, cancelWindowMillis, holdTtlMillis]).toEqual([10_000, 500, 600_000]);
  });
});
