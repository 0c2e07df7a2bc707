/**
 * Consuming: a partition's records in order, in batches; the offset is committed after the handler succeeded, before the
 * next batch of the partition.
 *
 * - What a handler fails at comes again after a pause that grows; only its partition waits.
 * - While a handler works, the group hears heartbeats. A rebalance waits for it, as long as `rebalanceTimeoutMillis`.
 * - A commit that the group refuses (the partition may be another's by now) is not tried again: the batch comes to its owner.
 * - A lost broker ends the session; a new one begins after a pause, for ever. So a process may start before its brokers.
 * - Interruption interrupts the handlers, leaves the group and disconnects.
 *
 * kafkajs reads the next records of a broker when all partitions that it gave records of are done: handlers that take long
 * hold up their neighbours. Its own restarts are switched off; nobody could await their end.
 */
import type { BusError, Subscription } from "@org/saga-core";
import { Deferred, Duration, Effect, Exit, FiberSet, type Scope } from "effect";
import type { Consumer, EachBatchHandler } from "kafkajs";
import { attempt, type Client, RETRY, topicOf } from "./KafkaClient.ts";
import { classify, type KafkaError, toBusError } from "./KafkaError.ts";
import * as PartitionWork from "./PartitionWork.ts";

/** First pause before a lost broker is asked again, in milliseconds; doubles up to the maximum. */
export const RECONNECT_MS = 200;
export const RECONNECT_MAX_MS = 5_000;

/** A driver that does not stop by then goes on stopping in the background, in milliseconds. */
const CLOSE_TIMEOUT_MS = 5_000;

const OPERATION = "MessageBus.consume";

/** Consumes until it is interrupted, or refused for good. */
export const consume = <E, R>(
  client: Client,
  subscription: Subscription,
  handle: PartitionWork.Handle<E, R>,
): Effect.Effect<never, BusError, R> => {
  const name = `MessageBus.consume(${subscription.group})`;
  const go = (pause: number): Effect.Effect<never, BusError, R> => {
    let joined = false;
    const once = session(client, subscription, handle, () => (joined = true));
    return Effect.scoped(once).pipe(
      Effect.catch((error) => {
        if (!error.isRetryable) return Effect.fail(toBusError(error));
        const wait = joined ? RECONNECT_MS : pause;
        return Effect.logWarning(`${name}: ${error.message}; again in ${wait} ms`).pipe(
          Effect.andThen(Effect.sleep(Duration.millis(wait))),
          Effect.andThen(Effect.suspend(() => go(Math.min(wait * 2, RECONNECT_MAX_MS)))),
        );
      }),
    );
  };
  return go(RECONNECT_MS);
};

/** One membership in the group, until it is lost. */
const session = Effect.fnUntraced(function* <E, R>(
  client: Client,
  subscription: Subscription,
  handle: PartitionWork.Handle<E, R>,
  onJoin: () => void,
): Effect.fn.Return<never, KafkaError, R | Scope.Scope> {
  const { settings } = client;
  const topics = yield* Effect.forEach(subscription.topics, (topic) => topicOf(client, OPERATION, topic));
  const lost = yield* Deferred.make<never, KafkaError>();
  const fibers = yield* FiberSet.make<unknown, unknown>();
  const start = yield* FiberSet.runtimePromise(fibers)<R>();
  const consumer = client.make().consumer({
    groupId: `${settings.topicPrefix}${subscription.group}`,
    sessionTimeout: settings.sessionTimeoutMillis,
    rebalanceTimeout: settings.rebalanceTimeoutMillis,
    heartbeatInterval: settings.heartbeatMillis,
    maxWaitTimeInMs: settings.fetchWaitMillis,
    allowAutoTopicCreation: false,
    retry: { ...RETRY, restartOnFailure: () => Promise.resolve(false) },
  });
  consumer.on(consumer.events.GROUP_JOIN, onJoin);
  consumer.on(consumer.events.CRASH, ({ payload }) => void Deferred.doneUnsafe(lost, Exit.fail(classify(payload.error, OPERATION))));
  const work = PartitionWork.make({ settings, subscription, handle, fork: (effect) => void start(effect).catch(() => undefined) });
  // A handler that was interrupted, not by us, or that broke this code: the session ends as it did.
  const ended = (exit: Exit.Exit<PartitionWork.Outcome>): Effect.Effect<void> =>
    Effect.sync(() => void (Exit.isFailure(exit) && Deferred.doneUnsafe(lost, Exit.failCause(exit.cause))));
  let isClosing = false;
  const eachBatch: EachBatchHandler = async (payload) => {
    if (isClosing) return;
    const outcome = await start(Effect.onExit(work(payload), ended)).catch(() => null);
    // The driver reads its own errors: they say whether to join again.
    if (outcome?._tag === "Left") throw outcome.cause;
  };
  let pending: Promise<unknown> = Promise.resolve();
  const step = (run: () => Promise<unknown>): Effect.Effect<unknown, KafkaError> => attempt(OPERATION, () => (pending = run()));
  yield* Effect.addFinalizer(() => {
    isClosing = true;
    return closing(consumer, pending, fibers);
  });
  yield* step(() => consumer.connect());
  yield* step(() => consumer.subscribe({ topics, fromBeginning: true }));
  yield* step(() =>
    consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: settings.concurrency,
      eachBatch,
    }),
  );
  return yield* Deferred.await(lost);
});

/**
 * Stops the consumer: no more batches first, then the handlers. What the driver was doing has to end before, or a late
 * join would bring it back to life.
 */
const closing = (consumer: Consumer, pending: Promise<unknown>, fibers: FiberSet.FiberSet<unknown, unknown>): Effect.Effect<void> =>
  Effect.gen(function* () {
    const ignored = (): undefined => undefined;
    const settled = pending.catch(ignored);
    const stopped = settled.then(() => consumer.stop()).catch(ignored);
    yield* FiberSet.clear(fibers);
    const disconnected = stopped.then(() => consumer.disconnect()).catch(ignored);
    yield* Effect.timeoutOrElse(
      Effect.promise(() => disconnected),
      { duration: Duration.millis(CLOSE_TIMEOUT_MS), orElse: () => Effect.void },
    );
  });
