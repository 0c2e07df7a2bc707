/** Topics on a real broker: how long they keep their records, and who is told when that is too long. */
import type { MessageBus } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Effect, Logger } from "effect";
import { type Admin, ConfigResourceTypes } from "kafkajs";
import { afterAll, describe, expect, test } from "vitest";
import * as Broker from "./Broker.ts";
import { ensure } from "./Traffic.ts";

const brokers = realServer("kafka") ?? [];
const prefix = Broker.prefixed("topics");

const asAdmin = async <A>(use: (admin: Admin) => Promise<A>): Promise<A> => {
  const admin = Broker.plain(brokers).admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
};

const retentionOf = (topic: string): Promise<string | undefined> =>
  asAdmin(async (admin) => {
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: `${prefix}${topic}`, configNames: ["retention.ms"] }];
    const { resources: described } = await admin.describeConfigs({ resources, includeSynonyms: false });
    return described[0]?.configEntries[0]?.configValue;
  });

/** What was warned of meanwhile. */
const warningsOf = async (
  effect: Effect.Effect<unknown, unknown, MessageBus>,
  topicRetentionMillis?: number,
): Promise<ReadonlyArray<string>> => {
  const warnings: Array<string> = [];
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    if (logLevel === "Warn") warnings.push(String(Array.isArray(message) ? message[0] : message));
  });
  const bus = Broker.busOf(brokers, prefix, topicRetentionMillis === undefined ? {} : { topicRetentionMillis });
  await effect.pipe(Effect.provide(bus), Effect.provide(Logger.layer([logger])), Effect.runPromise);
  return warnings;
};

describe.runIf(brokers.length > 0)("topics on a broker", () => {
  afterAll(() => Broker.clean(brokers, prefix));

  test("are created to keep their records for a day, or as long as the settings say", async () => {
    expect(await warningsOf(ensure("default"))).toEqual([]);
    expect(await retentionOf("default")).toBe("86400000");
    expect(await warningsOf(ensure("short"), 3_600_000)).toEqual([]);
    expect(await retentionOf("short")).toBe("3600000");
  });

  test("that exist stay as they are; one that keeps for longer than the settings say is warned of", async () => {
    const existing = (topic: string, value: string) =>
      asAdmin((admin) =>
        admin.createTopics({
          topics: [{ topic: `${prefix}${topic}`, numPartitions: 1, configEntries: [{ name: "retention.ms", value }] }],
          waitForLeaders: true,
        }),
      );
    await existing("fits", "86400000");
    await existing("week", "604800000");
    await existing("ever", "-1");
    const warnings = await warningsOf(ensure("fits", "week", "ever"));
    expect(warnings.toSorted()).toEqual([
      `topic ${prefix}ever keeps its records for ever, the settings say 1d: duplicates may come for longer than the inbox remembers; ` +
        "lower its retention.ms, or raise the inbox's retention",
      `topic ${prefix}week keeps its records for 7d, the settings say 1d: duplicates may come for longer than the inbox remembers; ` +
        "lower its retention.ms, or raise the inbox's retention",
    ]);
    expect(await retentionOf("week")).toBe("604800000");
    expect(await retentionOf("ever")).toBe("-1");
  });
});
