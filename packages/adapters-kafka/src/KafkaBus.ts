/**
 * `MessageBus` on Apache Kafka, by kafkajs: at least once, in order per key, a group shares the work by partition.
 *
 * It connects when it is used. `publish` and `ensureTopics` fail with `Unavailable` within their timeouts; `consume` waits
 * for brokers and topics that are not there yet, however long.
 *
 * It is not exactly once, and it uses no Kafka transactions: the inbox makes a delivery effectively once.
 */
import { MessageBus } from "@org/saga-core";
import { type Config, Effect, Layer, type Scope } from "effect";
import * as KafkaClient from "./KafkaClient.ts";
import * as KafkaConfig from "./KafkaConfig.ts";
import * as KafkaConsumer from "./KafkaConsumer.ts";
import { toBusError } from "./KafkaError.ts";
import * as KafkaPublisher from "./KafkaPublisher.ts";
import * as KafkaTopics from "./KafkaTopics.ts";

export const make: Effect.Effect<MessageBus["Service"], never, KafkaClient.KafkaClient | Scope.Scope> = Effect.gen(function* () {
  const client = yield* KafkaClient.KafkaClient;
  const publish = yield* KafkaPublisher.make(client);
  return {
    publish: Effect.fn("MessageBus.publish")((messages) =>
      messages.length === 0 ? Effect.succeed([]) : Effect.mapError(publish(messages), toBusError),
    ),
    consume: (subscription, handle) => KafkaConsumer.consume(client, subscription, handle),
    ensureTopics: Effect.fn("MessageBus.ensureTopics")((topics) => Effect.mapError(KafkaTopics.ensure(client, topics), toBusError)),
  };
});

/** On a client that is there already. */
export const layerClient: Layer.Layer<MessageBus, never, KafkaClient.KafkaClient> = Layer.effect(MessageBus, make);

export const layer = (options: KafkaConfig.Options): Layer.Layer<MessageBus> =>
  layerClient.pipe(Layer.provide(KafkaClient.layer), Layer.provide(KafkaConfig.layer(options)));

/** From the environment: see `KafkaConfig.layerConfig`. */
export const layerConfig: Layer.Layer<MessageBus, Config.ConfigError> = layerClient.pipe(
  Layer.provide(KafkaClient.layer),
  Layer.provide(KafkaConfig.layerConfig),
);
