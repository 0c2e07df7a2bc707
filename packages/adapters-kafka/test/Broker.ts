/** The broker of a test: topics and groups under a prefix of the test's own, deleted afterwards; patience for a laptop. */
import { KafkaBus, KafkaConfig } from "../src/index.ts";
import type { MessageBus } from "@org/saga-core";
import { Layer } from "effect";
import { randomBytes } from "node:crypto";
import { Kafka, logLevel } from "kafkajs";

/** A consumer that dies is noticed soon, a rebalance waits for nobody long. */
const QUICK: Partial<KafkaConfig.Options> = {
  sessionTimeoutMillis: 6_000,
  heartbeatMillis: 300,
  rebalanceTimeoutMillis: 3_000,
  fetchWaitMillis: 100,
};

export const prefixed = (name: string): string => `${name}-${randomBytes(4).toString("hex")}-`;

export const busOf = (
  brokers: ReadonlyArray<string>,
  topicPrefix: string,
  more: Partial<KafkaConfig.Options> = {},
): Layer.Layer<MessageBus> => KafkaBus.layer({ ...QUICK, brokers, topicPrefix, ...more });

/** A plain client, to see what is really there and to write what we would not. */
export const plain = (brokers: ReadonlyArray<string>): Kafka => new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING });

/** Deletes what the test has left. */
export const clean = async (brokers: ReadonlyArray<string>, prefix: string): Promise<void> => {
  const admin = plain(brokers).admin();
  await admin.connect();
  const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix));
  if (topics.length > 0) await admin.deleteTopics({ topics });
  const { groups } = await admin.listGroups();
  const ours = groups.map(({ groupId }) => groupId).filter((id) => id.startsWith(prefix));
  if (ours.length > 0) await admin.deleteGroups(ours);
  await admin.disconnect();
};
