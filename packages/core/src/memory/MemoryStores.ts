/** All stores of a service on one `MemoryDatabase`: everything but the broker and the stock. */
import { Layer } from "effect";
import type { DeadLetters } from "../ports/DeadLetters.ts";
import type { DocumentStore } from "../ports/DocumentStore.ts";
import type { IdempotencyKeys } from "../ports/IdempotencyKeys.ts";
import type { Inbox } from "../ports/Inbox.ts";
import type { InboxQueue } from "../ports/InboxQueue.ts";
import type { Lock } from "../ports/Lock.ts";
import type { OrderStore } from "../ports/OrderStore.ts";
import type { Outbox } from "../ports/Outbox.ts";
import type { SagaStore } from "../ports/SagaStore.ts";
import type { Timers } from "../ports/Timers.ts";
import type { UnitOfWork } from "../ports/UnitOfWork.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";
import * as MemoryDeadLetters from "./MemoryDeadLetters.ts";
import * as MemoryDocumentStore from "./MemoryDocumentStore.ts";
import * as MemoryIdempotencyKeys from "./MemoryIdempotencyKeys.ts";
import * as MemoryInbox from "./MemoryInbox.ts";
import * as MemoryInboxQueue from "./MemoryInboxQueue.ts";
import * as MemoryLock from "./MemoryLock.ts";
import * as MemoryOrderStore from "./MemoryOrderStore.ts";
import * as MemoryOutbox from "./MemoryOutbox.ts";
import * as MemorySagaStore from "./MemorySagaStore.ts";
import * as MemoryTimers from "./MemoryTimers.ts";
import * as MemoryUnitOfWork from "./MemoryUnitOfWork.ts";

/** The ports of one database. */
export type Ports =
  | DeadLetters
  | DocumentStore
  | IdempotencyKeys
  | Inbox
  | InboxQueue
  | Lock
  | OrderStore
  | Outbox
  | SagaStore
  | Timers
  | UnitOfWork;

/** On the database in the environment. */
export const layer: Layer.Layer<Ports, never, MemoryDatabase.CurrentDatabase> = Layer.mergeAll(
  MemoryDeadLetters.layer,
  MemoryDocumentStore.layer,
  MemoryIdempotencyKeys.layer,
  MemoryInbox.layer,
  MemoryInboxQueue.layer,
  MemoryLock.layer,
  MemoryOrderStore.layer,
  MemoryOutbox.layer,
  MemorySagaStore.layer,
  MemoryTimers.layer,
  MemoryUnitOfWork.layer,
);

/** On a database that outlives the layer: a process that starts again. */
export const layerOf = (database: MemoryDatabase.Database): Layer.Layer<Ports> => Layer.provide(layer, MemoryDatabase.layerOf(database));
