/**
 * Messages that were taken from the broker and wait, stored, to be handled (store-then-process).
 *
 * One puller stores what the broker has, in bulk; any number of workers handle it. A message belongs to the shard
 * `hash(key) % INBOX_SHARDS`; a shard is handled by one worker at a time, in the order (topic, partition, offset).
 *
 * It hands a message over at least once: what makes the effect happen once is the `Inbox`, in the handler's transaction.
 */
import { Context, type Duration, type Effect } from "effect";
import type * as Message from "../domain/Message.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import type { Position } from "./MessageBus.ts";
import type { StoreError } from "./StoreError.ts";
import type { Transaction } from "./UnitOfWork.ts";

/** Shards of a consumer's queue: as many as the outbox has, for the same reasons. */
export const INBOX_SHARDS = 64;

/** A message as it was read, and what is wrong with it already: a record that is no message is kept, too. */
export interface StoredMessage {
  readonly position: Position;
  readonly message: Message.Encoded;
  /** A constant word, or null: it is to be handled. */
  readonly problem: string | null;
}

export interface ClaimedMessage extends StoredMessage {
  /** How often it failed so far. */
  readonly attempts: number;
}

/**
 * What becomes of the messages of a key behind one that failed. `wait`: none is handled before it is handled or in the dead
 * letters. `follow`: they go on, so the failed one acts later than its successors.
 */
export type FollowerPolicy = "wait" | "follow";

/** `Fenced`: a newer lease has stored already; nothing was stored, and the caller is a puller no more. */
export type StoreVerdict = { readonly _tag: "Stored"; readonly added: number } | { readonly _tag: "Fenced" };

/** What became of one message. */
export type InboxMark =
  /** It leaves the queue. */
  | { readonly _tag: "Handled" }
  /** Nothing: it comes again, and this was no attempt. */
  | { readonly _tag: "Left" }
  /** It failed; it comes again when the time is over. */
  | { readonly _tag: "Failed"; readonly afterMillis: number }
  /** It goes to the dead letters, in the transaction that takes it out of the queue. */
  | { readonly _tag: "Dead"; readonly problem: string; readonly detail: string };

export type ProcessResult =
  /** Another worker owns the shard. */
  | { readonly _tag: "Busy" }
  | {
      readonly _tag: "Processed";
      readonly handled: number;
      readonly failed: number;
      readonly dead: number;
      /** Messages that were found to wait behind a failed one, and are looked at no more before its end. */
      readonly held: number;
    };

export interface InboxBacklog {
  /** All that is stored: waiting, failed and held back. */
  readonly unprocessed: number;
  /** Failed at least once, and waiting for their next attempt. */
  readonly failed: number;
  /** When the oldest of them was stored. */
  readonly oldestAt: Timestamp | null;
}

export class InboxQueue extends Context.Service<
  InboxQueue,
  {
    /**
     * Adds messages to the transaction. Idempotent per (consumer, message id): what is stored already stays as it is.
     * `fence` is that of the puller's lease: once a greater one has stored, a smaller one is `Fenced`.
     */
    readonly store: (
      consumer: string,
      fence: number,
      messages: ReadonlyArray<StoredMessage>,
    ) => Effect.Effect<StoreVerdict, StoreError, Transaction>;
    /** Shards of a consumer in which something can be handled now, ascending. */
    readonly pendingShards: (consumer: string) => Effect.Effect<ReadonlyArray<number>, StoreError>;
    /**
     * Takes the shard for as long as the call runs, hands what can be handled now (at most `max`) to `handle`, and marks it
     * afterwards, one mark per message, in order. First what failed and is due again, with the messages held back behind
     * it; then what is new, in the order (topic, partition, offset). With `wait`, new messages of a key that has a failed
     * one are held back instead. If `handle` fails or the caller dies, nothing is marked: the messages come again.
     * Costs what it hands over, however much waits.
     */
    readonly process: <R>(
      consumer: string,
      shard: number,
      max: number,
      policy: FollowerPolicy,
      handle: (messages: ReadonlyArray<ClaimedMessage>) => Effect.Effect<ReadonlyArray<InboxMark>, StoreError, R>,
    ) => Effect.Effect<ProcessResult, StoreError, R>;
    /** Returns when something was probably stored (here or elsewhere) or is due, at the latest after `atMost`. */
    readonly awaitPending: (consumer: string, atMost: Duration.Duration) => Effect.Effect<void, StoreError>;
    /** Counts; for gauges, not for decisions. */
    readonly backlog: (consumer: string) => Effect.Effect<InboxBacklog, StoreError>;
  }
>()("@org/saga-core/ports/InboxQueue") {}
