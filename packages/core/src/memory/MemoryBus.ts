/**
 * `MessageBus` in memory, with the semantics of a real one: at least once, in order per key, a group shares the work by
 * partition, and what a handler failed at, or a dead consumer had in hand, comes again from the committed offset.
 *
 * `make` gives a bus as a value that outlives the layers on top of it (`layerOf`); `layer` is a bus of its own. Publishing
 * only enqueues: no handler runs inside it. Messages of the same key never overtake each other, whatever `Chaos` says.
 *
 * It is not durable, and it is not a shortcut: a consumer sees what it would see on a broker, one process or many.
 */
import { Cause, Clock, Duration, Effect, Exit, Layer, Random } from "effect";
import { MESSAGE_BYTES_MAX } from "../domain/Limits.ts";
import type * as Message from "../domain/Message.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import { type Delivery, formatPosition, MessageBus, type Subscription } from "../ports/MessageBus.ts";
import type { PublishVerdict } from "../ports/Outbox.ts";
import { BusError, describeCause } from "../ports/StoreError.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as Log from "./MemoryBroker.ts";
import { keyOf } from "./MemoryTable.ts";

/**
 * What a broker may do to its consumers, and rarely does: none of it by default. Probabilities from 0 to 1, drawn from
 * `Random` for each batch.
 */
export interface Options {
  /** Partitions of each topic. */
  readonly partitions?: number;
  /** Keep the newest of what is published in `Broker.published`, for whoever looks on: a test. */
  readonly keepsPublished?: boolean;
  /** Lose the acknowledgement of a handled batch, so that it comes once more. */
  readonly duplicate?: number;
  /** Go back to what was acknowledged long ago, as after a consumer that was taken for dead, and deliver it again. */
  readonly rewind?: number;
  /** How many messages back, at most. */
  readonly rewindMax?: number;
  /** Wait, so that other partitions overtake. */
  readonly delay?: number;
  /** Longest wait, in milliseconds. */
  readonly delayMaxMillis?: number;
  /** Mix the keys of the batch, each in its own order, and cut it short. */
  readonly shuffle?: number;
  /** None of it from here on. */
  readonly until?: Timestamp;
}

/** Messages of a partition that come again at once, at most. */
const REWIND_MAX = 20;

/** Longest wait of a delayed partition, in milliseconds: long enough to be overtaken by retries. */
const DELAY_MAX_MS = 1_000;

/** First pause before a batch comes again, in milliseconds; doubles up to the maximum. */
export const REDELIVERY_MS = 100;
export const REDELIVERY_MAX_MS = 5_000;

export class Broker extends Log.Broker {
  readonly chaos: Required<Omit<Options, "partitions" | "keepsPublished">>;

  constructor(options: Options = {}) {
    super(options.partitions, options.keepsPublished);
    this.chaos = {
      duplicate: options.duplicate ?? 0,
      rewind: options.rewind ?? 0,
      rewindMax: options.rewindMax ?? REWIND_MAX,
      delay: options.delay ?? 0,
      delayMaxMillis: options.delayMaxMillis ?? DELAY_MAX_MS,
      shuffle: options.shuffle ?? 0,
      until: options.until ?? Number.POSITIVE_INFINITY,
    };
  }
}

/** A broker without topics. */
export const make = (options: Options = {}): Effect.Effect<Broker> => Effect.sync(() => new Broker(options));

/** A process's connection to a broker that lives elsewhere. */
export const layerOf = (broker: Broker): Layer.Layer<MessageBus> => Layer.succeed(MessageBus, serviceOf(broker));

/** A broker of its own. */
export const layerWith = (options: Options): Layer.Layer<MessageBus> => Layer.effect(MessageBus, Effect.map(make(options), serviceOf));

/** A broker of its own. */
export const layer: Layer.Layer<MessageBus> = layerWith({});

function serviceOf(broker: Broker): MessageBus["Service"] {
  return {
    publish: Effect.fn("MessageBus.publish")((messages) => FaultPoint.around("MessageBus.publish", publish(broker, messages))),
    consume: (subscription, handle) => consume(broker, subscription, handle),
    ensureTopics: Effect.fn("MessageBus.ensureTopics")((topics) =>
      FaultPoint.around(
        "MessageBus.ensureTopics",
        Effect.sync(() => {
          for (const topic of topics) broker.ensure(topic);
        }),
      ),
    ),
  };
}

const publish = Effect.fnUntraced(function* (
  broker: Broker,
  messages: ReadonlyArray<Message.Encoded>,
): Effect.fn.Return<ReadonlyArray<PublishVerdict>, BusError> {
  const verdicts: Array<PublishVerdict> = [];
  const refused = new Set<string>();
  const accepted: Array<Message.Encoded> = [];
  for (const message of messages) {
    if (refused.size > 0 && refused.has(keyOf(message.topic, message.key))) {
      verdicts.push("Held");
      continue;
    }
    const tooLarge = message.payload.length > MESSAGE_BYTES_MAX;
    if (tooLarge) refused.add(keyOf(message.topic, message.key));
    else if (broker.partitionsOf(message.topic).length > 0) accepted.push(message);
    else {
      broker.append(accepted);
      const text = `there is no topic ${message.topic}: create it with ensureTopics`;
      return yield* new BusError({ reason: "Unavailable", operation: "MessageBus.publish", message: text });
    }
    verdicts.push(tooLarge ? "Refused" : "Published");
  }
  broker.append(accepted);
  // Whoever handles them in this process goes first: the publisher still has to mark them.
  yield* Effect.yieldNow;
  return verdicts;
});

const consume = <E, R>(
  broker: Broker,
  subscription: Subscription,
  handle: (batch: ReadonlyArray<Delivery>) => Effect.Effect<void, E, R>,
): Effect.Effect<never, E, R> => {
  const member: Log.Member = { topics: new Set(subscription.topics) };
  const lanes = Effect.sync(() =>
    [...member.topics].flatMap((topic) => broker.partitionsOf(topic)).map((partition) => ({ broker, subscription, member, partition })),
  );
  return Effect.acquireUseRelease(
    Effect.sync(() => broker.join(subscription.group, member)),
    () =>
      broker
        .until(() => subscription.topics.every((topic) => broker.partitionsOf(topic).length > 0))
        .pipe(
          Effect.andThen(lanes),
          Effect.flatMap(Effect.forEach((lane) => drain(lane, handle), { concurrency: "unbounded", discard: true })),
          Effect.andThen(Effect.never),
        ),
    () => Effect.sync(() => broker.leave(subscription.group, member)),
  );
};

/** One partition of one consumer. */
interface Lane {
  readonly broker: Broker;
  readonly subscription: Subscription;
  readonly member: Log.Member;
  readonly partition: Log.Partition;
}

/** Handles what comes, batch by batch, while the partition is the member's. */
const drain = Effect.fnUntraced(function* <E, R>(
  lane: Lane,
  handle: (batch: ReadonlyArray<Delivery>) => Effect.Effect<void, E, R>,
): Effect.fn.Return<void, E, R> {
  const { broker, partition, subscription } = lane;
  let pause = REDELIVERY_MS;
  for (;;) {
    const claim = yield* nextClaim(lane);
    const { deliveries, next } = yield* take(lane);
    yield* FaultPoint.hit("MessageBus.consume.beforeHandle");
    const exit = yield* Effect.exit(handle(deliveries));
    if (Exit.isSuccess(exit)) {
      yield* FaultPoint.hit("MessageBus.consume.afterHandle");
      broker.commit(subscription.group, partition, claim, next);
      pause = REDELIVERY_MS;
    } else {
      if (Cause.hasInterruptsOnly(exit.cause)) return yield* Effect.interrupt;
      yield* Effect.logWarning(
        `${subscription.group}: a batch of ${partition.topic}/${partition.index} failed: ${describeCause(exit.cause)}; again in ${pause} ms`,
      );
      yield* Effect.sleep(Duration.millis(pause));
      pause = Math.min(pause * 2, REDELIVERY_MAX_MS);
    }
  }
});

/** Waits until the partition is the member's and holds something new. */
const nextClaim = ({ broker, member, partition, subscription }: Lane): Effect.Effect<Log.Claim> => {
  let claim: Log.Claim | undefined;
  return broker
    .until(() => {
      claim = broker.claim(subscription.group, partition, member);
      return claim !== undefined && broker.committed(subscription.group, partition) < partition.end;
    })
    .pipe(Effect.andThen(Effect.suspend(() => (claim === undefined ? Effect.never : Effect.succeed(claim)))));
};

interface Batch {
  readonly deliveries: ReadonlyArray<Delivery>;
  /** The offset to commit once they are handled. */
  readonly next: number;
}

const take = Effect.fnUntraced(function* ({ broker, partition, subscription }: Lane): Effect.fn.Return<Batch> {
  const { chaos } = broker;
  const disturbed = (yield* Clock.currentTimeMillis) < chaos.until;
  if (disturbed && (yield* chance(chaos.delay))) {
    yield* Effect.sleep(Duration.millis((yield* Random.next) * chaos.delayMaxMillis));
  }
  const committed = broker.committed(subscription.group, partition);
  let from = committed;
  let max = subscription.batchMax;
  if (disturbed && (yield* chance(chaos.rewind))) {
    from = Math.max(partition.base, committed - (yield* upTo(chaos.rewindMax)));
  }
  const isShuffled = disturbed && (yield* chance(chaos.shuffle));
  if (isShuffled) max = yield* upTo(max);
  const records = partition.read(from, max);
  const deliveries = records.map((message, index): Delivery => {
    const position = { topic: partition.topic, partition: partition.index, offset: from + index };
    return { _tag: "Readable", position, message };
  });
  // Going back must not lose ground: what is already acknowledged stays so.
  const acknowledged = disturbed && (yield* chance(chaos.duplicate)) ? from : from + records.length;
  const next = Math.max(committed, acknowledged);
  return { deliveries: isShuffled ? yield* mixKeys(deliveries) : deliveries, next };
});

/** A random interleaving of the keys, each in its own order. */
const mixKeys = Effect.fnUntraced(function* (deliveries: ReadonlyArray<Delivery>): Effect.fn.Return<ReadonlyArray<Delivery>> {
  const lanes = new Map<string, Array<Delivery>>();
  for (const delivery of deliveries) {
    const key = delivery._tag === "Readable" ? delivery.message.key : formatPosition(delivery.position);
    const lane = lanes.get(key);
    if (lane === undefined) lanes.set(key, [delivery]);
    else lane.push(delivery);
  }
  const mixed: Array<Delivery> = [];
  const rest = [...lanes.values()].map((lane) => lane.toReversed());
  while (rest.length > 0) {
    const index = (yield* upTo(rest.length)) - 1;
    const next = rest[index]?.pop();
    if (next === undefined) rest.splice(index, 1);
    else mixed.push(next);
  }
  return mixed;
});

/** What never happens draws nothing. */
const chance = (probability: number): Effect.Effect<boolean> =>
  probability <= 0 ? Effect.succeed(false) : Effect.map(Random.next, (drawn) => drawn < probability);

/** From 1 to `max`. */
const upTo = (max: number): Effect.Effect<number> => Random.nextIntBetween(1, Math.max(1, max));
