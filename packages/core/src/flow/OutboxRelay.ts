/**
 * Publishes the outbox: shard by shard, in seq order, marked only after the broker has it. Any number of relays may run;
 * a shard has one at a time. A relay that dies in between publishes again (duplicates), never out of order (G4, G5).
 */
import { Duration, Effect, Exit, type Layer, Metric } from "effect";
import { MessageBus } from "../ports/MessageBus.ts";
import { Outbox } from "../ports/Outbox.ts";
import type { BusError, StoreError } from "../ports/StoreError.ts";
import * as Worker from "./Worker.ts";

/** Messages of one shard in one pass: large enough for the broker's batches, short enough for a shard's lease. */
export const RELAY_BATCH_MAX = 500;

/** Shards drained at a time by one relay. Each holds a connection. */
export const SHARDS_IN_FLIGHT = 4;

/** Longest rest without a look at the outbox, in milliseconds: what a lost wake-up costs. */
export const POLL_MS = 250;

const published = Metric.counter("saga_outbox_published_total", { description: "Messages handed to the broker", incremental: true });
const refused = Metric.counter("saga_outbox_parked_total", { description: "Messages that the broker refused for good", incremental: true });

/**
 * Drains every shard that has something, once; returns how many messages left the outbox. A shard that cannot be drained
 * holds up no other, and interrupts none in the middle of a publish; its failure is told at the end.
 */
export const drainOnce: Effect.Effect<number, StoreError | BusError, Outbox | MessageBus> = Effect.gen(function* () {
  const outbox = yield* Outbox;
  const bus = yield* MessageBus;
  const shards = yield* outbox.pendingShards;
  const drained = yield* Effect.forEach(shards, (shard) => Effect.exit(outbox.drain(shard, RELAY_BATCH_MAX, bus.publish)), {
    concurrency: SHARDS_IN_FLIGHT,
  });
  let sent = 0;
  let parked = 0;
  for (const exit of drained) {
    if (Exit.isFailure(exit) || exit.value._tag === "Busy") continue;
    sent += exit.value.published;
    parked += exit.value.refused;
  }
  if (sent > 0) yield* Metric.update(published, sent);
  if (parked > 0) yield* Metric.update(refused, parked);
  for (const exit of drained) if (Exit.isFailure(exit)) return yield* Effect.failCause(exit.cause);
  return sent + parked;
});

/** One pass: drain, and rest if there was nothing. */
export const pass: Effect.Effect<void, StoreError | BusError, Outbox | MessageBus> = Effect.gen(function* () {
  const outbox = yield* Outbox;
  const count = yield* drainOnce;
  if (count === 0) yield* outbox.awaitPending(Duration.millis(POLL_MS));
});

export const layer: Layer.Layer<never, never, Outbox | MessageBus> = Worker.layer("OutboxRelay", pass);
