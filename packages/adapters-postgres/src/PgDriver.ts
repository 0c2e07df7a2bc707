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
  /** Milliseconds: the server's clock at BEGIN. 0 until it is answered. */
  readonly now: number;
  readonly native: PgNative;
  readonly query: <Row extends object>(text: string, values: ReadonlyArray<PgValue>) => Promise<PgResult<Row>>;
  /** Several statements without values. */
  readonly script: (text: string) => Promise<void>;
  /** `RolledBack`: a statement had failed before, so that COMMIT could only roll back. */
  readonly commit: () => Promise<"Committed" | "RolledBack">;
  /**
   * Begins another transaction on this connection, behind a COMMIT that was sent and has no answer yet, as `begin` does with `sent`:
   * what it reads arrives right after that answer, and has what was committed. Null, if there is no such COMMIT, or the connection is
   * wanted by others.
   */
  readonly beginBehind: () => PgSession | null;
  /** Never rejects: a connection that cannot roll back is closed, which rolls back as well. */
  readonly rollback: () => Promise<void>;
}

export interface PgDriver {
  readonly kind: "Pool" | "Pglite";
  /** One statement in a transaction of its own. */
  readonly query: <Row extends object>(text: string, values: ReadonlyArray<PgValue>) => Promise<PgResult<Row>>;
  /**
   * The same, one behind the other on one connection: the next is sent while the one before it runs, so the server does not wait
   * for this process, and they never wait for each other's locks. The connection is kept while there is a next one.
   */
  readonly queryInLine: <Row extends object>(text: string, values: ReadonlyArray<PgValue>) => Promise<PgResult<Row>>;
  /**
   * Begins a transaction with a statement whose row is a `BeginRow`, in one round trip. The statement has no values.
   * `sent`: gives the session as soon as there is a connection, so that what follows at once travels with BEGIN; if that fails,
   * every statement does. Those that run before its answer must not write.
   */
  readonly begin: (first: string, until?: "begun" | "sent") => Promise<PgSession>;
  /** How long the server is asked about a COMMIT whose answer was lost. */
  readonly settleTimeout: Duration.Duration;
  /** Shards that a drain of this process owns; used where the driver has no connection of its own for each drain. */
  readonly ownedShards: Set<string>;
  /** Tells whoever listens to `channel`, in any process. False, if that had to wait for a connection: nobody was told. */
  readonly notify: (channel: string) => Promise<boolean>;
  /**
   * Calls `onNotify` when somebody tells, and when something may have been missed (connected, or connected again). What it
   * returns ends it. Never fails: a connection that is lost is made anew, with pauses that grow.
   */
  readonly listen: (channel: string, onNotify: () => void) => () => Promise<void>;
}

/** SQL: a column `now`, the time when the transaction began in whole milliseconds. */
export const NOW = "floor(extract(epoch from now()) * 1000)::float8 as now";

export interface BeginRow {
  readonly now: number;
}

/** Statement of a `BeginRow`. */
export const CLOCK = `select ${NOW}`;
