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

/** How long a sent message can be kept, in milliseconds: three days. A store drops what was sent as a whole, a period at a time. */
export const OUTBOX_KEPT_MAX_MS = 259_200_000;

/**
 * What became of one message handed to the bus: on it, refused for good (too large), or not sent because an earlier message
 * of its topic and key was refused in the same call.
 */
export type PublishVerdict = "Published" | "Refused" | "Held";

/**
 * What a drain is told of one message. `Refused`: parked, and later messages of its topic and key wait behind it (`Held`).
 * `SetAside`: parked alone, its key goes on.
 */
export type DrainVerdict = PublishVerdict | "SetAside";

export type DrainResult =
  /** Another relay owns the shard. */
  | { readonly _tag: "Busy" }
  /** `refused` are parked, alone or not; `held` wait behind one. */
  | { readonly _tag: "Drained"; readonly published: number; readonly refused: number; readonly held: number };

/** Counts of a backlog end here: counting on would cost more than the number is worth. */
export const BACKLOG_COUNT_MAX = 100_000;

/** Counts up to `BACKLOG_COUNT_MAX`, which means "so many or more". */
export interface Backlog {
  readonly pending: number;
  /** `occurredAt` of the pending message that was appended first. */
  readonly oldestAt: Timestamp | null;
  /** Refused by the bus for good; waiting for a person. */
  readonly parked: number;
  /** Behind a parked message of their key. */
  readonly held: number;
}

/** A message that the bus refused for good. Its payload is not shown. */
export interface Parked {
  readonly message: Message.Meta;
  readonly parkedAt: Timestamp;
  /** Do later messages of its topic and key wait behind it? */
  readonly blocks: boolean;
  /** How many wait, up to `BACKLOG_COUNT_MAX`. */
  readonly held: number;
}

/** What can be done with a parked message: publish it after all, or give it up. */
export type ParkedAction = "Retry" | "Discard";

/** What a person decides about parked messages. */
export interface ParkedDecision {
  readonly action: ParkedAction;
  /** Who decides. */
  readonly by: string;
  /** Why; empty, if nothing is to be said. */
  readonly reason: string;
}

/** A decision that was carried out, about one message. */
export interface Decided extends ParkedDecision {
  readonly message: Pick<Message.Meta, "id" | "type" | "topic" | "key">;
  readonly at: Timestamp;
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
     * `publish`, and marks them only after its answer, as `DrainVerdict` says. Messages whose key waits behind a parked one
     * are not handed over: they are held. If `publish` fails or the caller dies, nothing is marked: the messages come again
     * (duplicates), never out of first-occurrence order. One verdict per message, in order; `Held` only behind a `Refused`
     * of the same topic and key: anything else is `Misuse`.
     */
    readonly drain: <R>(
      shard: number,
      max: number,
      publish: (messages: ReadonlyArray<Message.Encoded>) => Effect.Effect<ReadonlyArray<DrainVerdict>, BusError, R>,
    ) => Effect.Effect<DrainResult, StoreError | BusError, R>;
    /**
     * Returns when something was probably appended (here or elsewhere), or is being committed here, at the latest after `atMost`;
     * with those shards that it knows of without asking, maybe none. A drain of one waits a moment for a commit that is on its way.
     */
    readonly awaitPending: (atMost: Duration.Duration) => Effect.Effect<ReadonlyArray<number>, StoreError>;
    readonly backlog: Effect.Effect<Backlog, StoreError>;
    /** What the bus refused for good, in seq order, at most `max`. */
    readonly parked: (max: number) => Effect.Effect<ReadonlyArray<Parked>, StoreError>;
    /**
     * Carries out and records a person's decision about parked messages; returns those that were parked: if they are not all
     * that were named, nothing was done. `Retry`: they are pending again. `Discard`: they are deleted, and never published.
     * What was held behind them is pending again, in seq order, unless another parked message of the key blocks it. All of it
     * or nothing. Takes the shards as a drain does: `Contention` if one stays busy.
     */
    readonly settleParked: (
      messageIds: ReadonlyArray<string>,
      decision: ParkedDecision,
    ) => Effect.Effect<ReadonlyArray<Message.Meta>, StoreError>;
    /** What was decided about parked messages, the newest first, at most `max`. Kept for good. */
    readonly decisions: (max: number) => Effect.Effect<ReadonlyArray<Decided>, StoreError>;
    /**
     * Forgets messages that were appended before `before` and are sent; returns how many, by estimate where they are many.
     * It may forget them later than asked, by one period of the store. Pending, held and parked ones are never forgotten.
     */
    readonly sweep: (before: Timestamp) => Effect.Effect<number, StoreError>;
  }
>()("@org/saga-core/ports/Outbox") {}

/** What is wrong with the verdicts of a drain, or null. For adapters. */
export const verdictProblem = (messages: ReadonlyArray<Message.Encoded>, verdicts: ReadonlyArray<DrainVerdict>): string | null => {
  if (verdicts.length !== messages.length) return `${verdicts.length} verdicts for ${messages.length} messages`;
  if (!verdicts.includes("Held")) return null;
  const refused = new Set<string>();
  for (const [index, { topic, key }] of messages.entries()) {
    const lane = JSON.stringify([topic, key]);
    if (verdicts[index] === "Refused") refused.add(lane);
    if (verdicts[index] === "Held" && !refused.has(lane)) return "a message is Held behind none that was Refused";
  }
  return null;
};
