/**
 * The settings of the services, from the environment. Every variable is in `variables`, with its default and what it is
 * for; `.env.example` holds the same list (a test compares them). An empty variable counts as not set. A bad value is one
 * error that names the variable and says what to do; values of secrets are never repeated.
 */
import { Effect, Redacted, Result, Schema } from "effect";
import { CALL_TIMEOUT_MAX_MS } from "./PaymentProvider.ts";

export class ServiceConfigError extends Schema.TaggedError<ServiceConfigError>()("ServiceConfigError", {
  variable: Schema.String,
  message: Schema.String,
}) {}

/** Services with a port of their own. */
export const ports = {
  order: { variable: "ORDER_PORT", port: 3000 },
  checkout: { variable: "CHECKOUT_PORT", port: 3001 },
  inventory: { variable: "INVENTORY_PORT", port: 3002 },
  catalog: { variable: "CATALOG_PORT", port: 3003 },
  fulfillment: { variable: "FULFILLMENT_PORT", port: 3004 },
  notification: { variable: "NOTIFICATION_PORT", port: 3005 },
  "payment-provider": { variable: "PAYMENT_PROVIDER_PORT", port: 3010 },
} as const;
export type ServiceName = keyof typeof ports;

/** What a process does: answer HTTP, publish the outbox, consume messages, work (timers, sweepers). */
export type Role = "web" | "relay" | "consumer" | "worker";
export const roles: ReadonlyArray<Role> = ["web", "relay", "consumer", "worker"];

const roleOf: Readonly<Record<string, Role>> = {
  web: "web",
  serve: "web",
  relay: "relay",
  "outbox-worker": "relay",
  consumer: "consumer",
  listen: "consumer",
  "order-consumer": "consumer",
  worker: "worker",
};

/** Which engine holds the stock. */
export type StockEngine = "redis" | "postgres";

export interface ServiceConfig {
  /** Null: not set; the service then needs to be given its stores by whoever starts it. */
  readonly postgresUrl: Redacted.Redacted | null;
  readonly redisUrl: Redacted.Redacted | null;
  readonly kafkaBrokers: ReadonlyArray<string> | null;
  readonly topicPrefix: string;
  readonly redisPrefix: string;
  readonly kafkaSessionMillis: number;
  readonly stockEngine: StockEngine;
  readonly http: { readonly host: string; readonly ports: Readonly<Record<ServiceName, number>> };
  readonly roles: ReadonlySet<Role>;
  readonly urls: { readonly catalog: string | null; readonly provider: string; readonly webhook: string };
  /** The first signs; all verify. */
  readonly webhookSecrets: ReadonlyArray<Redacted.Redacted>;
  readonly orderCancelWindowMillis: number;
  readonly checkoutStepTimeoutMillis: number;
  readonly holdTtlMillis: number;
  readonly payment: {
    /** One call to the provider. */
    readonly callTimeoutMillis: number;
    /** An authorization or capture that is not known by then is canceled. */
    readonly deadlineMillis: number;
  };
  readonly provider: { readonly settleMillis: number; readonly lateWebhookMillis: number };
}

export interface Variable {
  readonly name: string;
  /** Empty: none. */
  readonly fallback: string;
  readonly purpose: string;
}

export const variables = {
  SAGA_PG_URL: { fallback: "", purpose: "PostgreSQL 15 or newer, e.g. postgres://user:password@127.0.0.1:5432/saga" },
  SAGA_REDIS_URL: { fallback: "", purpose: "Redis 7 or newer with maxmemory-policy noeviction, e.g. redis://127.0.0.1:6379" },
  SAGA_KAFKA_BROKERS: { fallback: "", purpose: "Kafka brokers, comma-separated, e.g. 127.0.0.1:9092" },
  SAGA_TOPIC_PREFIX: { fallback: "", purpose: "put before every topic and consumer group, e.g. staging." },
  SAGA_REDIS_PREFIX: { fallback: "", purpose: "put before every Redis key, e.g. staging:" },
  SAGA_KAFKA_SESSION_MS: {
    fallback: "10000",
    purpose: "a consumer that was not heard of for so long is dead, and others take its place; brokers accept 6000 and more",
  },
  STOCK_ENGINE: { fallback: "redis", purpose: "where the stock is held: redis (fast, needs Redis) or postgres" },
  ROLES: { fallback: "web,relay,consumer,worker", purpose: "what a process does, of: web, relay, consumer, worker" },
  HTTP_HOST: { fallback: "127.0.0.1", purpose: "the address that services listen on" },
  ORDER_PORT: { fallback: "3000", purpose: "port of the order service" },
  CHECKOUT_PORT: { fallback: "3001", purpose: "port of the checkout service" },
  INVENTORY_PORT: { fallback: "3002", purpose: "port of the inventory service" },
  CATALOG_PORT: { fallback: "3003", purpose: "port of the catalogue" },
  FULFILLMENT_PORT: { fallback: "3004", purpose: "port of the fulfillment service" },
  NOTIFICATION_PORT: { fallback: "3005", purpose: "port of the notification service" },
  PAYMENT_PROVIDER_PORT: { fallback: "3010", purpose: "port of the payment provider (a stub)" },
  CATALOG_URL: { fallback: "", purpose: "where the order service asks for products; empty: the built-in catalogue" },
  PAYMENT_PROVIDER_URL: { fallback: "http://127.0.0.1:3010", purpose: "where checkout finds the payment provider" },
  PAYMENT_WEBHOOK_URL: {
    fallback: "http://127.0.0.1:3001/api/v1/webhooks/payments",
    purpose: "where the payment provider tells checkout what happened",
  },
  PAYMENT_WEBHOOK_SECRET: {
    fallback: "development-only-secret",
    purpose: "signs the webhooks; comma-separated while one rotates, the new one first",
  },
  PAYMENT_CALL_TIMEOUT_MS: {
    fallback: "2000",
    purpose: "longest time for one call to the provider, at most 30000; a slower one is unknown",
  },
  PAYMENT_DEADLINE_MS: { fallback: "6000", purpose: "an authorization or capture that is not known by then is canceled" },
  ORDER_CANCEL_WINDOW_MS: { fallback: "500", purpose: "how long an order rests in created before checkout picks it up" },
  CHECKOUT_STEP_TIMEOUT_MS: {
    fallback: "10000",
    purpose: "how long inventory and fulfillment may take to answer before they are asked again",
  },
  STOCK_HOLD_TTL_MS: { fallback: "600000", purpose: "how long stock is held for an order" },
  PROVIDER_SETTLE_MS: { fallback: "20", purpose: "the provider: between accepting a capture and its being done" },
  PROVIDER_LATE_WEBHOOK_MS: { fallback: "2000", purpose: "the provider: how late the webhook of pm_late_capture comes" },
} as const satisfies Record<string, Omit<Variable, "name">>;
export type VariableName = keyof typeof variables;

export type Environment = Readonly<Record<string, string | undefined>>;

/** The settings in `environment`, or the first thing that is wrong with it. */
export const parse = (environment: Environment): Result.Result<ServiceConfig, ServiceConfigError> =>
  Result.gen(function* () {
    const url = reader(environment, ["http:", "https:"]);
    const number = (name: VariableName, minimum: number, maximum: number) => whole(environment, name, minimum, maximum);
    const port = (name: VariableName) => number(name, 0, 65_535);
    const callTimeoutMillis = yield* number("PAYMENT_CALL_TIMEOUT_MS", 1, CALL_TIMEOUT_MAX_MS);
    const deadlineMillis = yield* number("PAYMENT_DEADLINE_MS", 1, DAY_MS);
    if (deadlineMillis <= callTimeoutMillis) {
      return yield* wrong(
        "PAYMENT_DEADLINE_MS",
        `is not above PAYMENT_CALL_TIMEOUT_MS (${callTimeoutMillis}): no call could be settled within it; raise it`,
      );
    }
    const provider = yield* url("PAYMENT_PROVIDER_URL");
    const webhook = yield* url("PAYMENT_WEBHOOK_URL");
    return {
      postgresUrl: secret(yield* reader(environment, ["postgres:", "postgresql:"])("SAGA_PG_URL")),
      redisUrl: secret(yield* reader(environment, ["redis:", "rediss:"])("SAGA_REDIS_URL")),
      kafkaBrokers: yield* brokers(environment),
      topicPrefix: yield* pattern(
        environment,
        "SAGA_TOPIC_PREFIX",
        /^[A-Za-z0-9.-]{0,64}$/,
        "letters, digits, dots and hyphens, at most 64",
      ),
      redisPrefix: yield* pattern(environment, "SAGA_REDIS_PREFIX", /^[A-Za-z0-9.:_-]{0,64}$/, "letters, digits and . : _ -, at most 64"),
      kafkaSessionMillis: yield* number("SAGA_KAFKA_SESSION_MS", 1_000, DAY_MS),
      stockEngine: yield* stockEngine(environment),
      http: {
        host: yield* pattern(environment, "HTTP_HOST", /^[A-Za-z0-9.:_-]+$/, "an address or a host name"),
        ports: {
          order: yield* port("ORDER_PORT"),
          checkout: yield* port("CHECKOUT_PORT"),
          inventory: yield* port("INVENTORY_PORT"),
          catalog: yield* port("CATALOG_PORT"),
          fulfillment: yield* port("FULFILLMENT_PORT"),
          notification: yield* port("NOTIFICATION_PORT"),
          "payment-provider": yield* port("PAYMENT_PROVIDER_PORT"),
        },
      },
      roles: yield* rolesIn(environment),
      urls: {
        catalog: yield* url("CATALOG_URL"),
        provider: provider ?? variables.PAYMENT_PROVIDER_URL.fallback,
        webhook: webhook ?? variables.PAYMENT_WEBHOOK_URL.fallback,
      },
      webhookSecrets: list(valueOf(environment, "PAYMENT_WEBHOOK_SECRET")).map((text) => Redacted.make(text)),
      orderCancelWindowMillis: yield* number("ORDER_CANCEL_WINDOW_MS", 0, DAY_MS),
      checkoutStepTimeoutMillis: yield* number("CHECKOUT_STEP_TIMEOUT_MS", 1, DAY_MS),
      holdTtlMillis: yield* number("STOCK_HOLD_TTL_MS", 1, DAY_MS),
      payment: { callTimeoutMillis, deadlineMillis },
      provider: {
        settleMillis: yield* number("PROVIDER_SETTLE_MS", 0, DAY_MS),
        lateWebhookMillis: yield* number("PROVIDER_LATE_WEBHOOK_MS", 0, DAY_MS),
      },
    };
  });

/** The settings of this process. */
export const load: Effect.Effect<ServiceConfig, ServiceConfigError> = Effect.suspend(() => Effect.fromResult(parse(process.env)));

/** Where a service listens. */
export const listenOf = (config: ServiceConfig, service: ServiceName): { readonly host: string; readonly port: number } => ({
  host: config.http.host,
  port: config.http.ports[service],
});

/** Heartbeats in one session: two that are lost, and a pause of the garbage collector, kill nobody. */
const HEARTBEATS = 10;

/** How a service reaches Kafka: options of `KafkaBus.layer`. */
export const kafka = ({ kafkaBrokers, topicPrefix, kafkaSessionMillis }: ServiceConfig, service: ServiceName) =>
  Effect.map(need(kafkaBrokers, "SAGA_KAFKA_BROKERS"), (brokers) => ({
    brokers,
    topicPrefix,
    clientId: service,
    sessionTimeoutMillis: kafkaSessionMillis,
    heartbeatMillis: Math.ceil(kafkaSessionMillis / HEARTBEATS),
  }));

/** A value that is needed here; fails with the variable's name if it is not set. */
export const need = <A>(value: A | null, name: VariableName): Effect.Effect<A, ServiceConfigError> =>
  value === null
    ? Effect.fail(new ServiceConfigError({ variable: name, message: `${name} is not set: ${variables[name].purpose}` }))
    : Effect.succeed(value);

/** Milliseconds of the longest time that makes sense here: a day. */
const DAY_MS = 86_400_000;

const valueOf = (environment: Environment, name: VariableName): string => {
  const value = environment[name]?.trim() ?? "";
  return value === "" ? variables[name].fallback : value;
};

const wrong = (name: VariableName, message: string): Result.Result<never, ServiceConfigError> =>
  Result.fail(new ServiceConfigError({ variable: name, message: `${name} ${message}` }));

const list = (text: string): ReadonlyArray<string> =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

const secret = (value: string | null): Redacted.Redacted | null => (value === null ? null : Redacted.make(value));

/** Reads a URL; null if it is empty. The URL is not repeated: it may hold a password. */
const reader =
  (environment: Environment, protocols: ReadonlyArray<string>) =>
  (name: VariableName): Result.Result<string | null, ServiceConfigError> => {
    const value = valueOf(environment, name);
    if (value === "") return Result.succeed(null);
    return URL.canParse(value) && protocols.includes(new URL(value).protocol)
      ? Result.succeed(value.replace(/\/+$/, ""))
      : wrong(name, `is not a URL that starts with ${protocols.map((protocol) => `${protocol}//`).join(" or ")}`);
  };

const whole = (
  environment: Environment,
  name: VariableName,
  minimum: number,
  maximum: number,
): Result.Result<number, ServiceConfigError> => {
  const value = valueOf(environment, name);
  const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  return number >= minimum && number <= maximum
    ? Result.succeed(number)
    : wrong(
        name,
        `is ${JSON.stringify(value.slice(0, 40))}: set a whole number from ${minimum} to ${maximum}, or remove it for ${variables[name].fallback}`,
      );
};

const pattern = (environment: Environment, name: VariableName, form: RegExp, words: string): Result.Result<string, ServiceConfigError> => {
  const value = valueOf(environment, name);
  return form.test(value) ? Result.succeed(value) : wrong(name, `is ${JSON.stringify(value.slice(0, 80))}: set ${words}`);
};

const brokers = (environment: Environment): Result.Result<ReadonlyArray<string> | null, ServiceConfigError> => {
  const found = list(valueOf(environment, "SAGA_KAFKA_BROKERS"));
  if (found.length === 0) return Result.succeed(null);
  return found.every((broker) => /^[^\s:/]+:\d{1,5}$/.test(broker))
    ? Result.succeed(found)
    : wrong("SAGA_KAFKA_BROKERS", "is not a list of host:port, separated by commas");
};

const rolesIn = (environment: Environment): Result.Result<ReadonlySet<Role>, ServiceConfigError> => {
  const names = list(valueOf(environment, "ROLES"));
  const found = names.flatMap((name) => roleOf[name] ?? []);
  return found.length === names.length && found.length > 0
    ? Result.succeed(new Set(found))
    : wrong("ROLES", `is ${JSON.stringify(names.join(",").slice(0, 80))}: set a comma-separated list of ${roles.join(", ")}`);
};

const stockEngine = (environment: Environment): Result.Result<StockEngine, ServiceConfigError> => {
  const value = valueOf(environment, "STOCK_ENGINE");
  return value === "redis" || value === "postgres"
    ? Result.succeed(value)
    : wrong("STOCK_ENGINE", `is ${JSON.stringify(value.slice(0, 40))}: set redis or postgres`);
};
