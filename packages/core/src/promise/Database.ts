/**
 * A database and a broker, as an adapter package makes them for `SagaClient.connect`: values to pass on, not to look into.
 */
import { Effect, Layer } from "effect";
import * as MemoryDatabase from "../memory/MemoryDatabase.ts";
import * as MemoryStores from "../memory/MemoryStores.ts";
import type { DeadLetters } from "../ports/DeadLetters.ts";
import type { DocumentStore } from "../ports/DocumentStore.ts";
import type { IdempotencyKeys } from "../ports/IdempotencyKeys.ts";
import type { Inbox } from "../ports/Inbox.ts";
import type { InboxQueue } from "../ports/InboxQueue.ts";
import type { Lock } from "../ports/Lock.ts";
import type { MessageBus } from "../ports/MessageBus.ts";
import type { Outbox } from "../ports/Outbox.ts";
import type { SagaStore } from "../ports/SagaStore.ts";
import type { StoreError } from "../ports/StoreError.ts";
import type { Timers } from "../ports/Timers.ts";
import type { Transaction, UnitOfWork } from "../ports/UnitOfWork.ts";

/** The ports that a client stands on. */
export type Stores = UnitOfWork | DocumentStore | SagaStore | Outbox | Inbox | InboxQueue | Timers | DeadLetters | IdempotencyKeys | Lock;

/** `Sql` is what a user's own statements are run with, `Own` what the adapter needs for it. */
export interface Database<Sql, Own = never> {
  readonly layer: Layer.Layer<Stores | Own, unknown>;
  /** A handle of the open transaction. */
  readonly sql: Effect.Effect<Sql, StoreError, Transaction | Own>;
}

export type Bus = Layer.Layer<MessageBus, unknown>;

/** A database in memory, gone with its client: for tests and first steps. It has no statements of one's own. */
export const memory = (): Database<null> => ({
  layer: Layer.provide(MemoryStores.layer, MemoryDatabase.layer),
  sql: Effect.succeed(null),
});
