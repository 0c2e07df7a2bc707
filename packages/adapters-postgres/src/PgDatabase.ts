/**
 * The database of a `SagaClient` (`@org/saga-core/promise`): for services without Effect.
 *
 *     SagaClient.connect({ database: PgDatabase.server({ url, schema: "shop" }), … })
 *     SagaClient.connect({ database: PgDatabase.embedded({ dataDir: "data" }), … })
 *
 * Both are migrated when the client connects, and closed with it.
 */
import { StoreError, type Transaction } from "@org/saga-core";
import { type Database, SagaError } from "@org/saga-core/promise";
import { Effect, Layer } from "effect";
import * as PgClient from "./PgClient.ts";
import type { PgNative, PgValue } from "./PgDriver.ts";
import * as PgliteInstance from "./PgliteInstance.ts";
import type * as PgMigrations from "./PgMigrations.ts";
import * as PgStores from "./PgStores.ts";

/**
 * Statements in the open transaction. One that fails (`SagaError`) dooms it, also when its failure is caught. Await each of them.
 * The commit stays with the client: a `commit` or `rollback` of one's own is a `Misuse`. To roll back, throw.
 */
export interface Sql {
  /** `Row` is what the statement's columns are. */
  readonly query: <Row extends object>(text: string, values?: ReadonlyArray<PgValue>) => Promise<ReadonlyArray<Row>>;
  /** The driver library's own handle, for query builders: `PgDrizzle.of(sql.native)`. The commit stays with the client: there too a `commit` is a `Misuse`. */
  readonly native: PgNative;
}

export type PgDatabase = Database<Sql, PgClient.PgClient>;

export interface EmbeddedOptions extends PgliteInstance.Options {
  readonly schema?: string | undefined;
  /** Folders with migrations of your own: applied after those of this package. */
  readonly migrations?: ReadonlyArray<PgMigrations.MigrationFolder> | undefined;
}

const sql: PgDatabase["sql"] = Effect.gen(function* () {
  const client = yield* PgClient.PgClient;
  const native = yield* client.native;
  const run = Effect.runPromiseWith(yield* Effect.context<Transaction>());
  return {
    native,
    query: <Row extends object>(text: string, values: ReadonlyArray<PgValue> = []) =>
      run(client.within<Row>("Sql.query", text, values)).then(({ rows }) => rows, refused),
  };
});

const refused = (failure: unknown): never => {
  throw failure instanceof StoreError ? new SagaError(failure.reason, failure.message) : failure;
};

/** A schema of a PostgreSQL server. Waits for the server. */
export const server = (options: PgStores.PgStoresOptions): PgDatabase => ({ layer: PgStores.layer(options), sql });

/** An embedded PostgreSQL (PGlite) of the client's own; without `dataDir`, in memory. */
export const embedded = ({ schema, migrations, ...instance }: EmbeddedOptions = {}): PgDatabase => ({
  layer: Layer.unwrap(Effect.map(PgliteInstance.open(instance), (pglite) => PgStores.layerPglite(pglite, schema, undefined, migrations))),
  sql,
});
