/**
 * The puller of store-then-process: takes what the broker has and stores it, in bulk, one transaction a batch. A batch is
 * acknowledged only after it is stored, so nothing is lost; what comes twice is stored once.
 *
 * A consumer group has one puller at a time, by a `Lease`. Who loses it stops at once; who was frozen and does not know yet is
 * refused by the fence, and his late batch with him.
 */
import { Deferred, Effect, type Layer, Metric } from "effect";
import type * as Message from "../domain/Message.ts";
import { InboxQueue, type StoredMessage } from "../ports/InboxQueue.ts";
import type { Lock } from "../ports/Lock.ts";
import { type Delivery, MessageBus, type Subscription } from "../ports/MessageBus.ts";
import type { BusError, StoreError } from "../ports/StoreError.ts";
import { UnitOfWork } from "../ports/UnitOfWork.ts";
import * as Lease from "./Lease.ts";
import { foreignMessage, isNameable, renamed } from "./MessageConsumer.ts";
import * as Worker from "./Worker.ts";

/** Messages stored by one statement: measured, more gain nothing, and the arrays stay below a few megabytes. */
export const PULL_BATCH_MAX = 1_000;

/**
 * Time to live of the lease, in milliseconds: about as long as a dead member's partitions wait. A group without a puller has one
 * again after 4/3 of it.
 */
export const LEASE_MS = 10_000;

export interface Options {
  readonly group: string;
  /** What this consumer reads; other types on the same topics are skipped. */
  readonly types: ReadonlyArray<Message.AnyType>;
}

type Ports = InboxQueue | UnitOfWork | Lock | MessageBus;

const stored = Metric.counter("saga_inbox_stored_total", { description: "Messages taken from the broker and stored", incremental: true });

/** Pulls for as long as the layer lives; as one of many, or alone. */
export const layer = (options: Options): Layer.Layer<never, never, Ports> => Worker.layer(`InboxPuller(${options.group})`, pass(options));

/** Waits for the lease; pulls while it has it. */
export const pass = (options: Options): Effect.Effect<void, StoreError | BusError, Ports> =>
  Lease.underLease(`inbox-puller/${options.group}`, LEASE_MS, ({ fence }) => pull(options, fence));

/** Pulls until it is refused by a newer puller's fence. */
export const pull = Effect.fnUntraced(function* (options: Options, fence: number): Effect.fn.Return<void, StoreError | BusError, Ports> {
  const bus = yield* MessageBus;
  const fenced = yield* Deferred.make<void>();
  const topics = [...new Set(options.types.map((type) => type.topic))].toSorted();
  const subscription: Subscription = { group: options.group, topics, batchMax: PULL_BATCH_MAX };
  const store = storeBatch(options, fence);
  const consuming = bus.consume(
    subscription,
    Effect.fnUntraced(function* (batch) {
      if ((yield* store(batch)) === "Stored") return;
      // Nothing of this batch may be acknowledged: it is the successor's.
      yield* Deferred.succeed(fenced, undefined);
      return yield* Effect.never;
    }),
  );
  yield* Effect.raceFirst(consuming, Deferred.await(fenced));
  yield* Effect.logWarning(`InboxPuller(${options.group}): a newer puller has taken over; stopped`);
});

/** Stores one batch of deliveries. `Fenced`: by a newer puller's leave; nothing is stored. */
export const storeBatch = (options: Options, fence: number) => {
  const known = new Set(options.types.map((type) => type.type));
  return Effect.fnUntraced(function* (
    batch: ReadonlyArray<Delivery>,
  ): Effect.fn.Return<"Stored" | "Fenced", StoreError, InboxQueue | UnitOfWork> {
    const messages = batch.flatMap((delivery) =>
      delivery._tag === "Readable" && !known.has(delivery.message.type) ? [] : [storedMessage(delivery)],
    );
    if (messages.length === 0) return "Stored";
    const unitOfWork = yield* UnitOfWork;
    const queue = yield* InboxQueue;
    const verdict = yield* unitOfWork.commit(queue.store(options.group, fence, messages));
    if (verdict._tag === "Fenced") return "Fenced";
    yield* Metric.update(Metric.withAttributes(stored, { consumer: options.group }), verdict.added);
    return "Stored";
  });
};

const storedMessage = (delivery: Delivery): StoredMessage => {
  const { position } = delivery;
  if (delivery._tag === "Foreign") return { position, message: foreignMessage(delivery), problem: delivery.problem };
  const { message } = delivery;
  return isNameable(message) ? { position, message, problem: null } : { position, message: renamed(delivery), problem: "nameTooLong" };
};
