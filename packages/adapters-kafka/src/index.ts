/** `@org/saga-kafka`: the message bus of `@org/saga-core` on Apache Kafka. */
export * as CloudEvents from "./CloudEvents.ts";
export * as KafkaBus from "./KafkaBus.ts";
export * as KafkaClient from "./KafkaClient.ts";
export * as KafkaConfig from "./KafkaConfig.ts";
export * as KafkaError from "./KafkaError.ts";
export * as KafkaTopics from "./KafkaTopics.ts";
export * as TopicName from "./TopicName.ts";
