/**
 * Handling what the driver reads of one partition: in batches, each acknowledged after its handler succeeded.
 *
 * A batch whose handler fails is not resolved: the driver reads it again, once the partition, paused meanwhile, goes on.
 */
import { type Delivery, describeCause, type Subscription } from "@org/saga-core";
import { Cause, Duration, Effect, Exit } from "effect";
import type { EachBatchPayload, KafkaMessage } from "kafkajs";
import * as CloudEvents from "./CloudEvents.ts";
import type { Settings } from "./KafkaConfig.ts";

export type Handle<E, R> = (batch: ReadonlyArray<Delivery>) => Effect.Effect<void, E, R>;

export interface Options<E, R> {
  readonly settings: Settings;
  readonly subscription: Subscription;
  readonly handle: Handle<E, R>;
  /** Runs something in the background of the session. */
  readonly fork: (effect: Effect.Effect<void>) => void;
}

/** What became of the records. `Left`: the driver's own error, which tells it what to do next. */
export type Outcome = { readonly _tag: "Over" } | { readonly _tag: "Left"; readonly cause: Error };

/** First pause before a failed batch comes again, in milliseconds; doubles up to the maximum. */
export const REDELIVERY_MS = 100;
export const REDELIVERY_MAX_MS = 5_000;

const OVER: Outcome = { _tag: "Over" };

/** The work of one session; failures in a row are counted by partition. */
export const make = <E, R>(options: Options<E, R>): ((payload: EachBatchPayload) => Effect.Effect<Outcome, never, R>) => {
  const failures = new Map<string, number>();
  const { batchMax } = options.subscription;
  return Effect.fnUntraced(function* (payload): Effect.fn.Return<Outcome, never, R> {
    const { messages } = payload.batch;
    for (let from = 0; from < messages.length; from += batchMax) {
      if (!payload.isRunning() || payload.isStale()) return OVER;
      const records = messages.slice(from, from + batchMax);
      const beats = new Heartbeats(payload, options.settings.heartbeatMillis);
      const deliveries = records.map((record) => delivery(options.settings, payload, record));
      const exit = yield* Effect.exit(Effect.raceFirst(options.handle(deliveries), beats.run));
      if (Exit.isFailure(exit)) {
        if (Cause.hasInterruptsOnly(exit.cause)) return yield* Effect.interrupt;
        yield* postpone(options, failures, payload, exit.cause);
        return OVER;
      }
      failures.delete(nameOf(payload));
      const refused = yield* driverError(() => acknowledge(payload, records));
      if (refused !== null) return { _tag: "Left", cause: refused };
      if (beats.failure !== null) return { _tag: "Left", cause: beats.failure };
    }
    return OVER;
  });
};

const postpone = <E, R>(
  options: Options<E, R>,
  failures: Map<string, number>,
  payload: EachBatchPayload,
  cause: Cause.Cause<E>,
): Effect.Effect<void> => {
  const name = nameOf(payload);
  const count = failures.get(name) ?? 0;
  failures.set(name, count + 1);
  const pause = Math.min(REDELIVERY_MS * 2 ** count, REDELIVERY_MAX_MS);
  const resume = payload.pause();
  options.fork(Effect.andThen(Effect.sleep(Duration.millis(pause)), Effect.sync(resume)));
  return Effect.logWarning(`${options.subscription.group}: a batch of ${name} failed: ${describeCause(cause)}; again in ${pause} ms`);
};

/** Says to the group that we live, while a handler works. What it hears in return is for later: the handler is not disturbed. */
class Heartbeats {
  failure: Error | null = null;
  readonly run: Effect.Effect<never>;

  constructor(payload: EachBatchPayload, everyMillis: number) {
    const beat = Effect.map(
      driverError(() => payload.heartbeat()),
      (failure) => void (this.failure = failure),
    );
    const next = Effect.suspend(() => (this.failure === null ? beat : Effect.never));
    this.run = Effect.forever(Effect.andThen(Effect.sleep(Duration.millis(everyMillis)), next));
  }
}

const acknowledge = async (payload: EachBatchPayload, records: ReadonlyArray<KafkaMessage>): Promise<void> => {
  const { partition, topic } = payload.batch;
  const last = records.at(-1);
  if (last === undefined) return;
  const next = String(BigInt(last.offset) + 1n);
  await payload.commitOffsetsIfNecessary({ topics: [{ topic, partitions: [{ partition, offset: next }] }] });
  payload.resolveOffset(last.offset);
  await payload.heartbeat();
};

/** Runs the driver; its error as a value, unclassified: the driver wants it back. */
const driverError = (run: () => Promise<void>): Effect.Effect<Error | null> =>
  Effect.promise(() =>
    run().then(
      () => null,
      (cause: unknown) => (cause instanceof Error ? cause : new Error("the driver failed without an error")),
    ),
  );

const delivery = (settings: Settings, { batch }: EachBatchPayload, record: KafkaMessage): Delivery =>
  CloudEvents.decode({
    topic: batch.topic.slice(settings.topicPrefix.length),
    position: { topic: batch.topic, partition: batch.partition, offset: Number(record.offset) },
    key: record.key,
    value: record.value,
    headers: record.headers,
    timestamp: record.timestamp,
  });

const nameOf = ({ batch }: EachBatchPayload): string => `${batch.topic}/${batch.partition}`;
