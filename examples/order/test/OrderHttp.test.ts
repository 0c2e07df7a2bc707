import { NodeHttpServer } from "@effect/platform-node";
import { Effect, Layer, References, Result, Schema } from "effect";
import { HttpBody, HttpClient, HttpClientRequest, HttpRouter } from "effect/http";
import { describe, expect, it } from "vitest";
import { Catalogue, CatalogueUnavailable } from "@example/catalog";
import { HttpService } from "@example/contracts";
import {
  Aggregate,
  Batch,
  CustomerId,
  Mailbox,
  MemoryBus,
  MemoryDatabase,
  MemoryStores,
  Money,
  type Order,
  OrderId,
  OrderStore,
  Quantity,
  type SagaRunner,
  Sku,
  StoreError,
} from "@org/saga-core";
import { OrderHttp, OrderService } from "@example/order";

const cart = { lines: [{ sku: "mug", quantity: 2 }], paymentMethod: "pm_success" };

interface Sent {
  readonly method?: "GET" | "POST";
  readonly path?: string;
  readonly customer?: string;
  /** Null: none. */
  readonly key?: string | null;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

const Answer = Schema.Record(Schema.String, Schema.Unknown);

const send = Effect.fnUntraced(function* ({
  method = "POST",
  path = "/api/v1/orders",
  customer = "ada",
  key = path === "/api/v1/orders" ? "key-1" : null,
  body,
  headers = {},
}: Sent) {
  const request = HttpClientRequest.make(method)(path).pipe(
    HttpClientRequest.setHeaders({ "x-customer-id": customer, ...(key === null ? {} : { "idempotency-key": key }), ...headers }),
  );
  const sent = body === undefined ? request : HttpClientRequest.setBody(request, HttpBody.text(JSON.stringify(body), "application/json"));
  const response = yield* HttpClient.execute(sent);
  const text = yield* response.text;
  return {
    status: response.status,
    text,
    retryAfter: response.headers["retry-after"],
    body: Schema.decodeUnknownSync(Schema.fromJsonString(Answer))(text),
  };
});

interface Options {
  readonly settings?: Partial<OrderService.Settings>;
  readonly catalogue?: Layer.Layer<Catalogue>;
  /** Stands in front of the service. */
  readonly replaced?: Layer.Layer<OrderService.Orders, never, OrderService.Orders>;
  readonly orders?: (orders: OrderStore["Service"]) => OrderStore["Service"];
}

/** Runs the test against the service on memory stores, over real HTTP. */
const withService = <A, E>(
  test: (database: MemoryDatabase.Database) => Effect.Effect<A, E, HttpClient.HttpClient | OrderStore | OrderService.Orders>,
  {
    settings = { cancelWindowMillis: 60_000 },
    catalogue = Catalogue.layer,
    replaced = Layer.effect(OrderService.Orders, OrderService.Orders),
    orders = (store) => store,
  }: Options = {},
): Promise<A> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const database = yield* MemoryDatabase.make;
      const stores = MemoryStores.layerOf(database);
      const wrapped = Layer.effect(OrderStore, Effect.map(OrderStore, orders)).pipe(Layer.provideMerge(stores));
      const app = HttpRouter.serve(HttpService.application(OrderHttp.routes, []), { disableLogger: true, disableListenLog: true }).pipe(
        Layer.provideMerge(replaced),
        Layer.provide(OrderService.layer(settings)),
        Layer.provideMerge(NodeHttpServer.layerTest),
        Layer.provide([catalogue, MemoryBus.layer]),
        Layer.provideMerge(wrapped),
      );
      return yield* Effect.provide(test(database), app);
    }).pipe(
      Effect.scoped,
      Effect.provideService(References.MinimumLogLevel, "None"),
      Effect.provideService(HttpClient.TracerPropagationEnabled, false),
    ),
  );

const nothingStored = (database: MemoryDatabase.Database): void => {
  expect(database.orders.committed.size).toBe(0);
  expect(database.outboxPending.committed.size).toBe(0);
};

describe("POST /api/v1/orders", () => {
  it("stores the order with the catalogue's names and prices, same SKUs summed", () =>
    withService((database) =>
      Effect.gen(function* () {
        const lines = [
          { sku: "mug", quantity: 2 },
          { sku: "tshirt", quantity: 1 },
          { sku: "mug", quantity: 1 },
        ];
        const { status, body } = yield* send({ body: { ...cart, lines } });
        expect(status).toBe(201);
        expect(body).toMatchObject({
          customerId: "ada",
          status: "created",
          total: { amount: 3 * 899 + 1_999, currency: "EUR" },
          items: [
            { sku: "mug", name: "Mug", quantity: 3, unitPrice: { amount: 899, currency: "EUR" } },
            { sku: "tshirt", name: "T-shirt", quantity: 1 },
          ],
          timeline: [{ status: "created" }],
        });
        const id = OrderId.make(String(body["id"]));
        const found = (yield* (yield* OrderStore).find([id])).get(id);
        expect(found?.total).toEqual(Money.of(3 * 899 + 1_999, "EUR"));
        expect(database.outboxPending.committed.size).toBe(1);
      }),
    ));

  it("answers a repeated key with the same body and the same status, and stores one order", () =>
    withService((database) =>
      Effect.gen(function* () {
        const first = yield* send({ body: cart });
        const again = yield* send({ body: { paymentMethod: "pm_success", lines: [{ quantity: 2, sku: "mug" }] } });
        expect(again).toEqual(first);
        expect(database.orders.committed.size).toBe(1);
      }),
    ));

  it("gives many callers of one key at a time one order", () =>
    withService((database) =>
      Effect.gen(function* () {
        const all = yield* Effect.all(
          Array.from({ length: 20 }, () => send({ body: cart })),
          { concurrency: "unbounded" },
        );
        expect(new Set(all.map(({ text }) => text)).size).toBe(1);
        expect(database.orders.committed.size).toBe(1);
      }),
    ));

  it("refuses a repeated key with another body, and keeps the keys of two customers apart", () =>
    withService((database) =>
      Effect.gen(function* () {
        yield* send({ body: cart });
        const other = yield* send({ body: { ...cart, lines: [{ sku: "mug", quantity: 3 }] } });
        expect([other.status, other.body["code"]]).toEqual([422, "idempotency_key_reused"]);
        expect((yield* send({ body: cart, customer: "grace" })).status).toBe(201);
        expect(database.orders.committed.size).toBe(2);
      }),
    ));

  it("answers a repeated key although the product has left the catalogue, or that cannot be reached", () => {
    let state: "open" | "empty" | "away" = "open";
    const changing = Layer.effect(
      Catalogue,
      Effect.map(Catalogue, (catalogue) => ({
        ...catalogue,
        find: (skus) => {
          if (state === "away") return Effect.fail(new CatalogueUnavailable({ message: "away" }));
          return state === "empty" ? Effect.succeed(new Map()) : catalogue.find(skus);
        },
      })),
    ).pipe(Layer.provide(Catalogue.layer), Layer.orDie);
    return withService(
      (database) =>
        Effect.gen(function* () {
          const first = yield* send({ body: cart });
          expect(first.status).toBe(201);
          for (const [now, other] of [
            ["empty", [422, "unknown_sku"]],
            ["away", [503, "unavailable"]],
          ] as const) {
            state = now;
            expect(yield* send({ body: cart })).toEqual(first);
            const reused = yield* send({ body: { ...cart, paymentMethod: "pm_other" } });
            expect([reused.status, reused.body["code"]]).toEqual([422, "idempotency_key_reused"]);
            const unknown = yield* send({ body: cart, key: `new-${now}` });
            expect([unknown.status, unknown.body["code"]]).toEqual(other);
          }
          // Looking claims nothing.
          state = "open";
          expect((yield* send({ body: cart, key: "new-empty" })).status).toBe(201);
          expect(database.orders.committed.size).toBe(2);
        }),
      { catalogue: changing },
    );
  });

  it.each([
    ["an unknown SKU", { ...cart, lines: [{ sku: "unicorn", quantity: 1 }] }, 422, "unknown_sku"],
    ["a sum above the limit", { ...cart, lines: [1, 2].map(() => ({ sku: "mug", quantity: 600_000 })) }, 422, "quantity_too_large"],
    ["a negative quantity", { ...cart, lines: [{ sku: "mug", quantity: -1 }] }, 400, "invalid_request"],
    ["an unknown field", { ...cart, price: 1 }, 400, "unknown_field"],
    ["no lines", { ...cart, lines: [] }, 400, "invalid_request"],
  ])("refuses %s, and stores nothing", (_, body, status, code) =>
    withService((database) =>
      Effect.gen(function* () {
        const answer = yield* send({ body });
        expect([answer.status, answer.body["code"]]).toEqual([status, code]);
        nothingStored(database);
      }),
    ),
  );

  it("refuses products of two currencies, and stores nothing", () =>
    withService(
      (database) =>
        Effect.gen(function* () {
          const lines = [
            { sku: "mug", quantity: 1 },
            { sku: "tshirt", quantity: 1 },
          ];
          const answer = yield* send({ body: { ...cart, lines } });
          expect([answer.status, answer.body["code"]]).toEqual([422, "order_refused"]);
          nothingStored(database);
        }),
      {
        catalogue: Layer.effect(
          Catalogue,
          Effect.gen(function* () {
            const catalogue = yield* Catalogue;
            const list = (yield* catalogue.list).map((product) =>
              product.sku === "mug" ? { ...product, unitPrice: Money.of(1, "USD") } : product,
            );
            const bySku = new Map(list.map((product) => [product.sku, product]));
            return { list: Effect.succeed(list), find: () => Effect.succeed(bySku) };
          }),
        ).pipe(Layer.provide(Catalogue.layer), Layer.orDie),
      },
    ));

  it("answers 503 while the catalogue or the database cannot be reached, and stores nothing", () => {
    const away = Effect.fail(new CatalogueUnavailable({ message: "away" }));
    return withService(
      (database) =>
        Effect.gen(function* () {
          const answer = yield* send({ body: cart });
          expect([answer.status, answer.body["code"]]).toEqual([503, "unavailable"]);
          nothingStored(database);
        }),
      { catalogue: Layer.succeed(Catalogue, { list: away, find: () => away }) },
    );
  });

  it("says that the outcome is unknown when it is", () =>
    withService(
      () =>
        Effect.gen(function* () {
          const answer = yield* send({ body: cart });
          expect([answer.status, answer.body["code"]]).toEqual([503, "outcome_unknown"]);
        }),
      {
        orders: (store) => ({
          ...store,
          save: () => Effect.fail(new StoreError({ reason: "Unknown", operation: "OrderStore.save", message: "lost" })),
        }),
      },
    ));

  it("keeps the caller's trace with what follows, if it is one", () =>
    withService((database) =>
      Effect.gen(function* () {
        const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
        yield* send({ body: cart, headers: { traceparent } });
        yield* send({ body: cart, key: "key-2", headers: { traceparent: "nonsense" } });
        const sent = [...database.outboxPending.committed.values()];
        expect(JSON.stringify(sent)).toContain(traceparent);
        expect(JSON.stringify(sent)).not.toContain("nonsense");
      }),
    ));
});

const place = Effect.map(send({ body: cart }), ({ body }) => OrderId.make(String(body["id"])));

describe("GET /api/v1/orders/{id}", () => {
  it("shows an order to its owner, and to nobody else", () =>
    withService(() =>
      Effect.gen(function* () {
        const path = `/api/v1/orders/${yield* place}`;
        expect((yield* send({ method: "GET", path })).body).toMatchObject({ status: "created", isCanceled: false });
        for (const foreign of [{ path, customer: "grace" }, { path: "/api/v1/orders/nothing" }]) {
          const answer = yield* send({ method: "GET", ...foreign });
          expect([answer.status, answer.body["code"]]).toEqual([404, "order_not_found"]);
        }
      }),
    ));

  it("answers 503 while the database cannot be reached", () =>
    withService(
      () =>
        Effect.gen(function* () {
          const answer = yield* send({ method: "GET", path: "/api/v1/orders/order-1" });
          expect([answer.status, answer.body["code"]]).toEqual([503, "unavailable"]);
        }),
      {
        orders: (store) => ({
          ...store,
          find: () => Effect.fail(new StoreError({ reason: "Unavailable", operation: "OrderStore.find", message: "away" })),
        }),
      },
    ));
});

describe("POST /api/v1/orders/{id}/cancel", () => {
  it("cancels in time, and says so again when asked again", () =>
    withService(() =>
      Effect.gen(function* () {
        const path = `/api/v1/orders/${yield* place}/cancel`;
        for (let time = 0; time < 2; time++) {
          const answer = yield* send({ path });
          expect([answer.status, answer.body["status"], answer.body["reason"]]).toEqual([200, "canceled", "canceledByUser"]);
        }
      }),
    ));

  it("refuses what comes too late, with what a person can still do", () =>
    withService(
      () =>
        Effect.gen(function* () {
          const answer = yield* send({ path: `/api/v1/orders/${yield* place}/cancel` });
          expect([answer.status, answer.body["code"]]).toEqual([409, "too_late_to_cancel"]);
          expect(answer.body["detail"]).toMatch(/pendingPayment.*createdOnly.*operator/s);
        }),
      { settings: { cancelWindowMillis: 0 } },
    ));

  it("accepts a cancel that has to undo, where the policy allows it", () =>
    withService(
      () =>
        Effect.gen(function* () {
          const { body } = yield* send({ body: { ...cart, cancelPolicy: "compensating" } });
          const answer = yield* send({ path: `/api/v1/orders/${String(body["id"])}/cancel` });
          // Nothing was done yet but to start: everything is undone at once.
          expect([200, 202]).toContain(answer.status);
          expect(answer.body).toMatchObject({ cancelPolicy: "compensating" });
        }),
      { settings: { cancelWindowMillis: 0 } },
    ));

  it("with a key is answered the same again, and the key is refused for another order", () =>
    withService(
      () =>
        Effect.gen(function* () {
          const path = `/api/v1/orders/${yield* place}/cancel`;
          const late = yield* send({ path, key: "cancel-1" });
          expect([late.status, late.body["code"]]).toEqual([409, "too_late_to_cancel"]);
          expect(yield* send({ path, key: "cancel-1" })).toEqual(late);
          const { body } = yield* send({ body: cart, key: "key-2" });
          const other = yield* send({ path: `/api/v1/orders/${String(body["id"])}/cancel`, key: "cancel-1" });
          expect([other.status, other.body["code"]]).toEqual([422, "idempotency_key_reused"]);
          const long = yield* send({ path, key: "k".repeat(256) });
          expect([long.status, long.body["code"]]).toEqual([400, "idempotency_key_invalid"]);
        }),
      { settings: { cancelWindowMillis: 0 } },
    ));

  it("does not find other people's orders", () =>
    withService(() =>
      Effect.gen(function* () {
        const answer = yield* send({ path: `/api/v1/orders/${yield* place}/cancel`, customer: "grace" });
        expect([answer.status, answer.body["code"]]).toEqual([404, "order_not_found"]);
      }),
    ));
});

const rejections: ReadonlyArray<readonly [Order.Rejection, string | null]> = [
  [{ _tag: "TooManyLines", max: 100 }, "an order has at most 100 lines"],
  [{ _tag: "EmptyOrder" }, "an order has at least one line"],
  [{ _tag: "OrderExists", id: OrderId.make("order-1") }, "OrderExists"],
  [{ _tag: "NothingCaptured" }, "NothingCaptured"],
];

/** An order service that answers every request with `answer`. */
const answering = (answer: Effect.Effect<OrderService.Handled, Mailbox.Failure>) =>
  Layer.effect(
    OrderService.Orders,
    Effect.map(OrderService.Orders, (orders) => ({ ...orders, place: () => answer, cancel: () => answer })),
  );

const answered = (rejection: Order.Rejection): OrderService.Handled => ({
  _tag: "Answered",
  answer: Result.fail(rejection),
  repeated: false,
});

describe("what the order service could not do", () => {
  it.each(rejections)("is told as a problem: %j", (rejection, detail) =>
    withService(
      () =>
        Effect.gen(function* () {
          const answer = yield* send({ body: cart });
          expect([answer.status, answer.body["code"], answer.body["detail"]]).toEqual([422, "order_refused", detail]);
        }),
      { replaced: answering(Effect.succeed(answered(rejection))) },
    ),
  );

  it.each([
    ["too much waits", Effect.fail(new Mailbox.MailboxFull({ mailbox: "checkout", capacity: 1 })), 503, "overloaded"],
    ["a bug poisons the request", Effect.fail(new Batch.Poisoned({ mailbox: "checkout", detail: "a bug" })), 500, "internal_error"],
    ["it is answered with nothing", Effect.succeed<OrderService.Handled>({ _tag: "Duplicate" }), 500, "internal_error"],
  ] as const)("is told when %s", (_, answer, status, code) =>
    withService(
      () =>
        Effect.gen(function* () {
          const told = yield* send({ body: cart });
          expect([told.status, told.body["code"]]).toEqual([status, code]);
        }),
      { replaced: answering(answer) },
    ),
  );

  it("is told with 409 and when to come again while the first request is in flight", () =>
    withService(
      () =>
        Effect.gen(function* () {
          const told = yield* send({ body: cart });
          expect([told.status, told.body["code"], told.retryAfter]).toEqual([409, "idempotency_key_in_flight", "1"]);
        }),
      { replaced: answering(Effect.succeed<OrderService.Handled>({ _tag: "InFlight" })) },
    ));

  it.each([
    ["a refusal that a cancel cannot have", Effect.succeed(answered({ _tag: "EmptyOrder" }))],
    ["nothing", Effect.succeed<OrderService.Handled>({ _tag: "Duplicate" })],
  ] as const)("is a bug when a cancel is answered with %s", (_, answer) =>
    withService(
      (database) =>
        Effect.gen(function* () {
          const orders = yield* OrderService.Orders;
          const placed = yield* orders.mailbox.submit(
            Aggregate.request<SagaRunner.Command>("order-1", (now) => ({
              _tag: "Place",
              id: OrderId.make("order-1"),
              customerId: CustomerId.make("ada"),
              lines: [{ sku: Sku.make("mug"), name: "Mug", quantity: Quantity.make(1), unitPrice: Money.of(1, "EUR") }],
              paymentMethod: "pm_success",
              cancelPolicy: "createdOnly",
              now,
            })),
          );
          expect(placed._tag).toBe("Answered");
          expect(database.orders.committed.size).toBe(1);
          const told = yield* send({ path: "/api/v1/orders/order-1/cancel" });
          expect([told.status, told.body["code"]]).toEqual([500, "internal_error"]);
        }),
      { replaced: answering(answer) },
    ),
  );
});
