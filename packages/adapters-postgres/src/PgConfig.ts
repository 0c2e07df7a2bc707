/**
 * How to reach one service's part of a PostgreSQL: the address, the schema, and the bounds of its connections.
 *
 * A service has a schema of its own (`order`, `checkout`, …) with its own outbox, inbox and timers. The address is
 * `Redacted`: it never shows in a log or an error.
 */
import { Config, Duration, Redacted, Schema } from "effect";

/** A PostgreSQL identifier that needs no escaping. At most 63 bytes: PostgreSQL cuts longer ones silently. */
export const SchemaName = Schema.String.check(
  Schema.isPattern(/^[a-z_][a-z0-9_]{0,62}$/, { expected: "lower case letters, digits and _, at most 63, the first no digit" }),
);

export interface PgConfig {
  /** `postgres://user:password@host:port/database` */
  readonly url: Redacted.Redacted;
  /** The PostgreSQL schema of the service. */
  readonly schema: string;
  /** Stands before the name of every table and index, for a schema that is shared with other tables. Usually empty. */
  readonly tablePrefix: string;
  /** Connections at most. A batch needs one, a shard that is being drained needs one. */
  readonly poolSize: number;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string;
  /** For a connection: made, or free in the pool. */
  readonly connectTimeout: Duration.Duration;
  /** One statement. Ends in `Contention`. */
  readonly statementTimeout: Duration.Duration;
  /** Waiting for one lock. Ends in `Contention`. */
  readonly lockTimeout: Duration.Duration;
  /**
   * The server ends a transaction that says nothing for so long: a frozen process gives its locks and shards back. Above
   * the time that a publish may take, because a relay holds its shard's transaction meanwhile.
   */
  readonly idleInTransactionTimeout: Duration.Duration;
  /** How long the server is asked how a COMMIT ended whose answer was lost. Above the time that it takes to restart. */
  readonly settleTimeout: Duration.Duration;
  /** Silence after which the system probes a connection. */
  readonly keepAlive: Duration.Duration;
}

export interface PgOptions {
  readonly url: string | Redacted.Redacted;
  readonly schema?: string | undefined;
  readonly tablePrefix?: string | undefined;
  readonly poolSize?: number | undefined;
  readonly applicationName?: string | undefined;
  readonly connectTimeout?: Duration.Input | undefined;
  readonly statementTimeout?: Duration.Input | undefined;
  readonly lockTimeout?: Duration.Input | undefined;
  readonly idleInTransactionTimeout?: Duration.Input | undefined;
  readonly settleTimeout?: Duration.Input | undefined;
  readonly keepAlive?: Duration.Input | undefined;
}

export const DEFAULT_SCHEMA = "saga";
export const DEFAULT_TABLE_PREFIX = "";

/** With the longest name of an index behind it, it stays within PostgreSQL's 63 bytes. */
export const TablePrefix = Schema.String.check(
  Schema.isPattern(/^([a-z_][a-z0-9_]{0,19})?$/, { expected: "lower case letters, digits and _, at most 20, the first no digit" }),
);

/** Connections: with group commit two write as much as the disk can take (measured: batches of 64 on 2 connections); the rest is for relays and reads. */
const POOL_SIZE = 10;
/** Long enough for a restart of the server, short enough for a caller to hear of it. */
const CONNECT_TIMEOUT = Duration.seconds(5);
/** Above any batch; a statement that takes longer is a bug. */
const STATEMENT_TIMEOUT = Duration.seconds(30);
/** Batches take milliseconds; waiting longer than this means that an owner is frozen. */
const LOCK_TIMEOUT = Duration.seconds(5);
/** Above the time a broker may take to acknowledge a batch. */
const IDLE_IN_TRANSACTION_TIMEOUT = Duration.seconds(15);
export const SETTLE_TIMEOUT = Duration.seconds(15);
const KEEP_ALIVE = Duration.seconds(5);

/** A configuration with the defaults for what is not given. Checked when a client is made of it. */
export const make = (options: PgOptions): PgConfig => ({
  url: Redacted.isRedacted(options.url) ? options.url : Redacted.make(options.url),
  schema: options.schema ?? DEFAULT_SCHEMA,
  tablePrefix: options.tablePrefix ?? DEFAULT_TABLE_PREFIX,
  poolSize: options.poolSize ?? POOL_SIZE,
  applicationName: options.applicationName ?? options.schema ?? DEFAULT_SCHEMA,
  connectTimeout: duration(options.connectTimeout, CONNECT_TIMEOUT),
  statementTimeout: duration(options.statementTimeout, STATEMENT_TIMEOUT),
  lockTimeout: duration(options.lockTimeout, LOCK_TIMEOUT),
  idleInTransactionTimeout: duration(options.idleInTransactionTimeout, IDLE_IN_TRANSACTION_TIMEOUT),
  settleTimeout: duration(options.settleTimeout, SETTLE_TIMEOUT),
  keepAlive: duration(options.keepAlive, KEEP_ALIVE),
});

/** From the environment: `POSTGRES_URL`, and optionally `POSTGRES_SCHEMA`, `POSTGRES_TABLE_PREFIX`, `POSTGRES_POOL_SIZE`. */
export const config: Config.Config<PgConfig> = Config.all({
  url: Config.Redacted("POSTGRES_URL"),
  schema: Config.withDefault(Config.String("POSTGRES_SCHEMA"), DEFAULT_SCHEMA),
  tablePrefix: Config.withDefault(Config.String("POSTGRES_TABLE_PREFIX"), DEFAULT_TABLE_PREFIX),
  poolSize: Config.withDefault(Config.Int("POSTGRES_POOL_SIZE"), POOL_SIZE),
}).pipe(Config.map(make));

/** Timers of Node end at 2³¹ milliseconds, and so do the server's settings; beyond it they would run out at once. None is without an end. */
const TIMEOUT_MAX_MS = 24 * 24 * 60 * 60 * 1_000;
const TIMEOUTS = ["connectTimeout", "statementTimeout", "lockTimeout", "idleInTransactionTimeout"] as const;

/** What is wrong with a configuration, or null. Never shows the address. */
export const problemOf = (config: PgConfig): string | null => {
  const problem = nameProblem(config.schema, config.tablePrefix);
  if (problem !== null) return problem;
  if (!Number.isSafeInteger(config.poolSize) || config.poolSize < 1)
    return `poolSize must be a whole number of at least 1, not ${config.poolSize}`;
  for (const name of TIMEOUTS) {
    const millis = Duration.toMillis(config[name]);
    if (!(millis >= 1 && millis <= TIMEOUT_MAX_MS)) return `${name} must be from 1 millisecond to 24 days, not ${millis} milliseconds`;
  }
  if (config.applicationName.includes("\u0000")) return "applicationName cannot hold a NUL";
  const url = Redacted.value(config.url);
  if (!URL.canParse(url) || !/^postgres(ql)?:/.test(url)) return "url must have the form postgres://user:password@host:port/database";
  return null;
};

/** Why these names cannot be used, or null. */
export const nameProblem = (schema: string, tablePrefix: string): string | null => {
  if (!Schema.is(SchemaName)(schema))
    return `${JSON.stringify(schema)} cannot be a schema name: lower-case letters, digits and _, at most 63, not beginning with a digit`;
  if (!Schema.is(TablePrefix)(tablePrefix))
    return `${JSON.stringify(tablePrefix)} cannot be a table prefix: lower-case letters, digits and _, at most 20, not beginning with a digit`;
  return null;
};

const duration = (input: Duration.Input | undefined, fallback: Duration.Duration): Duration.Duration =>
  input === undefined ? fallback : Duration.fromInputUnsafe(input);
