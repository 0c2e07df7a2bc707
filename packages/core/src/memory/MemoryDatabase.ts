/**
 * One database in memory, shared by all memory adapters of a service.
 *
 * Guarantees:
 * 1. A transaction sees its own writes; nobody else does before it commits.
 * 2. All its writes appear at once, or none does: a failure, a defect or an interruption rolls back.
 * 3. Transactions run one after another, first come, first served, so all their locks last until the end.
 * 4. A transaction in which a write lost a race cannot commit, also when the failure was swallowed.
 *
 * `make` gives a database as a value that outlives the layers on top of it: a simulator tears a process down, and starts it
 * again on the same `layerOf(database)`, as a server's data outlives its clients.
 *
 * It is not durable, and it is not a cache: it is the reference that the real adapters are compared with.
 */
import { Clock, Context, Effect, Latch, Layer, Semaphore } from "effect";
import type * as Message from "../domain/Message.ts";
import type { Order } from "../domain/order/Order.ts";
import type { OrderId } from "../domain/order/OrderId.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import type { DeadLetter } from "../ports/DeadLetters.ts";
import type { ClaimedMessage } from "../ports/InboxQueue.ts";
import type { Decided } from "../ports/Outbox.ts";
import type { SagaShapeRecord } from "../ports/SagaStore.ts";
import { StoreError, type StoreReason } from "../ports/StoreError.ts";
import type { Timer } from "../ports/Timers.ts";
import { Transaction } from "../ports/UnitOfWork.ts";
import { type Ending, MemoryTable } from "./MemoryTable.ts";

/** A document or a saga instance: its state is kept as JSON text, so that it is read back as a real store would. */
export interface StateRow {
  readonly kind: string;
  readonly id: string;
  readonly version: number;
  readonly status: string;
  readonly revision: number;
  readonly state: string;
}

export interface OutboxRow {
  readonly seq: number;
  readonly shard: number;
  readonly message: Message.Encoded;
  readonly appendedAt: Timestamp;
}

export interface ParkedRow extends OutboxRow {
  readonly parkedAt: Timestamp;
  /** Refused, with its key waiting behind it or going on without it; or waiting itself. */
  readonly as: "blocking" | "aside" | "held";
}

export interface InboxRow {
  readonly admittedAt: Timestamp;
}

export interface StoredRow extends ClaimedMessage {
  readonly consumer: string;
  readonly shard: number;
  /** `held`: behind a failed one of its key. */
  readonly state: "ready" | "failed" | "held";
  /** Of a failed one: not before this time. */
  readonly nextAt: Timestamp;
  readonly storedAt: Timestamp;
}

export interface TimerRow {
  readonly timer: Timer;
  /** Claimed: not to be claimed again before this time. 0 when it never was. */
  readonly hiddenUntil: Timestamp;
}

export interface IdempotencyRow {
  readonly fingerprint: string;
  readonly claimedAt: Timestamp;
  /** JSON text. */
  readonly answer: string;
}

export interface LeaseRow {
  readonly owner: string;
  readonly fence: number;
  readonly until: Timestamp;
}

export class Database {
  readonly orders = new MemoryTable<OrderId, Order>();
  readonly sagas = new MemoryTable<string, StateRow>();
  /** By saga and version. */
  readonly sagaShapes = new MemoryTable<string, SagaShapeRecord>();
  readonly documents = new MemoryTable<string, StateRow>();
  /** By seq: committed and not yet published. */
  readonly outboxPending = new MemoryTable<number, OutboxRow>();
  /** By seq: on the bus. */
  readonly outboxSent = new MemoryTable<number, OutboxRow>();
  /** By seq: refused by the bus for good, or behind such a message. */
  readonly outboxParked = new MemoryTable<number, ParkedRow>();
  /** In the order of their time. */
  readonly outboxDecisions: Array<Decided> = [];
  readonly inbox = new MemoryTable<string, InboxRow>();
  /** By consumer and message id: taken from the broker, and not yet handled. */
  readonly inboxQueue = new MemoryTable<string, StoredRow>();
  /** By consumer: the greatest fence of a puller that stored. */
  readonly pullerFences = new MemoryTable<string, number>();
  readonly timers = new MemoryTable<string, TimerRow>();
  readonly deadLetters = new MemoryTable<string, DeadLetter>();
  readonly idempotencyKeys = new MemoryTable<string, IdempotencyRow>();
  readonly leases = new MemoryTable<string, LeaseRow>();
  /** Outbox shards that a drain holds now. A session's lock: it ends with its owner. */
  readonly busyShards = new Set<number>();
  /** Shards of inbox queues that a worker holds now, as `busyShards`. */
  readonly busyQueues = new Set<string>();
  /** Released by every commit that stored into an inbox queue. */
  readonly stored = Latch.makeUnsafe();
  /** How many commits did so. */
  stores = 0;
  /** Released by every commit that appended to the outbox. */
  readonly appended = Latch.makeUnsafe();
  /** How many commits appended to the outbox. */
  appends = 0;
  readonly #mutex = Semaphore.makeUnsafe(1);
  #lastSeq = 0;

  /** The next value of the outbox's sequence. Like a real one's, it is not given back by a rollback. */
  nextSeq(): number {
    this.#lastSeq += 1;
    return this.#lastSeq;
  }

  /** Waits for the turn, runs `use`, gives the turn to the next one. */
  exclusively<A, E, R>(use: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.#mutex.withPermit(use);
  }

  apply(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const appended = this.outboxPending.hasChanges;
      const stored = this.inboxQueue.hasChanges;
      for (const table of this.#tables()) table.applyChanges();
      if (appended) this.appends += 1;
      if (stored) this.stores += 1;
      return Effect.asVoid(Effect.andThen(appended ? this.appended.release : Effect.void, stored ? this.stored.release : Effect.void));
    });
  }

  drop(): Effect.Effect<void> {
    return Effect.sync(() => {
      for (const table of this.#tables()) table.dropChanges();
    });
  }

  #tables(): ReadonlyArray<Ending> {
    return [
      this.orders,
      this.sagas,
      this.sagaShapes,
      this.documents,
      this.outboxPending,
      this.outboxSent,
      this.outboxParked,
      this.inbox,
      this.inboxQueue,
      this.pullerFences,
      this.timers,
      this.deadLetters,
      this.idempotencyKeys,
      this.leases,
    ];
  }
}

/** The database of this process. */
export class CurrentDatabase extends Context.Service<CurrentDatabase, Database>()("@org/saga-core/memory/MemoryDatabase") {}

/** An empty database. */
export const make: Effect.Effect<Database> = Effect.sync(() => new Database());

/** A process's connection to a database that lives elsewhere. */
export const layerOf = (database: Database): Layer.Layer<CurrentDatabase> => Layer.succeed(CurrentDatabase, database);

/** A database of its own. */
export const layer: Layer.Layer<CurrentDatabase> = Layer.effect(CurrentDatabase, make);

/** The `Transaction` of this adapter. Ports find it in the environment and check that it is theirs and still open. */
export class MemoryTransaction {
  readonly now: Timestamp;
  readonly database: Database;
  /** No longer usable. */
  closed = false;
  /** The failure that the commit has to end with. */
  doomed: StoreError | null = null;

  constructor(database: Database, now: Timestamp) {
    this.database = database;
    this.now = now;
  }
}

/** The current transaction, or `Misuse`. */
export const current = Effect.fnUntraced(function* (
  database: Database,
  operation: string,
): Effect.fn.Return<MemoryTransaction, StoreError, Transaction> {
  const transaction = yield* Transaction;
  if (!(transaction instanceof MemoryTransaction) || transaction.database !== database) {
    return yield* failure("Misuse", operation, "the transaction belongs to another database");
  }
  if (transaction.closed) return yield* failure("Misuse", operation, "the transaction has ended");
  return transaction;
});

/** A statement that failed in the database: its transaction cannot commit any more. */
export const doom = (transaction: MemoryTransaction, error: StoreError): StoreError => {
  transaction.doomed ??= error;
  return error;
};

export const failure = (reason: StoreReason, operation: string, message: string): StoreError =>
  new StoreError({ reason, operation, message });

/** The database's clock. */
export const now: Effect.Effect<Timestamp> = Clock.currentTimeMillis;
