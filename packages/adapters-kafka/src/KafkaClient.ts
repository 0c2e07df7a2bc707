/**
 * Makes kafkajs clients: the only place where its options, its promises and its logs meet Effect.
 *
 * Every producer, consumer and admin has a `Kafka` of its own: kafkajs keeps committed offsets per instance and group, and
 * two consumers of one group would share them.
 */
import { Context, Effect, Layer, Redacted } from "effect";
import { Kafka, logLevel, type KafkaConfig as DriverConfig, type LogEntry, type RetryOptions, type SASLOptions } from "kafkajs";
import { KafkaConfig, type Sasl, type Settings } from "./KafkaConfig.ts";
import { classify, failure, type KafkaError } from "./KafkaError.ts";
import * as TopicName from "./TopicName.ts";

export class KafkaClient extends Context.Service<
  KafkaClient,
  {
    readonly settings: Settings;
    /** A client of its own. Nothing is connected yet. */
    readonly make: () => Kafka;
  }
>()("@org/saga-kafka/KafkaClient") {}

export type Client = KafkaClient["Service"];

/** The driver tries a request again after 100, 200, 400, 800 ms; whoever called it tries again after that. */
export const RETRY: RetryOptions = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 4 };

/** Connects to nothing: a process may start before its brokers. */
export const layer: Layer.Layer<KafkaClient, never, KafkaConfig> = Layer.effect(
  KafkaClient,
  Effect.gen(function* () {
    const settings = yield* KafkaConfig;
    const services = yield* Effect.context();
    const log = Effect.runForkWith(services);
    const options = driverConfig(settings, (entry) => void log(toLog(entry)));
    return { settings, make: () => new Kafka(options) };
  }),
);

/** Awaits the driver. Interruption stops waiting, not what the driver does. */
export const attempt = <A>(operation: string, run: () => Promise<A>): Effect.Effect<A, KafkaError> =>
  Effect.tryPromise({ try: run, catch: (cause) => classify(cause, operation) });

/** The topic's name on the cluster. */
export const topicOf = (client: Client, operation: string, topic: string): Effect.Effect<string, KafkaError> => {
  const name = `${client.settings.topicPrefix}${topic}`;
  const problem = TopicName.problemOf(name);
  return problem === null ? Effect.succeed(name) : Effect.fail(failure("Refused", operation, problem));
};

const driverConfig = (settings: Settings, onLog: (entry: LogEntry) => void): DriverConfig => ({
  brokers: [...settings.brokers],
  clientId: settings.clientId,
  ssl: typeof settings.ssl === "boolean" ? settings.ssl : Redacted.value(settings.ssl),
  ...(settings.sasl === null ? {} : { sasl: saslOf(settings.sasl) }),
  connectionTimeout: settings.connectTimeoutMillis,
  requestTimeout: settings.requestTimeoutMillis,
  enforceRequestTimeout: true,
  retry: RETRY,
  logLevel: logLevel.WARN,
  logCreator: () => onLog,
});

const saslOf = ({ mechanism, password, username }: Sasl): SASLOptions => {
  const credentials = { username, password: Redacted.value(password) };
  switch (mechanism) {
    case "plain":
      return { mechanism, ...credentials };
    case "scram-sha-256":
      return { mechanism, ...credentials };
    case "scram-sha-512":
      return { mechanism, ...credentials };
  }
};

/**
 * For debugging only: most of what kafkajs logs as an error is an attempt that it makes again. What matters comes out of
 * the call, and is logged by whoever called. The text names hosts, groups and topics; the rest of the entry is left out.
 */
const toLog = ({ log, namespace }: LogEntry): Effect.Effect<void> => Effect.logDebug(`kafkajs ${namespace}: ${log.message}`);
