import { createServer } from "node:http";
import { MemoryDatabase, MemoryStores, OrderId, Timers, UnitOfWork, DocumentStore, StoreError } from "@org/saga-core";
import { HttpPaymentProvider, HttpService, PaymentProvider, Problem, Webhook } from "@example/contracts";
import { NodeHttpServer } from "@effect/platform-node";
import { assert, describe, it } from "@effect/vitest";
import { Clock, Effect, Layer, Redacted, Result, Schema } from "effect";
import { FetchHttpClient, HttpClient, HttpClientRequest, HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http";
import { HttpWebhookSender, Intents, ProviderHttp, ProviderService, Settlement } from "../src/index.ts";
import { act, call, type Hear, suite } from "./ProviderContract.ts";

const secrets = [Redacted.make("new"), Redacted.make("old")];
const fast = { settleMillis: 5, lateWebhookMillis: 200 };

const urlOf = HttpService.url;

/** Whoever receives the webhooks: verifies them as checkout does. */
const receiver = (hear: Hear) =>
  HttpRouter.serve(
    HttpRouter.add(
      "POST",
      "/webhooks",
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest;
        const body = yield* Effect.orDie(request.text);
        const nowMillis = yield* Clock.currentTimeMillis;
        const verified = Webhook.verify({ header: request.headers[Webhook.HEADER], body, nowMillis, secrets: [Redacted.make("old")] });
        if (Result.isFailure(verified)) return HttpServerResponse.text(verified.failure, { status: 400 });
        const event = yield* Effect.orDie(Webhook.decodeEvent(body));
        return yield* hear(event).pipe(
          Effect.as(HttpServerResponse.empty()),
          Effect.catch(() => Effect.succeed(HttpServerResponse.empty({ status: 500 }))),
        );
      }),
    ),
    { disableLogger: true, disableListenLog: true },
  ).pipe(Layer.provideMerge(Layer.fresh(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))));

const stores = Layer.unwrap(Effect.map(MemoryDatabase.make, MemoryStores.layerOf));

suite("over HTTP, with signed webhooks", (hear) => {
  const intents = Intents.layer(fast);
  const provider = HttpService.serve(ProviderHttp.routes, { host: "127.0.0.1", port: 0, drainMillis: 50 });
  const client = Layer.unwrap(Effect.map(urlOf, (baseUrl) => HttpPaymentProvider.layer({ baseUrl, timeoutMillis: 300 })));
  const sender = Layer.unwrap(Effect.map(urlOf, (url) => HttpWebhookSender.layer({ url: `${url}/webhooks`, secrets }))).pipe(
    Layer.provide(receiver(hear)),
  );
  return Layer.merge(client.pipe(Layer.provide(provider)), Settlement.layer.pipe(Layer.provide(sender))).pipe(
    Layer.provideMerge(intents),
    Layer.provide(stores),
    Layer.provide(FetchHttpClient.layer),
  );
});

/** The routes on a server of their own, and a client that knows it. */
const api = (behind: Layer.Layer<DocumentStore | Timers | UnitOfWork>) =>
  HttpRouter.serve(HttpService.application(ProviderHttp.routes, []), { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide(Intents.layer(fast).pipe(Layer.provide(behind))),
    Layer.provideMerge(NodeHttpServer.layerTest),
  );

const problem = Effect.fnUntraced(function* (request: HttpClientRequest.HttpClientRequest) {
  const response = yield* HttpClient.execute(request);
  const body = yield* Schema.decodeUnknownEffect(Schema.fromJsonString(Problem.Body))(yield* response.text);
  assert.strictEqual(response.headers["content-type"], "application/problem+json");
  return `${response.status} ${body.code}`;
});

const intent = { reference: "o1", orderId: "o1", customerId: "alice", amount: 100, currency: "EUR", paymentMethod: "pm_success" };

const post = (path: string, body?: unknown, key = "k1") => {
  const request = HttpClientRequest.post(path).pipe(HttpClientRequest.setHeader("idempotency-key", key));
  return body === undefined ? request : HttpClientRequest.bodyJsonUnsafe(request, body);
};

describe("ProviderHttp", () => {
  it.live("answers as Stripe does: 201, 202, and the intent", () =>
    Effect.gen(function* () {
      const created = yield* HttpClient.execute(post("/v1/payment_intents", intent));
      assert.strictEqual(created.status, 201);
      assert.deepStrictEqual(yield* created.json, { reference: "o1", orderId: "o1", status: "authorized", amount: 100, currency: "EUR" });
      const captured = yield* HttpClient.execute(post("/v1/payment_intents/o1/capture", undefined, "k2"));
      assert.strictEqual(captured.status, 202);
      const ledger = yield* HttpClient.get("/v1/ledger?orderId=o1&orderId=o2");
      assert.deepStrictEqual(yield* ledger.json, [
        { orderId: "o1", captured: 0, refunded: 0, currency: null },
        { orderId: "o2", captured: 0, refunded: 0, currency: null },
      ]);
      const one = yield* HttpClient.get("/v1/ledger?orderId=o1");
      assert.strictEqual(one.status, 200);
      const balance = yield* HttpClient.get("/v1/customers/poor-bob/balance");
      assert.deepStrictEqual(yield* balance.json, { customerId: "poor-bob", available: { amount: 0, currency: "EUR" } });
    }).pipe(Effect.provide(api(stores))),
  );

  it.live("answers what is wrong with problems", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* problem(post("/v1/payment_intents", { ...intent, tip: 1 })), "400 unknown_field");
      assert.strictEqual(yield* problem(post("/v1/payment_intents", { ...intent, amount: -1 })), "400 invalid_request");
      assert.strictEqual(
        yield* problem(HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.post("/v1/payment_intents"), intent)),
        "400 idempotency_key_missing",
      );
      assert.strictEqual(yield* problem(HttpClientRequest.get("/v1/payment_intents/none")), "404 intent_not_found");
      assert.strictEqual(yield* problem(post("/v1/payment_intents/none/capture")), "404 intent_not_found");
      assert.strictEqual(yield* problem(HttpClientRequest.get("/v1/ledger")), "400 invalid_request");
      assert.strictEqual(yield* problem(HttpClientRequest.delete("/v1/ledger")), "405 method_not_allowed");
      yield* HttpClient.execute(post("/v1/payment_intents", intent));
      assert.strictEqual(yield* problem(post("/v1/payment_intents", { ...intent, amount: 7 }, "k3")), "422 idempotency_key_reused");
      assert.strictEqual(yield* problem(post("/v1/payment_intents/o1/refund", undefined, "k4")), "409 intent_refused");
    }).pipe(Effect.provide(api(stores))),
  );

  for (const [reason, answer] of [
    ["Unavailable", "503 unavailable"],
    ["Unknown", "503 outcome_unknown"],
  ] as const) {
    it.live(`answers ${answer} when the store says ${reason}`, () => {
      const broken = Effect.fail(new StoreError({ reason, operation: "test", message: "down" }));
      const behind = Layer.mergeAll(
        Layer.succeed(UnitOfWork, { commit: () => broken }),
        Layer.succeed(DocumentStore, { load: () => broken, save: () => broken, find: () => broken }),
        Layer.succeed(Timers, {
          schedule: () => broken,
          reschedule: () => broken,
          cancel: () => broken,
          complete: () => broken,
          claimDue: () => broken,
          nextDueAt: () => broken,
          list: () => broken,
          pending: () => broken,
        }),
      );
      return Effect.gen(function* () {
        assert.strictEqual(yield* problem(post("/v1/payment_intents", intent)), answer);
        assert.strictEqual(yield* problem(HttpClientRequest.get("/v1/payment_intents/o1")), answer);
        assert.strictEqual(yield* problem(HttpClientRequest.get("/v1/ledger?orderId=o1")), answer);
      }).pipe(Effect.provide(api(behind)));
    });
  }
});

describe("HttpPaymentProvider", () => {
  const at = (baseUrl: string) => HttpPaymentProvider.make({ baseUrl, timeoutMillis: 200 }).pipe(Effect.provide(FetchHttpClient.layer));

  it.live("is unavailable when nobody listens", () =>
    Effect.gen(function* () {
      const provider = yield* at("http://127.0.0.1:9");
      assert.strictEqual((yield* Effect.flip(provider.probe("o1")))._tag, "ProviderUnavailable");
      assert.strictEqual((yield* Effect.flip(provider.authorize(call("o1"))))._tag, "ProviderUnavailable");
    }),
  );

  const answering = (response: HttpServerResponse.HttpServerResponse) =>
    HttpRouter.serve(HttpRouter.add("*", "/*", response), { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
    );

  it.live("is unavailable when the answer is broken, or cannot be", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const provider = yield* at(yield* urlOf);
        assert.strictEqual((yield* Effect.flip(provider.probe("o1")))._tag, "ProviderUnavailable");
      }).pipe(Effect.provide(answering(HttpServerResponse.text("oops", { status: 500 }))));
      const odd = HttpServerResponse.jsonUnsafe(
        { reference: "o1", orderId: "o1", status: "captured", amount: 1, currency: "EUR" },
        { status: 202 },
      );
      yield* Effect.gen(function* () {
        const provider = yield* at(yield* urlOf);
        const error = yield* Effect.flip(provider.refund(act("o1", "refund")));
        assert.strictEqual(error._tag, "ProviderUnavailable");
      }).pipe(Effect.provide(answering(odd)));
    }),
  );
});

describe("HttpWebhookSender", () => {
  const event: Webhook.Event = {
    id: "evt",
    type: "payment.captured",
    created: 1,
    data: { reference: "o1", orderId: "o1", amount: 1, currency: "EUR" },
  };
  const send = (url: string) =>
    Effect.flatMap(Settlement.WebhookSender, (sender) => sender.send(event)).pipe(
      Effect.provide(HttpWebhookSender.layer({ url, secrets, timeoutMillis: 100 }).pipe(Layer.provide(FetchHttpClient.layer))),
    );

  it.live("counts no answer, a slow answer and a bad answer as not heard", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(send("http://127.0.0.1:9/")))._tag, "NotDelivered");
      yield* Effect.gen(function* () {
        const url = yield* urlOf;
        assert.include((yield* Effect.flip(send(`${url}/slow`))).message, "100 ms");
        assert.include((yield* Effect.flip(send(`${url}/other`))).message, "404");
      }).pipe(
        Effect.provide(
          HttpRouter.serve(HttpRouter.add("POST", "/slow", Effect.never), { disableLogger: true, disableListenLog: true }).pipe(
            Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: 10 })),
          ),
        ),
      );
    }),
  );
});

describe("ProviderService", () => {
  it.live("serves, and is ready when its stores are", () =>
    Effect.gen(function* () {
      const url = yield* urlOf;
      const ready = yield* HttpClient.get(`${url}/readyz?verbose`);
      assert.include(yield* ready.text, "stores ok");
      yield* HttpClient.execute(HttpClientRequest.prependUrl(post("/v1/payment_intents", intent), url));
      const provider = yield* PaymentProvider.pipe(Effect.provide(HttpPaymentProvider.layer({ baseUrl: url })));
      assert.deepStrictEqual(yield* provider.probe("o1"), { _tag: "Authorized" });
      assert.deepStrictEqual(yield* provider.cancel(act(OrderId.make("o1"), "cancel")), { _tag: "Canceled" });
    }).pipe(
      Effect.provide(
        ProviderService.layer({
          http: {
            host: "127.0.0.1",
            ports: { order: 0, checkout: 0, inventory: 0, catalog: 0, fulfillment: 0, notification: 0, "payment-provider": 0 },
          },
          urls: { catalog: null, provider: "", webhook: "http://127.0.0.1:9/" },
          webhookSecrets: secrets,
          provider: fast,
        }).pipe(Layer.provide(stores)),
      ),
      Effect.provide(FetchHttpClient.layer),
    ),
  );
});
