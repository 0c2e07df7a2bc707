/** Where Kafka is, and how patient the client is with it. */
import { Config, Context, Duration, Layer, Option, type Redacted } from "effect";
import type { ConnectionOptions } from "node:tls";

/** Named in the broker's logs and quotas. */
export const CLIENT_ID_DEFAULT = "saga";

/** Of topics that `ensureTopics` creates: six consumers of a group can share one, and a laptop carries a dozen topics. */
export const PARTITIONS_DEFAULT = 6;

/** `default.replication.factor` of the broker (Kafka 2.4 and newer). */
export const REPLICATION_BROKER_DEFAULT = -1;

/**
 * `retention.ms` of topics that `ensureTopics` creates: one day, as `Retention` of `@org/saga-core` has it. An inbox has to
 * remember for longer than a topic keeps.
 */
export const TOPIC_RETENTION_MS = 86_400_000;

/** A broker that does not accept by then is taken to be away, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 3_000;

/** A request that was not answered by then is sent again, in milliseconds. */
export const REQUEST_TIMEOUT_MS = 8_000;

/** All of one `publish`, in milliseconds. A relay keeps a database transaction open meanwhile, which must outlast it. */
export const PUBLISH_TIMEOUT_MS = 10_000;

/** All of one `ensureTopics`, in milliseconds. */
export const ENSURE_TIMEOUT_MS = 30_000;

/**
 * A consumer that the group has not heard of for so long is dead, in milliseconds: what the partitions of a killed process
 * wait for. Brokers accept 6 s to 30 min by default.
 */
export const SESSION_TIMEOUT_MS = 10_000;

/** A tenth of the session, in milliseconds: lost heartbeats and a pause of the garbage collector kill nobody. */
export const HEARTBEAT_MS = 1_000;

/** How long a rebalance waits for consumers that are busy with a batch, in milliseconds. */
export const REBALANCE_TIMEOUT_MS = 30_000;

/** How long a broker holds back an empty answer, in milliseconds. Also the longest that a stop waits for one. */
export const FETCH_WAIT_MS = 500;

/** Partitions handled at a time by one consumer: their batches meet in the mailbox and share its transactions. */
export const CONCURRENCY_DEFAULT = 8;

/** Bytes of one produce request, below the 1,048,588 that a broker takes in one batch by default. */
export const REQUEST_BYTES_MAX = 1_000_000;

export interface Sasl {
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
  readonly username: string;
  readonly password: Redacted.Redacted;
}

export interface Settings {
  /** `host:port`, at least one. */
  readonly brokers: ReadonlyArray<string>;
  readonly clientId: string;
  /** `ce_source` of what is published: which service this is. */
  readonly source: string;
  /** Begins every topic and consumer group: two installations on one cluster differ in it. */
  readonly topicPrefix: string;
  /** TLS: with the system's authorities, or with what is given. */
  readonly ssl: boolean | Redacted.Redacted<ConnectionOptions>;
  readonly sasl: Sasl | null;
  readonly partitions: number;
  readonly replicationFactor: number;
  /** `retention.ms` of topics that are created; existing ones that keep for longer are warned of. */
  readonly topicRetentionMillis: number;
  readonly connectTimeoutMillis: number;
  readonly requestTimeoutMillis: number;
  readonly publishTimeoutMillis: number;
  readonly ensureTimeoutMillis: number;
  readonly sessionTimeoutMillis: number;
  readonly heartbeatMillis: number;
  readonly rebalanceTimeoutMillis: number;
  readonly fetchWaitMillis: number;
  readonly concurrency: number;
  readonly requestBytesMax: number;
}

export class KafkaConfig extends Context.Service<KafkaConfig, Settings>()("@org/saga-kafka/KafkaConfig") {}

export interface Options extends Partial<Omit<Settings, "brokers">> {
  readonly brokers: ReadonlyArray<string>;
}

export const settings = (options: Options): Settings => ({
  clientId: CLIENT_ID_DEFAULT,
  source: `/${options.clientId ?? CLIENT_ID_DEFAULT}`,
  topicPrefix: "",
  ssl: false,
  sasl: null,
  partitions: PARTITIONS_DEFAULT,
  replicationFactor: REPLICATION_BROKER_DEFAULT,
  topicRetentionMillis: TOPIC_RETENTION_MS,
  connectTimeoutMillis: CONNECT_TIMEOUT_MS,
  requestTimeoutMillis: REQUEST_TIMEOUT_MS,
  publishTimeoutMillis: PUBLISH_TIMEOUT_MS,
  ensureTimeoutMillis: ENSURE_TIMEOUT_MS,
  sessionTimeoutMillis: SESSION_TIMEOUT_MS,
  heartbeatMillis: HEARTBEAT_MS,
  rebalanceTimeoutMillis: REBALANCE_TIMEOUT_MS,
  fetchWaitMillis: FETCH_WAIT_MS,
  concurrency: CONCURRENCY_DEFAULT,
  requestBytesMax: REQUEST_BYTES_MAX,
  ...options,
});

export const layer = (options: Options): Layer.Layer<KafkaConfig> => Layer.succeed(KafkaConfig, settings(options));

/**
 * From `KAFKA_BROKERS` (comma-separated), `KAFKA_CLIENT_ID`, `KAFKA_TOPIC_PREFIX`, `KAFKA_SSL`, `KAFKA_SASL_MECHANISM`,
 * `KAFKA_SASL_USERNAME`, `KAFKA_SASL_PASSWORD`, `KAFKA_PARTITIONS`, `KAFKA_REPLICATION_FACTOR` and
 * `KAFKA_TOPIC_RETENTION` (e.g. `1 day`).
 */
export const layerConfig: Layer.Layer<KafkaConfig, Config.ConfigError> = Layer.effect(
  KafkaConfig,
  Config.all({
    brokers: Config.NonEmptyString("KAFKA_BROKERS"),
    clientId: Config.NonEmptyString("KAFKA_CLIENT_ID").pipe(Config.withDefault(CLIENT_ID_DEFAULT)),
    topicPrefix: Config.String("KAFKA_TOPIC_PREFIX").pipe(Config.withDefault("")),
    ssl: Config.Boolean("KAFKA_SSL").pipe(Config.withDefault(false)),
    sasl: Config.option(
      Config.all({
        mechanism: Config.Literals(["plain", "scram-sha-256", "scram-sha-512"], "KAFKA_SASL_MECHANISM"),
        username: Config.NonEmptyString("KAFKA_SASL_USERNAME"),
        password: Config.Redacted("KAFKA_SASL_PASSWORD"),
      }),
    ),
    partitions: Config.Int("KAFKA_PARTITIONS").pipe(Config.withDefault(PARTITIONS_DEFAULT)),
    replicationFactor: Config.Int("KAFKA_REPLICATION_FACTOR").pipe(Config.withDefault(REPLICATION_BROKER_DEFAULT)),
    topicRetentionMillis: Config.Duration("KAFKA_TOPIC_RETENTION").pipe(
      Config.map(Duration.toMillis),
      Config.withDefault(TOPIC_RETENTION_MS),
    ),
  }).pipe(Config.map(({ brokers, sasl, ...rest }) => settings({ ...rest, brokers: addresses(brokers), sasl: Option.getOrNull(sasl) }))),
);

const addresses = (list: string): ReadonlyArray<string> =>
  list
    .split(",")
    .map((address) => address.trim())
    .filter((address) => address.length > 0);
