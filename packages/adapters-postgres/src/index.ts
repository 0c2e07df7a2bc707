/**
 * `@org/saga-postgres`: every port of `@org/saga-core` on PostgreSQL 15 and newer, and on the embedded PGlite.
 *
 * Start with `PgStores.layer({ url, schema })` or `PgStores.layerPglite(instance, schema)`.
 */
export * as PgBatches from "./PgBatches.ts";
export * as PgClient from "./PgClient.ts";
export * as PgConfig from "./PgConfig.ts";
export * as PgDatabase from "./PgDatabase.ts";
export * as PgDeadLetters from "./PgDeadLetters.ts";
export * as PgDocumentStore from "./PgDocumentStore.ts";
export * as PgDrizzle from "./PgDrizzle.ts";
export * as PgDriver from "./PgDriver.ts";
export * as PgError from "./PgError.ts";
export * as PgIdempotencyKeys from "./PgIdempotencyKeys.ts";
export * as PgInbox from "./PgInbox.ts";
export * as PgInboxQueue from "./PgInboxQueue.ts";
export * as PgliteDriver from "./PgliteDriver.ts";
export * as PgliteInstance from "./PgliteInstance.ts";
export * as PgLock from "./PgLock.ts";
export * as PgMigrations from "./PgMigrations.ts";
export * as PgOrderStore from "./PgOrderStore.ts";
export * as PgOutbox from "./PgOutbox.ts";
export * as PgSagaStore from "./PgSagaStore.ts";
export * as PgStock from "./PgStock.ts";
export * as PgStockAudit from "./PgStockAudit.ts";
export * as PgStockBooks from "./PgStockBooks.ts";
export * as PgStores from "./PgStores.ts";
export * as PgTimers from "./PgTimers.ts";
export * as PgTransaction from "./PgTransaction.ts";
export * as PgUnitOfWork from "./PgUnitOfWork.ts";
export * as PoolDriver from "./PoolDriver.ts";
export { type Tables, tables } from "./schema/tables.ts";
