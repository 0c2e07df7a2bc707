/**
 * Every store of a service on one `PgClient`.
 *
 *     PgStores.layer({ url, schema: "order" })       // a pool of its own; migrated at start
 *     PgStores.layerPglite(instance, "order")        // a schema of a shared embedded database; migrated at start
 *     PgStores.layerClient                           // on a client that is already there; migrate yourself
 */
import type { PGlite } from "@electric-sql/pglite";
import type {
  DeadLetters,
  DocumentStore,
  IdempotencyKeys,
  Inbox,
  InboxQueue,
  Lock,
  OrderStore,
  Outbox,
  SagaStore,
  StoreError,
  Timers,
  UnitOfWork,
} from "@org/saga-core";
import { Layer } from "effect";
import * as PgClient from "./PgClient.ts";
import type { PgOptions } from "./PgConfig.ts";
import * as PgDeadLetters from "./PgDeadLetters.ts";
import * as PgDocumentStore from "./PgDocumentStore.ts";
import * as PgIdempotencyKeys from "./PgIdempotencyKeys.ts";
import * as PgInbox from "./PgInbox.ts";
import * as PgInboxQueue from "./PgInboxQueue.ts";
import * as PgLock from "./PgLock.ts";
import * as PgMigrations from "./PgMigrations.ts";
import * as PgOrderStore from "./PgOrderStore.ts";
import * as PgOutbox from "./PgOutbox.ts";
import * as PgSagaStore from "./PgSagaStore.ts";
import * as PgTimers from "./PgTimers.ts";
import * as PgUnitOfWork from "./PgUnitOfWork.ts";

export type PgStores =
  | UnitOfWork
  | OrderStore
  | SagaStore
  | DocumentStore
  | Outbox
  | Inbox
  | InboxQueue
  | Timers
  | DeadLetters
  | IdempotencyKeys
  | Lock;

/** The stores on a client; the schema has to be migrated. */
export const layerClient: Layer.Layer<PgStores, never, PgClient.PgClient> = Layer.mergeAll(
  PgUnitOfWork.layer,
  PgOrderStore.layer,
  PgSagaStore.layer,
  PgDocumentStore.layer,
  PgOutbox.layer,
  PgInbox.layer,
  PgInboxQueue.layer,
  PgTimers.layer,
  PgDeadLetters.layer,
  PgIdempotencyKeys.layer,
  PgLock.layer,
);

export interface PgStoresOptions extends PgOptions {
  /** Folders with migrations of your own: applied at start, after those of this package. */
  readonly migrations?: ReadonlyArray<PgMigrations.MigrationFolder> | undefined;
}

/** The stores in a schema of a PostgreSQL server. Waits for the server, then migrates, then is there. */
export const layer = (options: PgStoresOptions): Layer.Layer<PgStores | PgClient.PgClient, StoreError | PgMigrations.PgMigrationError> =>
  migrated(PgClient.layer(options), options.migrations);

/** The stores in a schema of an embedded database. */
export const layerPglite = (
  instance: PGlite,
  schema?: string,
  tablePrefix?: string,
  migrations?: ReadonlyArray<PgMigrations.MigrationFolder>,
): Layer.Layer<PgStores | PgClient.PgClient, StoreError | PgMigrations.PgMigrationError> =>
  migrated(PgClient.layerPglite(instance, schema, tablePrefix), migrations);

const migrated = (client: Layer.Layer<PgClient.PgClient, StoreError>, folders: ReadonlyArray<PgMigrations.MigrationFolder> | undefined) =>
  layerClient.pipe(Layer.provide(PgMigrations.layerWith({ folders })), Layer.provideMerge(client));
