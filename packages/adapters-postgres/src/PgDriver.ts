/**
 * The driver edge: what this package needs of a PostgreSQL client library. Two drivers run the same SQL: `PoolDriver`
 * (node-postgres, many connections) and `PgliteDriver` (embedded, one connection).
 *
 * This is the one place of promises, and of trust: `Row` is what the statement's columns are, by the statement and the
 * table's constraints. Drivers reject with their own errors; `PgError` classifies them.
 */
import type { PGlite, Transaction as PgliteTransaction } from "@electric-sql/pglite";
import type { Duration } from "effect";
import type { PoolClient } from "pg";

export interface PgResult<Row> {
  readonly rows: ReadonlyArray<Row>;
  /** Rows written. */
  readonly count: number;
}

/** What a statement may be given: text, numbers, booleans, and lists of them. JSON and times travel as text and numbers. */
export type PgScalar = string | number | boolean | null;
export type PgValue = PgScalar | ReadonlyArray<PgScalar>;

/** The library's own handle of an open transaction, for users' statements in it. */
export type PgNative =
  | { readonly _tag: "Pool"; readonly client: PoolClient }
  | { readonly _tag: "Pglite"; readonly instance: PGlite; readonly transaction: PgliteTransaction };

/** An open transaction. */
export interface PgSession {
  /** Milliseconds: the server's clock at BEGIN. */
  readonly now: number;
  /** `pg_current_xact_id()`: by it the server is asked how a commit ended whose answer was lost. */
  readonly xid: string;
  /** Which life of the server this is: transaction ids are only comparable within one (`BEGIN_FACTS`). */
  readonly life: string;
  readonly native: PgNative;
  readonly query: <Row extends object>(text: string, values: ReadonlyArray<PgValue>) => Promise<PgResult<Row>>;
  /** Several statements without values. */
  readonly script: (text: string) => Promise<void>;
  /** `RolledBack`: a statement had failed before, so that COMMIT could only roll back. */
  readonly commit: () => Promise<"Committed" | "RolledBack">;
  /** Never rejects: a connection that cannot roll back is closed, which rolls back as well. */
  readonly rollback: () => Promise<void>;
}

export interface PgDriver {
  readonly kind: "Pool" | "Pglite";
  /** One statement in a transaction of its own. */
  readonly query: <Row extends object>(text: string, values: ReadonlyArray<PgValue>) => Promise<PgResult<Row>>;
  readonly begin: () => Promise<PgSession>;
  /** How long the server is asked about a COMMIT whose answer was lost. */
  readonly settleTimeout: Duration.Duration;
  /** Shards that a drain of this process owns; used where the driver has no connection of its own for each drain. */
  readonly ownedShards: Set<string>;
}

/**
 * SQL: names the life of the server. A crash of one backend begins a new one as a restart does, though the postmaster goes
 * on: ids of transactions that had not reached the disk are given out again. It resets the statistics, so the time of their
 * reset tells. (A person may reset them, too: then a lost COMMIT stays `Unknown`, which is never wrong.)
 */
export const LIFE = `pg_postmaster_start_time()::text || ' ' || coalesce(pg_stat_get_bgwriter_stat_reset_time()::text, '')`;

/** First statements of a transaction; the answer is a `BeginRow`. */
export const BEGIN_FACTS = `select floor(extract(epoch from now()) * 1000)::float8 as now,
  pg_current_xact_id()::text as xid, ${LIFE} as life`;

export interface BeginRow {
  readonly now: number;
  readonly xid: string;
  readonly life: string;
}
