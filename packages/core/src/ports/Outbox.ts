/**
 * Messages that were committed and are to be published (G4), in commit order per key (G5).
 *
 * `append` gives each message a `seq` after its key's lock is held, so that the seq order of a key is its commit order.
 * A message belongs to the shard `hash(key) % SHARDS`; a shard is drained by one relay at a time.
 */
import { Context, type Duration, type Effect } from "effect";
import type * as Message from "../domain/Message.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import type { BusError, StoreError } from "./StoreError.ts";
import type { Transaction } from "./UnitOfWork.ts";

/** Shards of an outbox: enough for 64 relays, few enough to look at all of them in one query. */
export const OUTBOX_SHARDS = 64;

/** What became of one message handed to the bus: on it, or refused for good (too large). */
export type PublishVerdict = "Published" | "Refused";

export type DrainResult =
  /** Another relay owns the shard. */
  { readonly _tag: "Busy" } | { readonly _tag: "Drained"; readonly published: number; readonly refused: number };

export interface Backlog {
  readonly pending: number;
  /** `occurredAt` of the oldest pending message. */
  readonly oldestAt: Timestamp | null;
  /** Refused by the bus for good; waiting for a person. */
  readonly parked: number;
}

export class Outbox extends Context.Service<
  Outbox,
  {
    /** Adds messages, in this order, to the transaction. */
    readonly append: (messages: ReadonlyArray<Message.Encoded>) => Effect.Effect<void, StoreError, Transaction>;
    /** Shards that have something pending, ascending. */
    readonly pendingShards: Effect.Effect<ReadonlyArray<number>, StoreError>;
    /**
     * Takes the shard for as long as the call runs, hands its oldest pending messages (at most `max`) in seq order to
     * `publish`, and marks them only after its answer: `Published` as sent, `Refused` as parked. If `publish` fails or
     * the caller dies, nothing is marked: the messages come again (duplicates), never out of first-occurrence order.
     * One verdict per message, in order.
     */
    readonly drain: <R>(
      shard: number,
      max: number,
      publish: (messages: ReadonlyArray<Message.Encoded>) => Effect.Effect<ReadonlyArray<PublishVerdict>, BusError, R>,
    ) => Effect.Effect<DrainResult, StoreError | BusError, R>;
    /** Returns when something was probably appended (here or elsewhere), at the latest after `atMost`. */
    readonly awaitPending: (atMost: Duration.Duration) => Effect.Effect<void, StoreError>;
    readonly backlog: Effect.Effect<Backlog, StoreError>;
    /** Deletes messages sent before `before`; returns how many. Pending and parked ones are never deleted. */
    readonly sweep: (before: Timestamp) => Effect.Effect<number, StoreError>;
  }
>()("@org/saga-core/ports/Outbox") {}
