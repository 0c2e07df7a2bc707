import { FetchHttpClient, HttpClient, HttpServer } from "effect/http";
import { Effect, Layer, References } from "effect";
import { describe, expect, it } from "vitest";
import { ServiceConfig } from "@example/contracts";
import { NotificationApp } from "@example/notification";
import {
  CheckoutMessages as M,
  DocumentStore,
  MemoryBus,
  MemoryDatabase,
  MemoryStores,
  Message,
  MessageBus,
  MessageId,
  OrderId,
  StoreError,
} from "@org/saga-core";

const config = ((): ServiceConfig.ServiceConfig => {
  const ports = Object.fromEntries(Object.values(ServiceConfig.ports).map(({ variable }) => [variable, "0"]));
  const parsed = ServiceConfig.parse(ports);
  if (parsed._tag === "Failure") throw parsed.failure;
  return parsed.success;
})();

/** The whole service on memory adapters, over real HTTP. */
const withService = <A, E>(
  test: (url: string) => Effect.Effect<A, E, HttpClient.HttpClient | MessageBus>,
  documents: (store: DocumentStore["Service"]) => DocumentStore["Service"] = (store) => store,
): Promise<A> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const database = yield* MemoryDatabase.make;
      const stores = Layer.effect(DocumentStore, Effect.map(DocumentStore, documents)).pipe(
        Layer.provideMerge(MemoryStores.layerOf(database)),
      );
      const ports = Layer.merge(stores, MemoryBus.layer);
      const app = NotificationApp.layer(config).pipe(Layer.provideMerge(ports));
      return yield* Effect.provide(
        Effect.gen(function* () {
          yield* (yield* MessageBus).ensureTopics(M.catalogue.topics);
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

const publish = Effect.fnUntraced(function* (...drafts: ReadonlyArray<Message.Draft>) {
  const ids = yield* MessageId.next(drafts.length);
  const bus = yield* MessageBus;
  const meta = { occurredAt: 1, correlationId: "c", causationId: null, traceparent: null, tracestate: null };
  yield* bus.publish(drafts.map((draft, index) => Message.stamp(draft, { ...meta, id: ids[index] ?? "" })));
});

const orderId = OrderId.make("order-1");

describe("the notification service over HTTP", () => {
  it("shows what a customer was told", () =>
    withService((url) =>
      Effect.gen(function* () {
        yield* publish(M.OrderStatusChanged.draft({ orderId, from: "created", to: "canceled", reason: "outOfStock", at: 7 }));
        const told = get(`${url}/api/v1/notifications/order-1`);
        const { body } = yield* Effect.repeat(told, { until: ({ body: now }) => !JSON.stringify(now).includes('"count":0') });
        expect(body).toEqual({ orderId, count: 1, notifications: [{ status: "canceled", reason: "outOfStock", at: 7 }] });
      }),
    ));

  it("has told nothing of an order it never heard of, and does not find what cannot be one", () =>
    withService((url) =>
      Effect.gen(function* () {
        expect(yield* get(`${url}/api/v1/notifications/order-2`)).toEqual({
          status: 200,
          body: { orderId: "order-2", count: 0, notifications: [] },
        });
        expect((yield* get(`${url}/api/v1/notifications/%20`)).status).toBe(404);
      }),
    ));

  it("answers 503 while its database is away", () =>
    withService(
      (url) => Effect.map(get(`${url}/api/v1/notifications/order-1`), ({ status }) => expect(status).toBe(503)),
      (store) => ({ ...store, find: () => Effect.fail(new StoreError({ reason: "Unavailable", operation: "test", message: "away" })) }),
    ));
});
