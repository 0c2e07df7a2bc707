/**
 * Creating topics. Any number of processes may do so at once; what is there already stays as it is. A topic that keeps its
 * records for longer than the settings say is warned of: an inbox that forgets earlier would let its duplicates in.
 */
import { Duration, Effect, Result, Schedule } from "effect";
import type { Admin } from "kafkajs";
import { attempt, type Client, topicOf } from "./KafkaClient.ts";
import { failure, type KafkaError } from "./KafkaError.ts";

const OPERATION = "MessageBus.ensureTopics";

/** `ConfigResourceTypes.TOPIC`, by its number: Node finds that name in the driver's types only, not in its CommonJS. */
const TOPIC_RESOURCE = 2;

/** Between two looks for the leaders of new partitions, in milliseconds. */
const LOOK_EVERY_MS = 50;

/** Topics whose leaders are asked at a time. */
const LEADERS_ASKED = 8;

/** Creates what is missing, and returns when every partition of all of them has a leader at work. */
export const ensure = Effect.fnUntraced(function* (client: Client, topics: ReadonlyArray<string>): Effect.fn.Return<void, KafkaError> {
  const { ensureTimeoutMillis } = client.settings;
  const names = yield* Effect.forEach([...new Set(topics)], (topic) => topicOf(client, OPERATION, topic));
  if (names.length === 0) return;
  yield* withAdmin(client, OPERATION, (admin) => Effect.andThen(create(client, admin, names), led(admin, names))).pipe(
    Effect.timeoutOrElse({
      duration: Duration.millis(ensureTimeoutMillis),
      orElse: () => Effect.fail(failure("Unavailable", OPERATION, `the topics were not there within ${ensureTimeoutMillis} ms`)),
    }),
  );
});

/** An admin client for as long as `use` runs. */
export const withAdmin = <A, E, R>(
  client: Client,
  operation: string,
  use: (admin: Admin) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E | KafkaError, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => client.make().admin()),
    (admin) =>
      Effect.andThen(
        attempt(operation, () => admin.connect()),
        use(admin),
      ),
    (admin) => Effect.ignore(attempt(operation, () => admin.disconnect())),
  );

const create = Effect.fnUntraced(function* (
  client: Client,
  admin: Admin,
  names: ReadonlyArray<string>,
): Effect.fn.Return<void, KafkaError> {
  const { partitions, replicationFactor, requestTimeoutMillis, topicRetentionMillis } = client.settings;
  const existing = new Set(yield* attempt(OPERATION, () => admin.listTopics()));
  const missing = names.filter((name) => !existing.has(name));
  yield* warnOfLonger(
    client,
    admin,
    names.filter((name) => existing.has(name)),
  );
  if (missing.length === 0) return;
  // Answers false where all of them were created by another process meanwhile.
  yield* attempt(OPERATION, () =>
    admin.createTopics({
      topics: missing.map((topic) => ({
        topic,
        numPartitions: partitions,
        replicationFactor,
        configEntries: [{ name: RETENTION, value: String(topicRetentionMillis) }],
      })),
      timeout: requestTimeoutMillis,
      waitForLeaders: false,
    }),
  );
});

/** The broker's setting, in milliseconds; -1: for ever. */
const RETENTION = "retention.ms";

/** Existing topics are somebody's decision: told, not changed. Whoever may not read their settings goes on without. */
const warnOfLonger = Effect.fnUntraced(function* (client: Client, admin: Admin, names: ReadonlyArray<string>): Effect.fn.Return<void> {
  if (names.length === 0) return;
  const { topicRetentionMillis } = client.settings;
  const resources = names.map((name) => ({ type: TOPIC_RESOURCE, name, configNames: [RETENTION] }));
  const described = yield* Effect.result(attempt(OPERATION, () => admin.describeConfigs({ resources, includeSynonyms: false })));
  if (Result.isFailure(described)) {
    return yield* Effect.logDebug(`the retention of ${names.length} topics cannot be read: ${described.failure.message}`);
  }
  for (const { configEntries, resourceName } of described.success.resources) {
    const entry = configEntries.find(({ configName }) => configName === RETENTION);
    const kept = Number(entry?.configValue ?? Number.NaN);
    if (kept !== -1 && !(kept > topicRetentionMillis)) continue;
    const words = kept === -1 ? "for ever" : `for ${Duration.format(Duration.millis(kept))}`;
    yield* Effect.logWarning(
      `topic ${resourceName} keeps its records ${words}, the settings say ${Duration.format(Duration.millis(topicRetentionMillis))}: ` +
        "duplicates may come for longer than the inbox remembers; lower its retention.ms, or raise the inbox's retention",
    );
  }
});

/**
 * Metadata spread from broker to broker, and a leader is named before it knows that it leads. Only one that tells its
 * offsets is ready; a first produce to others would be taken in parts, and sent again.
 */
const led = (admin: Admin, names: ReadonlyArray<string>): Effect.Effect<void, KafkaError> =>
  attempt(OPERATION, () => admin.fetchTopicMetadata({ topics: [...names] })).pipe(
    Effect.filterOrFail(
      ({ topics }) => topics.every(({ partitions }) => partitions.length > 0 && partitions.every(({ leader }) => leader >= 0)),
      () => failure("Unavailable", OPERATION, "partitions without a leader"),
    ),
    Effect.andThen(
      Effect.forEach(names, (name) => attempt(OPERATION, () => admin.fetchTopicOffsets(name)), {
        concurrency: LEADERS_ASKED,
        discard: true,
      }),
    ),
    Effect.retry({ while: (error) => error.isRetryable, schedule: Schedule.spaced(Duration.millis(LOOK_EVERY_MS)) }),
  );
