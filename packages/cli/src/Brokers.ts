/**
 * The broker of the services. Its addresses come from the environment, as those of the databases do.
 *
 * A service of its own, so that tests put a broker in memory in its place.
 */
import type { BusError } from "@org/saga-core";
import { KafkaClient, KafkaConfig, KafkaError, KafkaTopics } from "@org/saga-kafka";
import { Config, Context, Effect, Layer } from "effect";
import * as CliFailure from "./CliFailure.ts";

export interface Topics {
  /** Those of `topics` that the broker has. */
  readonly existing: (topics: ReadonlyArray<string>) => Effect.Effect<ReadonlySet<string>, BusError>;
  /** Makes those of `topics` that the broker does not have. */
  readonly create: (topics: ReadonlyArray<string>) => Effect.Effect<void, BusError>;
  /** What a topic is called on this broker: its name behind the prefix of the environment. */
  readonly nameOf: (topic: string) => string;
}

export class Brokers extends Context.Service<
  Brokers,
  {
    /** Runs with the broker's topics. */
    readonly use: <A>(body: (topics: Topics) => Effect.Effect<A, BusError>) => Effect.Effect<A, BusError | CliFailure.CliFailure>;
  }
>()("@org/saga-cli/Brokers") {}

/** From `SAGA_KAFKA_BROKERS` and `SAGA_TOPIC_PREFIX`, read when a command needs them. */
export const layer: Layer.Layer<Brokers> = Layer.succeed(Brokers, {
  use: Effect.fnUntraced(function* <A>(body: (topics: Topics) => Effect.Effect<A, BusError>) {
    const topicPrefix = yield* Config.String("SAGA_TOPIC_PREFIX").pipe(Config.withDefault(""), Effect.orDie);
    const config = KafkaConfig.layer({ brokers: yield* addresses, topicPrefix, clientId: CLIENT_ID });
    return yield* Effect.flatMap(KafkaClient.KafkaClient, (client) => body(topicsOf(client))).pipe(
      Effect.provide(Layer.provide(KafkaClient.layer, config)),
    );
  }),
});

/** Named in the broker's logs. */
const CLIENT_ID = "saga-cli";

const BROKERS_VARIABLE = "SAGA_KAFKA_BROKERS";
const LIST_OPERATION = "Topics.list";

const addresses: Effect.Effect<ReadonlyArray<string>, CliFailure.CliFailure> = Effect.gen(function* () {
  const variable = yield* Config.String(BROKERS_VARIABLE).pipe(Config.withDefault(""), Effect.orDie);
  const brokers = variable
    .split(",")
    .map((address) => address.trim())
    .filter((address) => address !== "");
  if (brokers.length === 0) return yield* CliFailure.usage(`${BROKERS_VARIABLE} is not set: host:port, separated by commas`);
  if (brokers.some((address) => !ADDRESS.test(address))) {
    return yield* CliFailure.usage(`${BROKERS_VARIABLE} is not a list of host:port, separated by commas`);
  }
  return brokers;
});

const ADDRESS = /^[^\s:/]+:\d{1,5}$/;

const topicsOf = (client: KafkaClient.Client): Topics => {
  const nameOf = (topic: string): string => client.settings.topicPrefix + topic;
  return {
    nameOf,
    existing: (topics) =>
      KafkaTopics.withAdmin(client, LIST_OPERATION, (admin) => KafkaClient.attempt(LIST_OPERATION, () => admin.listTopics())).pipe(
        Effect.map((found) => {
          const names = new Set(found);
          return new Set(topics.filter((topic) => names.has(nameOf(topic))));
        }),
        Effect.mapError(KafkaError.toBusError),
      ),
    create: (topics) => Effect.mapError(KafkaTopics.ensure(client, topics), KafkaError.toBusError),
  };
};
