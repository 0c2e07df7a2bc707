/**
 * Users' own tables through drizzle, in the open transaction: `PgDrizzle.use("Notes.add", (db) => db.insert(notes).values(…))`.
 *
 * - The same handle on both drivers.
 * - A `db.transaction` inside is a savepoint: what fails in it and is caught can be left behind. Only `UnitOfWork` commits.
 * - A statement that fails outside of one dooms the transaction, also when its failure is caught.
 */
import type { StoreError, Transaction } from "@org/saga-core";
import { NodePgSession, NodePgTransaction, type NodePgQueryResultHKT } from "drizzle-orm/node-postgres";
import { PgDialect, type PgTransaction } from "drizzle-orm/pg-core";
import { PgliteSession, PgliteTransaction, type PgliteQueryResultHKT } from "drizzle-orm/pglite";
import { Effect } from "effect";
import { PgClient } from "./PgClient.ts";
import type { PgNative } from "./PgDriver.ts";

type NoSchema = Record<string, never>;

/** drizzle's handle of the open transaction, as `db.transaction(async (tx) => …)` gives it. */
export type Database = PgTransaction<NodePgQueryResultHKT | PgliteQueryResultHKT, NoSchema, NoSchema>;

/**
 * Runs drizzle statements in the open transaction. Database errors are classified, as with `PgClient.use`; await every
 * statement.
 */
export const use = <A>(operation: string, run: (database: Database) => Promise<A>): Effect.Effect<A, StoreError, Transaction | PgClient> =>
  Effect.flatMap(PgClient, (client) => client.use(operation, (native) => run(of(native))));

/** drizzle on a native handle. */
export const of = (native: PgNative): Database => {
  switch (native._tag) {
    case "Pool":
      return new NodePgTransaction<NoSchema, NoSchema>(
        dialect,
        new NodePgSession<NoSchema, NoSchema>(native.client, dialect, undefined),
        undefined,
      );
    case "Pglite":
      return new PgliteTransaction<NoSchema, NoSchema>(
        dialect,
        new PgliteSession<NoSchema, NoSchema>(native.transaction, dialect, undefined),
        undefined,
      );
  }
};

const dialect = new PgDialect();
