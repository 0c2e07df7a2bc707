/**
 * Publishes the outbox: shard by shard, in seq order, marked only after the broker has it. Any number of relays may run;
 * a shard has one at a time. A relay that dies in between publishes again (duplicates), never out of order (G4, G5).
 *
 * What the broker refuses for good is parked. What becomes of the later messages of its topic and key is a policy:
 * - `wait` (the default): they are held until a person retries or discards the refused one, so G5 holds without exception.
 * - `follow`: they go on without it. For topics whose messages stand for themselves.
 */
import { Duration, Effect, Exit, type Layer, Metric } from "effect";
import type * as Message from "../domain/Message.ts";
import { MessageBus } from "../ports/MessageBus.ts";
import { type DrainVerdict, Outbox, type PublishVerdict } from "../ports/Outbox.ts";
import type { BusError, StoreError } from "../ports/StoreError.ts";
import * as Worker from "./Worker.ts";

/** Messages of one shard in one pass: large enough for what a pass costs beside them, few enough for the time that a shard may be owned. */
export const RELAY_BATCH_MAX = 1_000;

/** Shards drained at a time by one relay. Each holds a connection. */
export const SHARDS_IN_FLIGHT = 4;

/** Longest rest without a look at the outbox, in milliseconds: what a lost wake-up costs. */
export const POLL_MS = 250;

export interface Options {
  /** Messages of one shard in one pass, at most. */
  readonly batchMax?: number | undefined;
  /** Shards drained at a time by this relay, at most. On a pool each holds a connection for as long as its publish takes. */
  readonly shardsInFlight?: number | undefined;
  /** What later messages of a key do when one was refused for good. */
  readonly onRefused?: "wait" | "follow" | undefined;
}

const published = Metric.counter("saga_outbox_published_total", { description: "Messages handed to the broker", incremental: true });
const refused = Metric.counter("saga_outbox_parked_total", { description: "Messages that the broker refused for good", incremental: true });
const held = Metric.counter("saga_outbox_held_total", {
  description: "Messages that were held behind a parked one of their key",
  incremental: true,
});

/**
 * Drains every shard that has something, once; returns how many messages left the backlog. A shard that cannot be drained
 * holds up no other, and interrupts none in the middle of a publish; its failure is told at the end.
 */
export const drainOnceWith = Effect.fnUntraced(function* (
  options: Options,
): Effect.fn.Return<number, StoreError | BusError, Outbox | MessageBus> {
  const outbox = yield* Outbox;
  return yield* drainShards(options, yield* outbox.pendingShards);
});

const drainShards = Effect.fnUntraced(function* (
  options: Options,
  shards: ReadonlyArray<number>,
): Effect.fn.Return<number, StoreError | BusError, Outbox | MessageBus> {
  const outbox = yield* Outbox;
  const bus = yield* MessageBus;
  const { batchMax = RELAY_BATCH_MAX, onRefused = "wait", shardsInFlight = SHARDS_IN_FLIGHT } = options;
  const publish = onRefused === "wait" ? bus.publish : following(bus.publish);
  const drained = yield* Effect.forEach(shards, (shard) => Effect.exit(outbox.drain(shard, batchMax, publish)), {
    concurrency: shardsInFlight,
  });
  const counts = { published: 0, refused: 0, held: 0 };
  for (const exit of drained) {
    if (Exit.isFailure(exit) || exit.value._tag === "Busy") continue;
    counts.published += exit.value.published;
    counts.refused += exit.value.refused;
    counts.held += exit.value.held;
  }
  if (counts.published > 0) yield* Metric.update(published, counts.published);
  if (counts.refused > 0) yield* Metric.update(refused, counts.refused);
  if (counts.held > 0) yield* Metric.update(held, counts.held);
  for (const exit of drained) if (Exit.isFailure(exit)) return yield* Effect.failCause(exit.cause);
  return counts.published + counts.refused + counts.held;
});

export const drainOnce: Effect.Effect<number, StoreError | BusError, Outbox | MessageBus> = Effect.suspend(() => drainOnceWith({}));

/** One pass: drain, and rest if there was nothing. What is known when the rest ends is drained without asking: a round trip less. */
export const passWith = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<void, StoreError | BusError, Outbox | MessageBus> {
  const outbox = yield* Outbox;
  const count = yield* drainOnceWith(options);
  if (count === 0) yield* drainShards(options, yield* outbox.awaitPending(Duration.millis(POLL_MS)));
});

export const pass: Effect.Effect<void, StoreError | BusError, Outbox | MessageBus> = Effect.suspend(() => passWith({}));

/** Numbers below 1 are a programming error, and throw at start. */
export const layerWith = (options: Options): Layer.Layer<never, never, Outbox | MessageBus> => {
  for (const [name, value] of [
    ["batchMax", options.batchMax],
    ["shardsInFlight", options.shardsInFlight],
  ] as const) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1)) {
      throw new Error(`OutboxRelay: ${name} must be a whole number of at least 1, not ${value}`);
    }
  }
  return Worker.layer("OutboxRelay", passWith(options));
};

export const layer: Layer.Layer<never, never, Outbox | MessageBus> = layerWith({});

type Publish<V> = (messages: ReadonlyArray<Message.Encoded>) => Effect.Effect<ReadonlyArray<V>, BusError>;

/** Publishes what the bus held behind a refused message as well, until everything is on the bus or refused by itself. */
const following = (publish: Publish<PublishVerdict>): Publish<DrainVerdict> =>
  Effect.fnUntraced(function* (messages) {
    const verdicts: Array<DrainVerdict> = messages.map(() => "Held");
    let rest = [...messages.keys()];
    while (rest.length > 0) {
      const answer = yield* publish(rest.flatMap((index) => messages[index] ?? []));
      for (const [place, index] of rest.entries()) {
        const verdict = answer[place];
        verdicts[index] = verdict === "Refused" ? "SetAside" : (verdict ?? "Held");
      }
      const left = rest.filter((index) => verdicts[index] === "Held");
      // A bus that holds everything refused nothing: what is left is told as it is.
      if (left.length === rest.length) break;
      rest = left;
    }
    return verdicts;
  });
