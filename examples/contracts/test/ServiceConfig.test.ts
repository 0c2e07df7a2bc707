import { readFileSync } from "node:fs";
import { assert, describe, it } from "@effect/vitest";
import { Checkout, StoreError } from "@org/saga-core";
import { Cause, Effect, Exit, Layer, Logger, Redacted, Result } from "effect";
import { HttpServerError } from "effect/http";
import { CheckoutTopology, ServiceConfig, ServiceMain } from "../src/index.ts";

const parsed = (environment: ServiceConfig.Environment): ServiceConfig.ServiceConfig => Result.getOrThrow(ServiceConfig.parse(environment));

const problem = (environment: ServiceConfig.Environment): ServiceConfig.ServiceConfigError =>
  Result.getOrThrow(Result.flip(ServiceConfig.parse(environment)));

describe("ServiceConfig", () => {
  it("has a default for everything but the servers", () => {
    const config = parsed({});
    assert.strictEqual(config.postgresUrl, null);
    assert.strictEqual(config.kafkaBrokers, null);
    assert.deepStrictEqual(ServiceConfig.listenOf(config, "order"), { host: "127.0.0.1", port: 3000 });
    assert.deepStrictEqual(config.http.ports, {
      order: 3000,
      checkout: 3001,
      inventory: 3002,
      catalog: 3003,
      fulfillment: 3004,
      notification: 3005,
      "payment-provider": 3010,
    });
    assert.sameMembers([...config.roles], ["web", "relay", "consumer", "worker"]);
    assert.strictEqual(config.orderCancelWindowMillis, 500);
    assert.strictEqual(config.urls.catalog, null);
    assert.strictEqual(config.urls.provider, "http://127.0.0.1:3010");
  });

  it("takes what is set, and an empty value as not set", () => {
    const config = parsed({
      SAGA_PG_URL: "postgres://u:p@db:5432/saga",
      SAGA_REDIS_URL: " redis://cache:6379/ ",
      SAGA_KAFKA_BROKERS: "a:9092, b:9093,",
      SAGA_TOPIC_PREFIX: "staging.",
      ORDER_PORT: "",
      CATALOG_URL: "http://catalog:3003/",
      PAYMENT_WEBHOOK_SECRET: "new,old",
      ROLES: "serve, outbox-worker",
    });
    assert.strictEqual(config.postgresUrl === null ? "" : Redacted.value(config.postgresUrl), "postgres://u:p@db:5432/saga");
    assert.strictEqual(config.redisUrl === null ? "" : Redacted.value(config.redisUrl), "redis://cache:6379");
    assert.deepStrictEqual(config.kafkaBrokers, ["a:9092", "b:9093"]);
    assert.strictEqual(config.topicPrefix, "staging.");
    assert.strictEqual(config.http.ports.order, 3000);
    assert.strictEqual(config.urls.catalog, "http://catalog:3003");
    assert.deepStrictEqual(config.webhookSecrets.map(Redacted.value), ["new", "old"]);
    assert.sameMembers([...config.roles], ["web", "relay"]);
    assert.notInclude(JSON.stringify(config), "u:p@db");
  });

  it("says how a service reaches Kafka, with ten heartbeats in a session", () => {
    const config = parsed({ SAGA_KAFKA_BROKERS: "a:9092", SAGA_TOPIC_PREFIX: "staging.", SAGA_KAFKA_SESSION_MS: "6000" });
    assert.deepStrictEqual(Effect.runSync(ServiceConfig.kafka(config, "order")), {
      brokers: ["a:9092"],
      topicPrefix: "staging.",
      clientId: "order",
      sessionTimeoutMillis: 6_000,
      heartbeatMillis: 600,
      concurrency: 8,
      topicRetentionMillis: 86_400_000,
    });
    assert.isTrue(Exit.isFailure(Effect.runSyncExit(ServiceConfig.kafka(parsed({}), "order"))));
  });

  it("knows the aliases of the roles", () => {
    assert.deepStrictEqual([...parsed({ ROLES: "listen,order-consumer,consumer" }).roles], ["consumer"]);
  });

  const bad: ReadonlyArray<readonly [ServiceConfig.VariableName, string, string]> = [
    ["SAGA_PG_URL", "mysql://secret@db", "postgres://"],
    ["SAGA_REDIS_URL", "secret", "redis://"],
    ["SAGA_KAFKA_SESSION_MS", "10", "1000"],
    ["SAGA_KAFKA_BROKERS", "localhost", "host:port"],
    ["SAGA_TOPIC_PREFIX", "a_b", "letters"],
    ["SAGA_REDIS_PREFIX", "a b", "letters"],
    ["STOCK_ENGINE", "lua", "redis, postgres or hybrid"],
    ["INBOX_MODE", "both", "transaction or store"],
    ["INBOX_RETENTION", "1d", "2d 13h: retries 1h + dead letters 1d 12h + topic 1d"],
    ["INBOX_RETENTION", "3 days", "36h or 3d"],
    ["TOPIC_RETENTION", "0d", "36h or 3d"],
    ["HTTP_HOST", "a b", "address"],
    ["ORDER_PORT", "99999", "from 0 to 65535"],
    ["CHECKOUT_PORT", "abc", "whole number"],
    ["ROLES", "web,cook", "web, relay, consumer, worker"],
    ["ROLES", ",", "web, relay, consumer, worker"],
    ["CATALOG_URL", "catalog:3003", "http://"],
    ["PAYMENT_CALL_TIMEOUT_MS", "30001", "30000"],
    ["PAYMENT_DEADLINE_MS", "100", "raise it"],
    ["ORDER_CANCEL_WINDOW_MS", "-1", "whole number"],
    ["STOCK_HOLD_TTL_MS", "0", "from 1"],
    ["STOCK_HOLD_TTL_MS", "20000", "at least 156000 with CHECKOUT_STEP_TIMEOUT_MS 10000 and PAYMENT_DEADLINE_MS 6000"],
    ["SAGA_PG_POOL_SIZE", "0", "from 1 to 1000, or remove it"],
    ["MAILBOX_CAPACITY", "0", "from 1 to 1000000, or remove it for 10000"],
    ["MAILBOX_BATCH_MAX", "many", "from 1 to 10000, or remove it for 256"],
    ["MAILBOX_IN_FLIGHT", "0", "from 1 to 256, or remove it for 2"],
    ["RELAY_SHARDS_IN_FLIGHT", "1.5", "from 1 to 256, or remove it for 4"],
    ["RELAY_BATCH_MAX", "0", "from 1 to 10000, or remove it for 1000"],
    ["CONSUMER_PARTITIONS", "-1", "from 1 to 256, or remove it for 8"],
    ["CONSUMER_BATCH_MAX", "0", "from 1 to 10000, or remove it for 500"],
    ["WORKER_TIMERS_MAX", "0", "from 1 to 10000, or remove it for 200"],
    ["WORKER_HOLDS_MAX", "0", "from 1 to 10000, or remove it for 200"],
  ];
  for (const [variable, value, advice] of bad) {
    it(`names ${variable} when it is ${JSON.stringify(value)}, and says what to do`, () => {
      const error = problem({ [variable]: value });
      assert.strictEqual(error.variable, variable);
      assert.isTrue(error.message.startsWith(variable));
      assert.include(error.message, advice);
      assert.notInclude(error.message, "secret");
    });
  }

  it("takes a hold's time that the checkout takes, and refuses a shorter one", () => {
    const times = { CHECKOUT_STEP_TIMEOUT_MS: "2000", PAYMENT_CALL_TIMEOUT_MS: "100", PAYMENT_DEADLINE_MS: "500" };
    // Three tries of each: reserve 2 s, authorize 2 × 0.5 + 2 s, commit 2 s; and 30 s to spare.
    const least = parsed({ ...times, STOCK_HOLD_TTL_MS: "51000" });
    assert.strictEqual(Checkout.make(CheckoutTopology.optionsOf(least)).name, "checkout");
    const { variable, message } = problem({ ...times, STOCK_HOLD_TTL_MS: "50999" });
    assert.deepStrictEqual([variable, message.includes("51000")], ["STOCK_HOLD_TTL_MS", true]);
    const [, documented] = /(\d+) in all with the times above/.exec(ServiceConfig.variables.STOCK_HOLD_TTL_MS.purpose) ?? [];
    assert.strictEqual(Number(documented), Checkout.holdMinimumMillis(CheckoutTopology.optionsOf(parsed({}))));
    assert.strictEqual(problem({ CHECKOUT_STEP_TIMEOUT_MS: "86400000" }).variable, "STOCK_HOLD_TTL_MS");
  });

  it.effect("says what a missing server is for", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* ServiceConfig.need("x", "SAGA_PG_URL"), "x");
      const error = yield* Effect.flip(ServiceConfig.need(null, "SAGA_PG_URL"));
      assert.include(error.message, "SAGA_PG_URL is not set: PostgreSQL");
    }),
  );

  it("is documented in .env.example, variable by variable, with its default", () => {
    const example = readFileSync(new URL("../../../.env.example", import.meta.url), "utf8");
    const documented = new Map(
      example
        .split("\n")
        .filter((line) => /^[A-Z_]+=/.test(line))
        .map((line): readonly [string, string] => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
    );
    const expected = Object.entries(ServiceConfig.variables).map(([name, { fallback }]): readonly [string, string] => [name, fallback]);
    assert.deepStrictEqual([...documented], expected);
    for (const { purpose } of Object.values(ServiceConfig.variables)) assert.include(example, purpose);
  });

  it("is what .env.example says when it is read as it is", () => {
    const example = readFileSync(new URL("../../../.env.example", import.meta.url), "utf8");
    const environment: Record<string, string> = {};
    for (const line of example.split("\n").filter((line) => /^[A-Z_]+=/.test(line))) {
      environment[line.slice(0, line.indexOf("="))] = line.slice(line.indexOf("=") + 1);
    }
    assert.deepStrictEqual(JSON.stringify(parsed(environment)), JSON.stringify(parsed({})));
  });
});

describe("ServiceMain", () => {
  it("counts a signal as success, a bad setting as usage, and anything else as failure", () => {
    assert.strictEqual(ServiceMain.exitCode(Exit.succeed(1)), 0);
    assert.strictEqual(ServiceMain.exitCode(Exit.failCause(Cause.interrupt())), 0);
    assert.strictEqual(ServiceMain.exitCode(Exit.fail(problem({ ROLES: "x" }))), 2);
    assert.strictEqual(ServiceMain.exitCode(Exit.die(new Error("boom"))), 1);
  });

  it.effect("runs the layer until it is interrupted, and hands on why it could not start", () =>
    Effect.gen(function* () {
      const away = new StoreError({ reason: "Unavailable", operation: "x", message: "away" });
      const failed = yield* Effect.exit(ServiceMain.program(() => Layer.effectDiscard(Effect.fail(away))));
      assert.isTrue(Exit.isFailure(failed));
      const usage = yield* Effect.exit(ServiceMain.program(() => Layer.effectDiscard(ServiceConfig.need(null, "SAGA_PG_URL"))));
      assert.strictEqual(ServiceMain.exitCode(usage), 2);
    }),
  );

  it.effect("logs what an error says that was made for people, and of a defect its name and place, never its text", () =>
    Effect.gen(function* () {
      const logged: Array<unknown> = [];
      const logger = Logger.make(({ message, cause }) => void logged.push(message, ...Cause.prettyErrors(cause)));
      const ended = (cause: Cause.Cause<ServiceMain.StartError>) =>
        Effect.exit(ServiceMain.program(() => Layer.effectDiscard(Effect.failCause(cause)))).pipe(Effect.provide(Logger.layer([logger])));
      const message = "SQLSTATE 28P01 invalid_password";
      yield* ended(Cause.fail(new StoreError({ reason: "Misuse", operation: "x", message })));
      yield* ended(Cause.fail(new HttpServerError.ServeError({ cause: new Error("listen EADDRINUSE: address already in use ::1:80") })));
      yield* ended(Cause.die(new TypeError("it quotes pm_secret")));
      const [store, serve, defect, ...others] = logged.map(String);
      assert.strictEqual(store, `the service ended: StoreError: ${message}`);
      assert.match(serve ?? "", /^the service ended: it cannot listen: listen EADDRINUSE: address already in use ::1:80; .*ORDER_PORT/);
      assert.match(defect ?? "", /^the service ended: a defect \(TypeError at .*ServiceConfig\.test\.ts/);
      assert.deepStrictEqual(others, []);
    }),
  );
});
