/** Every environment variable of the services, with its default and what it is for. `.env.example` holds the same list. */

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
  SAGA_PG_POOL_SIZE: {
    fallback: "",
    purpose: "connections of one process to PostgreSQL, at most; empty: as many as its roles can hold at once, and less is refused",
  },
  STOCK_ENGINE: { fallback: "redis", purpose: "where the stock is held: redis (fast, needs Redis), postgres (durable) or hybrid (both)" },
  SAGA_TOPOLOGY: {
    fallback: "orchestrated",
    purpose: "who sees a checkout through: orchestrated (the order service) or choreographed (each service reacts); all services the same",
  },
  ROLES: { fallback: "web,relay,consumer,worker", purpose: "what a process does, of: web, relay, consumer, worker" },
  MAILBOX_CAPACITY: { fallback: "10000", purpose: "commands that may wait for a batch; above that, 503 with Retry-After" },
  MAILBOX_BATCH_MAX: { fallback: "256", purpose: "commands of one transaction, at most" },
  MAILBOX_IN_FLIGHT: { fallback: "2", purpose: "transactions of commands at a time; each holds a connection" },
  RELAY_SHARDS_IN_FLIGHT: { fallback: "4", purpose: "shards of the outbox published at a time; each holds a connection" },
  RELAY_BATCH_MAX: { fallback: "1000", purpose: "messages of one shard published at once, at most" },
  CONSUMER_PARTITIONS: { fallback: "8", purpose: "partitions whose messages are handled at a time" },
  CONSUMER_BATCH_MAX: { fallback: "500", purpose: "messages of one partition handled at once, at most" },
  WORKER_TIMERS_MAX: { fallback: "200", purpose: "timers fired at once, at most" },
  WORKER_HOLDS_MAX: { fallback: "200", purpose: "expired stock holds given back at once, at most" },
  INBOX_MODE: {
    fallback: "transaction",
    purpose: "how notification takes messages: transaction (handled straight from the broker) or store (stored first, then handled)",
  },
  INBOX_RETENTION: {
    fallback: "3d",
    purpose: "how long a duplicate is recognized; at least RETRIES_MAX + DEAD_LETTER_RETENTION + TOPIC_RETENTION",
  },
  OUTBOX_RETENTION: { fallback: "1d", purpose: "how long sent messages stay for people to look at: at most 3d" },
  IDEMPOTENCY_RETENTION: { fallback: "1d", purpose: "how long the answer to an idempotency key is repeated" },
  TOPIC_RETENTION: { fallback: "1d", purpose: "how long topics keep their records; topics that exist stay as they are" },
  DEAD_LETTER_RETENTION: { fallback: "36h", purpose: "how long a dead letter may be redriven" },
  RETRIES_MAX: { fallback: "1h", purpose: "how long a message may be tried again" },
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
  STOCK_HOLD_TTL_MS: {
    fallback: "600000",
    purpose:
      "how long stock is held for an order: at least 30 s more than three tries of reserving, of paying and of committing may take, 156000 in all with the times above",
  },
  PROVIDER_SETTLE_MS: { fallback: "20", purpose: "the provider: between accepting a capture and its being done" },
  PROVIDER_LATE_WEBHOOK_MS: { fallback: "2000", purpose: "the provider: how late the webhook of pm_late_capture comes" },
} as const satisfies Record<string, Omit<Variable, "name">>;
export type VariableName = keyof typeof variables;
