import { NodeHttpServer } from "@effect/platform-node";
import { assert, describe, it } from "@effect/vitest";
import { OrderId, OrderStatus, type Order } from "@org/saga-core";
import { Effect, Layer, Schema, Stream } from "effect";
import { HttpBody, HttpClient, HttpClientRequest, type HttpClientResponse, HttpRouter } from "effect/http";
import { HttpService, OrdersApi, Problem, type ProblemCode } from "../src/index.ts";
import { OrderServiceFake } from "./OrderServiceFake.ts";

interface Sent {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly type?: string;
}

const good = { lines: [{ sku: "tshirt", quantity: 2 }], paymentMethod: "pm_success" };
const json = (body: unknown): string => JSON.stringify(body);

const send = Effect.fnUntraced(function* ({
  method = "POST",
  path = "/api/v1/orders",
  headers = {},
  body,
  type = "application/json",
}: Sent) {
  const request = HttpClientRequest.make(method)(path).pipe(
    HttpClientRequest.setHeaders({ "x-customer-id": "alice", "idempotency-key": "key-1", ...headers }),
  );
  return yield* HttpClient.execute(body === undefined ? request : HttpClientRequest.setBody(request, HttpBody.text(body, type)));
});

/** The answer must be this problem, in full and on every layer. */
const expectProblem = Effect.fnUntraced(function* (
  response: HttpClientResponse.HttpClientResponse,
  status: number,
  code: ProblemCode.ProblemCode,
) {
  const text = yield* response.text;
  assert.strictEqual(response.status, status, text);
  assert.strictEqual(response.headers["content-type"], "application/problem+json");
  const body = yield* Schema.decodeUnknownEffect(Schema.fromJsonString(Problem.Body))(text);
  assert.strictEqual(body.code, code);
  assert.strictEqual(body.status, status);
  assert.strictEqual(body.type, `urn:saga-core:problem:${code}`);
  assert.isTrue(body.title.length > 0);
  assert.isTrue(body.instance !== undefined && body.instance.startsWith("/"), text);
  assert.notMatch(text, /\.ts|node_modules/);
  return body;
});

const withService = <A, E, R>(test: (fake: OrderServiceFake) => Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const fake = new OrderServiceFake();
    return test(fake).pipe(
      Effect.provide(
        HttpRouter.serve(HttpService.application(fake.routes, []), { disableLogger: true, disableListenLog: true }).pipe(
          Layer.provideMerge(NodeHttpServer.layerTest),
        ),
      ),
    );
  });

describe("OrdersApi", () => {
  it.effect("places an order, repeats its answer for the same key, and shows it to its owner only", () =>
    withService(() =>
      Effect.gen(function* () {
        const first = yield* send({ body: json(good) });
        assert.strictEqual(first.status, 201);
        const order = yield* first.json;
        assert.deepStrictEqual(yield* (yield* send({ body: json(good) })).json, order);
        assert.deepInclude(order, {
          id: "order-1",
          customerId: "alice",
          status: "created",
          reason: null,
          isCanceled: false,
          total: { amount: 3998, currency: "EUR" },
          createdAt: "1970-01-01T00:00:00.000Z",
          timeline: [{ status: "created", at: "1970-01-01T00:00:00.000Z", reason: null }],
          items: [
            {
              sku: "tshirt",
              name: "tshirt",
              quantity: 2,
              unitPrice: { amount: 1999, currency: "EUR" },
              total: { amount: 3998, currency: "EUR" },
            },
          ],
        });
        const mine = yield* send({ method: "GET", path: "/api/v1/orders/order-1" });
        assert.deepStrictEqual(yield* mine.json, order);
        const foreign = yield* send({ method: "GET", path: "/api/v1/orders/order-1", headers: { "x-customer-id": "bob" } });
        yield* expectProblem(foreign, 404, "order_not_found");
      }),
    ),
  );

  it.effect("sums lines of the same SKU, and refuses a sum above the limit", () =>
    withService((fake) =>
      Effect.gen(function* () {
        const line = { sku: "mug", quantity: 1 };
        const placed = yield* send({ body: json({ ...good, lines: [line, { sku: "tshirt", quantity: 1 }, line] }) });
        assert.strictEqual(placed.status, 201);
        assert.deepStrictEqual(
          fake.orders.get(OrderId.make("order-1"))?.lines.map(({ sku, quantity }): unknown => [sku, quantity]),
          [
            ["mug", 2],
            ["tshirt", 1],
          ],
        );
        const much = { sku: "mug", quantity: 600_000 };
        const refused = yield* send({ headers: { "idempotency-key": "other" }, body: json({ ...good, lines: [much, much] }) });
        yield* expectProblem(refused, 422, "quantity_too_large");
      }),
    ),
  );

  const bad: ReadonlyArray<readonly [name: string, sent: Sent, status: number, code: ProblemCode.ProblemCode, pointer?: string]> = [
    ["an unknown field", { body: json({ ...good, price: 1 }) }, 400, "unknown_field", "/price"],
    [
      "a price from the client",
      { body: json({ ...good, lines: [{ sku: "mug", quantity: 1, unitPrice: { amount: 1, currency: "EUR" } }] }) },
      400,
      "unknown_field",
      "/lines/0/unitPrice",
    ],
    [
      "a negative quantity",
      { body: json({ ...good, lines: [{ sku: "mug", quantity: -1 }] }) },
      400,
      "invalid_request",
      "/lines/0/quantity",
    ],
    ["a broken quantity", { body: json({ ...good, lines: [{ sku: "mug", quantity: 1.5 }] }) }, 400, "invalid_request", "/lines/0/quantity"],
    ["no lines", { body: json({ ...good, lines: [] }) }, 400, "invalid_request", "/lines"],
    [
      "a hundred and one lines",
      { body: json({ ...good, lines: Array.from({ length: 101 }, () => good.lines[0]) }) },
      400,
      "invalid_request",
      "/lines",
    ],
    ["an unknown policy", { body: json({ ...good, cancelPolicy: "never" }) }, 400, "invalid_request", "/cancelPolicy"],
    ["no body", {}, 400, "invalid_request", ""],
    ["an unknown SKU", { body: json({ ...good, lines: [{ sku: "unicorn", quantity: 1 }] }) }, 422, "unknown_sku"],
    ["malformed JSON", { body: '{"lines": [' }, 400, "malformed_json"],
    ["a wrong content type", { body: json(good), type: "text/plain" }, 415, "unsupported_media_type"],
    ["a packed body", { headers: { "content-encoding": "gzip" }, body: json(good) }, 415, "unsupported_media_type"],
    ["a body of 1 MB", { body: json({ ...good, note: "x".repeat(1_000_000) }) }, 413, "body_too_large"],
    ["no Idempotency-Key", { headers: { "idempotency-key": "" }, body: json(good) }, 400, "idempotency_key_invalid", "idempotency-key"],
    [
      "a long Idempotency-Key",
      { headers: { "idempotency-key": "k".repeat(256) }, body: json(good) },
      400,
      "idempotency_key_invalid",
      "idempotency-key",
    ],
    ["an unknown path", { path: "/api/v1/nothing", body: json(good) }, 404, "not_found"],
    ["an unknown root path", { method: "GET", path: "/" }, 404, "not_found"],
    ["a wrong method", { method: "DELETE", path: "/api/v1/orders" }, 405, "method_not_allowed"],
    ["a wrong method on an item", { method: "PUT", path: "/api/v1/orders/order-1", body: json(good) }, 405, "method_not_allowed"],
    ["an id that cannot be", { method: "GET", path: "/api/v1/orders/%20" }, 404, "not_found"],
    ["an order that is not there", { method: "GET", path: "/api/v1/orders/order-9" }, 404, "order_not_found"],
    ["a cancel of an order that is not there", { path: "/api/v1/orders/order-9/cancel" }, 404, "order_not_found"],
  ];

  for (const [name, sent, status, code, pointer] of bad) {
    it.effect(`answers ${name} with ${status} ${code}, and stores nothing`, () =>
      withService((fake) =>
        Effect.gen(function* () {
          const body = yield* expectProblem(yield* send(sent), status, code);
          if (pointer !== undefined) assert.strictEqual(body.errors?.[0]?.pointer, pointer);
          assert.strictEqual(fake.orders.size, 0);
        }),
      ),
    );
  }

  const told: ReadonlyArray<readonly [name: string, sent: Sent, detail: string]> = [
    ["no body", {}, "the body has to be a JSON object"],
    ["a list", { body: "[]" }, "the body has to be a JSON object"],
    ["another type", { body: json(good), type: "text/plain" }, "say application/json in Content-Type, and no Content-Encoding"],
  ];

  for (const [name, sent, detail] of told) {
    it.effect(`says of ${name} what the body has to be`, () =>
      withService(() =>
        Effect.gen(function* () {
          const body: unknown = yield* (yield* send(sent)).json;
          assert.deepInclude(body, { detail });
        }),
      ),
    );
  }

  it.effect("tells which headers are missing", () =>
    withService(() =>
      Effect.gen(function* () {
        const request = HttpClientRequest.post("/api/v1/orders").pipe(HttpClientRequest.setBody(HttpBody.jsonUnsafe(good)));
        const anonymous = yield* HttpClient.execute(HttpClientRequest.setHeader(request, "idempotency-key", "k"));
        yield* expectProblem(anonymous, 401, "unauthenticated");
        const keyless = yield* HttpClient.execute(HttpClientRequest.setHeader(request, "x-customer-id", "alice"));
        yield* expectProblem(keyless, 400, "idempotency_key_missing");
      }),
    ),
  );

  it.effect("refuses a body that does not say what it is", () =>
    withService((fake) =>
      Effect.gen(function* () {
        const request = HttpClientRequest.post("/api/v1/orders").pipe(
          HttpClientRequest.setHeaders({ "x-customer-id": "alice", "idempotency-key": "k" }),
          HttpClientRequest.setBody(HttpBody.uint8Array(new TextEncoder().encode(json(good)))),
          HttpClientRequest.removeHeader("content-type"),
        );
        yield* expectProblem(yield* HttpClient.execute(request), 415, "unsupported_media_type");
        assert.strictEqual(fake.orders.size, 0);
      }),
    ),
  );

  it.effect("refuses a body that says no length and turns out too large", () =>
    withService((fake) =>
      Effect.gen(function* () {
        const chunk = new TextEncoder().encode(json({ ...good, note: "x".repeat(300_000) }));
        const request = HttpClientRequest.post("/api/v1/orders").pipe(
          HttpClientRequest.setHeaders({ "x-customer-id": "alice", "idempotency-key": "k" }),
          HttpClientRequest.setBody(HttpBody.stream(Stream.make(chunk), "application/json")),
        );
        yield* expectProblem(yield* HttpClient.execute(request), 413, "body_too_large");
        assert.strictEqual(fake.orders.size, 0);
      }),
    ),
  );

  it.effect("refuses another body under the same key, and a second request in flight", () =>
    withService((fake) =>
      Effect.gen(function* () {
        yield* send({ body: json(good) });
        yield* expectProblem(yield* send({ body: json({ ...good, paymentMethod: "pm_decline" }) }), 422, "idempotency_key_reused");
        fake.failures.push(new Problem.IdempotencyKeyInFlight({}));
        yield* expectProblem(yield* send({ body: json(good) }), 409, "idempotency_key_in_flight");
        assert.strictEqual(fake.orders.size, 1);
      }),
    ),
  );

  it.effect("says when to come back when it is overloaded, and nothing about a defect", () =>
    withService((fake) =>
      Effect.gen(function* () {
        fake.failures.push(new Problem.Overloaded({ detail: "the mailbox is full" }));
        const busy = yield* send({ body: json(good) });
        assert.strictEqual(busy.headers["retry-after"], "1");
        assert.strictEqual((yield* expectProblem(busy, 503, "overloaded")).detail, "the mailbox is full");
        fake.defect = new Error("secret");
        const broken = yield* expectProblem(yield* send({ body: json(good) }), 500, "internal_error");
        assert.notInclude(JSON.stringify(broken), "secret");
      }),
    ),
  );

  it.effect("cancels in time with 200, accepts an undoing cancel with 202, and refuses a late one with what an operator can do", () =>
    withService((fake) =>
      Effect.gen(function* () {
        const cancel = (id: string) => send({ path: `/api/v1/orders/${id}/cancel` });
        yield* send({ body: json(good) });
        const inTime = yield* cancel("order-1");
        assert.strictEqual(inTime.status, 200);
        assert.deepInclude(yield* inTime.json, { status: "canceled", reason: "canceledByUser", isCanceled: true });

        yield* send({ headers: { "idempotency-key": "2" }, body: json({ ...good, cancelPolicy: "compensating" }) });
        start(fake, "order-2");
        const undoing = yield* cancel("order-2");
        assert.strictEqual(undoing.status, 202);
        assert.deepInclude(yield* undoing.json, { status: "pendingPayment", cancelRequested: true, isCanceled: false });

        yield* send({ headers: { "idempotency-key": "3" }, body: json(good) });
        start(fake, "order-3");
        const late = yield* expectProblem(yield* cancel("order-3"), 409, "too_late_to_cancel");
        assert.include(late.detail, "An operator can still cancel it");
      }),
    ),
  );

  it("says for every status what an operator can still do", () => {
    for (const status of OrderStatus.machine.states) {
      for (const policy of ["createdOnly", "compensating"] as const) {
        const { detail } = OrdersApi.tooLateToCancel(status, policy);
        assert.match(detail ?? "", new RegExp(`the order is ${status}; its cancel policy \\(${policy}\\).*operator`));
      }
    }
  });

  it.effect("names the allowed methods", () =>
    withService(() =>
      Effect.gen(function* () {
        assert.strictEqual((yield* send({ method: "DELETE" })).headers["allow"], "POST");
        assert.strictEqual((yield* send({ method: "DELETE", path: "/metrics" })).headers["allow"], "GET");
      }),
    ),
  );

  it.effect("describes itself as OpenAPI 3.1 and as a page", () =>
    withService(() =>
      Effect.gen(function* () {
        const Description = Schema.Struct({
          openapi: Schema.String,
          paths: Schema.Record(
            Schema.String,
            Schema.Record(Schema.String, Schema.Struct({ responses: Schema.Record(Schema.String, Schema.Unknown) })),
          ),
        });
        const spec = yield* send({ method: "GET", path: "/openapi.json" }).pipe(
          Effect.flatMap(({ json }) => json),
          Effect.flatMap(Schema.decodeUnknownEffect(Description)),
        );
        assert.match(spec.openapi, /^3\.1/);
        assert.sameMembers(Object.keys(spec.paths), ["/api/v1/orders", "/api/v1/orders/{id}", "/api/v1/orders/{id}/cancel"]);
        const responses = Object.keys(spec.paths["/api/v1/orders"]?.["post"]?.responses ?? {});
        assert.includeMembers(responses, ["201", "400", "401", "404", "409", "413", "415", "422", "500", "503"]);
        const page = yield* send({ method: "GET", path: "/docs" });
        assert.strictEqual(page.status, 200);
        assert.include(page.headers["content-type"], "text/html");
      }),
    ),
  );
});

const start = (fake: OrderServiceFake, id: string): Order.Order | null =>
  fake.fold(fake.orders.get(OrderId.make(id)) ?? null, { _tag: "StartCheckout", now: 3 });
