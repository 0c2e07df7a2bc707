/** The provider on real PostgreSQL: the same contract, and a process of its own that is killed. */
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { HttpPaymentProvider, PaymentProvider, ServiceConfig, Webhook } from "@example/contracts";
import { NodeHttpServer } from "@effect/platform-node";
import { OrderId } from "@org/saga-core";
import { PgClient, PgStores } from "@org/saga-postgres";
import { freePort } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { assert, describe, it } from "@effect/vitest";
import { Effect, Layer, Redacted, Result, Schedule } from "effect";
import { FetchHttpClient, HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http";
import { Intents, MemoryPaymentProvider } from "../src/index.ts";
import { act, call, Ear, suite } from "./ProviderContract.ts";

const server = realServer("postgres");
const url = server ?? "";

/** A schema of a test's own, gone afterwards. */
const schemaOf = (name: string): string => `provider_${name}_${process.pid}_${Math.random().toString(36).slice(2, 10)}`;

const storesIn = (schema: string) => {
  const stores = PgStores.layer({ url, schema, poolSize: 4 });
  const dropped = Layer.effectDiscard(
    Effect.acquireRelease(PgClient.PgClient, ({ query, quoted }) =>
      Effect.orDie(query("test.drop", `drop schema if exists ${quoted} cascade`)),
    ),
  );
  return dropped.pipe(Layer.provideMerge(stores));
};

if (server !== null) {
  suite("in this process, on PostgreSQL", (hear) =>
    MemoryPaymentProvider.layer({ settleMillis: 5, lateWebhookMillis: 300, timeoutMillis: 200, onWebhook: hear }).pipe(
      Layer.provide(storesIn(schemaOf("suite"))),
    ),
  );
}

/** A database of a test's own, gone with the scope: the process chooses its schema itself. */
const database = Effect.gen(function* () {
  const name = schemaOf("kill");
  const administer = (statement: string) =>
    Effect.flatMap(PgClient.PgClient, ({ query }) => query("test.database", statement)).pipe(
      Effect.provide(PgClient.layer({ url, poolSize: 1 })),
      Effect.orDie,
    );
  yield* Effect.acquireRelease(administer(`create database ${name}`), () => administer(`drop database if exists ${name} with (force)`));
  const own = new URL(url);
  own.pathname = `/${name}`;
  return own.href;
});

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const SECRET = "a-secret-of-this-test";

/** The process, killed with the scope at the latest. */
const start = (postgresUrl: string, port: number, webhook: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const environment: Partial<Record<ServiceConfig.VariableName, string>> = {
        SAGA_PG_URL: postgresUrl,
        PAYMENT_PROVIDER_PORT: String(port),
        PAYMENT_WEBHOOK_URL: webhook,
        PAYMENT_WEBHOOK_SECRET: SECRET,
        PROVIDER_SETTLE_MS: "500",
      };
      return spawn(process.execPath, ["--conditions=@org/source", MAIN], { env: { ...process.env, ...environment }, stdio: "ignore" });
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL")),
  );

/** Repeats until somebody answers. */
const eventually = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(Effect.retry({ times: 300, schedule: Schedule.spaced("100 millis") }));

describe.runIf(server !== null)("The provider's process", () => {
  it.live(
    "killed after it accepted a capture, tells of it when it is back",
    () =>
      Effect.gen(function* () {
        const orderId = `kill-${Math.random().toString(36).slice(2, 10)}`;
        const ear = new Ear();
        const webhooks = HttpRouter.add(
          "POST",
          "/",
          Effect.gen(function* () {
            const request = yield* HttpServerRequest.HttpServerRequest;
            const body = yield* Effect.orDie(request.text);
            const delivery = { header: request.headers[Webhook.HEADER], body, nowMillis: Date.now(), secrets: [Redacted.make(SECRET)] };
            if (Result.isFailure(Webhook.verify(delivery))) return HttpServerResponse.empty({ status: 400 });
            yield* Effect.orDie(ear.hear(yield* Effect.orDie(Webhook.decodeEvent(body))));
            return HttpServerResponse.empty();
          }),
        );
        const receiverPort = yield* Effect.promise(() => freePort());
        yield* Layer.build(
          HttpRouter.serve(webhooks, { disableLogger: true, disableListenLog: true }).pipe(
            Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: receiverPort })),
          ),
        );
        const port = yield* Effect.promise(() => freePort());
        const provider = yield* HttpPaymentProvider.make({ baseUrl: `http://127.0.0.1:${port}`, timeoutMillis: 2_000 });
        const own = yield* database;
        const first = yield* start(own, port, `http://127.0.0.1:${receiverPort}/`);
        yield* eventually(provider.authorize(call(orderId)));
        assert.deepStrictEqual(yield* provider.capture(act(orderId, "capture")), { _tag: "Processing", what: "capture" });
        first.kill("SIGKILL");
        assert.strictEqual(ear.heard.length, 0);
        yield* start(own, port, `http://127.0.0.1:${receiverPort}/`);
        yield* ear.next("payment.captured", orderId);
        assert.strictEqual((yield* eventually(provider.probe(orderId)))._tag, "Captured");
      }).pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer)),
    60_000,
  );
});

describe.runIf(server !== null)("Intents on PostgreSQL", () => {
  it.live("lets either a capture or a cancel win, and books it once", () =>
    Effect.gen(function* () {
      const provider = yield* PaymentProvider;
      const ids = Array.from({ length: 20 }, (_, index) => `race-${index}`);
      yield* Effect.forEach(
        ids,
        (id) =>
          Effect.gen(function* () {
            yield* provider.authorize(call(id));
            yield* Effect.all([provider.capture(act(id, "capture")), provider.cancel(act(id, "cancel"))], { concurrency: "unbounded" });
          }),
        { concurrency: "unbounded" },
      );
      const { ledger } = yield* Intents.Intents;
      for (const id of ids) {
        let state = yield* provider.probe(id);
        while (state._tag === "Processing") {
          yield* Effect.sleep("10 millis");
          state = yield* provider.probe(id);
        }
        const [entry] = yield* ledger([OrderId.make(id)]);
        assert.include(["Canceled", "Captured"], state._tag);
        assert.strictEqual(entry?.captured, state._tag === "Captured" ? 1_234 : 0);
      }
    }).pipe(
      Effect.provide(
        MemoryPaymentProvider.layer({ settleMillis: 5, onWebhook: () => Effect.void }).pipe(Layer.provide(storesIn(schemaOf("race")))),
      ),
    ),
  );
});
