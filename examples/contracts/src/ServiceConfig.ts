/**
 * The settings of the services, from the environment. Every variable is in `variables`, with its default and what it is
 * for; `.env.example` holds the same list (a test compares them). An empty variable counts as not set. A bad value is one
 * error that names the variable and says what to do; values of secrets are never repeated.
 */
import type { Retention } from "@org/saga-core";
import { Duration, Effect, Redacted, Result } from "effect";
import * as CheckoutTimes from "./CheckoutTimes.ts";
import * as Concurrency from "./Concurrency.ts";
import { type Environment, list, pattern, reader, secret, ServiceConfigError, valueOf, whole, wrong } from "./Environment.ts";
import * as Keeping from "./Keeping.ts";
import { type VariableName, variables } from "./Variables.ts";

export { type Environment, ServiceConfigError } from "./Environment.ts";
export { type Variable, type VariableName, variables } from "./Variables.ts";

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
export type StockEngine = "redis" | "postgres" | "hybrid";

/** Who sees a checkout through: the order service, or each service by its own reactions. */
export type Topology = "orchestrated" | "choreographed";

/** How messages are taken: admitted in the handler's transaction, or stored first and handled by workers. */
export type InboxMode = "transaction" | "store";

export interface ServiceConfig extends CheckoutTimes.CheckoutTimes {
  /** Null: not set; the service then needs to be given its stores by whoever starts it. */
  readonly postgresUrl: Redacted.Redacted | null;
  readonly redisUrl: Redacted.Redacted | null;
  readonly kafkaBrokers: ReadonlyArray<string> | null;
  readonly topicPrefix: string;
  readonly redisPrefix: string;
  readonly kafkaSessionMillis: number;
  readonly stockEngine: StockEngine;
  readonly topology: Topology;
  readonly http: { readonly host: string; readonly ports: Readonly<Record<ServiceName, number>> };
  readonly roles: ReadonlySet<Role>;
  readonly concurrency: Concurrency.Concurrency;
  readonly inboxMode: InboxMode;
  readonly retention: Retention.Policy;
  readonly urls: { readonly catalog: string | null; readonly provider: string; readonly webhook: string };
  /** The first signs; all verify. */
  readonly webhookSecrets: ReadonlyArray<Redacted.Redacted>;
  readonly provider: { readonly settleMillis: number; readonly lateWebhookMillis: number };
}

/** The settings in `environment`, or the first thing that is wrong with it. */
export const parse = (environment: Environment): Result.Result<ServiceConfig, ServiceConfigError> =>
  Result.gen(function* () {
    const url = reader(environment, ["http:", "https:"]);
    const number = (name: VariableName, minimum: number, maximum: number) => whole(environment, name, minimum, maximum);
    const port = (name: VariableName) => number(name, 0, 65_535);
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
      kafkaSessionMillis: yield* number("SAGA_KAFKA_SESSION_MS", 1_000, CheckoutTimes.DAY_MS),
      stockEngine: yield* stockEngine(environment),
      topology: yield* topologyIn(environment),
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
      concurrency: yield* Concurrency.parse(environment),
      inboxMode: yield* inboxMode(environment),
      retention: yield* Keeping.parse(environment),
      urls: {
        catalog: yield* url("CATALOG_URL"),
        provider: provider ?? variables.PAYMENT_PROVIDER_URL.fallback,
        webhook: webhook ?? variables.PAYMENT_WEBHOOK_URL.fallback,
      },
      webhookSecrets: list(valueOf(environment, "PAYMENT_WEBHOOK_SECRET")).map((text) => Redacted.make(text)),
      ...(yield* CheckoutTimes.parse(environment)),
      provider: {
        settleMillis: yield* number("PROVIDER_SETTLE_MS", 0, CheckoutTimes.DAY_MS),
        lateWebhookMillis: yield* number("PROVIDER_LATE_WEBHOOK_MS", 0, CheckoutTimes.DAY_MS),
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
export const kafka = ({ kafkaBrokers, topicPrefix, kafkaSessionMillis, concurrency, retention }: ServiceConfig, service: ServiceName) =>
  Effect.map(need(kafkaBrokers, "SAGA_KAFKA_BROKERS"), (brokers) => ({
    brokers,
    topicPrefix,
    clientId: service,
    sessionTimeoutMillis: kafkaSessionMillis,
    heartbeatMillis: Math.ceil(kafkaSessionMillis / HEARTBEATS),
    concurrency: concurrency.consumer.partitions,
    topicRetentionMillis: Duration.toMillis(retention.topic),
  }));

/** A value that is needed here; fails with the variable's name if it is not set. */
export const need = <A>(value: A | null, name: VariableName): Effect.Effect<A, ServiceConfigError> =>
  value === null
    ? Effect.fail(new ServiceConfigError({ variable: name, message: `${name} is not set: ${variables[name].purpose}` }))
    : Effect.succeed(value);

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

const inboxMode = (environment: Environment): Result.Result<InboxMode, ServiceConfigError> => {
  const value = valueOf(environment, "INBOX_MODE");
  return value === "transaction" || value === "store"
    ? Result.succeed(value)
    : wrong("INBOX_MODE", `is ${JSON.stringify(value.slice(0, 40))}: set transaction or store`);
};

const topologyIn = (environment: Environment): Result.Result<Topology, ServiceConfigError> => {
  const value = valueOf(environment, "SAGA_TOPOLOGY");
  return value === "orchestrated" || value === "choreographed"
    ? Result.succeed(value)
    : wrong("SAGA_TOPOLOGY", `is ${JSON.stringify(value.slice(0, 40))}: set orchestrated or choreographed`);
};

const stockEngine = (environment: Environment): Result.Result<StockEngine, ServiceConfigError> => {
  const value = valueOf(environment, "STOCK_ENGINE");
  return value === "redis" || value === "postgres" || value === "hybrid"
    ? Result.succeed(value)
    : wrong("STOCK_ENGINE", `is ${JSON.stringify(value.slice(0, 40))}: set redis, postgres or hybrid`);
};
