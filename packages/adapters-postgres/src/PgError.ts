/**
 * The one place where errors of the drivers become `StoreError`. By SQLSTATE (PostgreSQL, appendix A) where the server
 * answered, as a lost connection where it did not.
 *
 * A message holds the SQLSTATE, its name and the constraint or table, never the server's own text: that may quote values.
 */
import { StoreError, type StoreReason } from "@org/saga-core";
import { Predicate } from "effect";
import * as PgStatements from "./PgStatements.ts";
import * as PgText from "./PgText.ts";

/** Where the error came up. What is lost while committing may have happened. */
export type Phase = "statement" | "commit";

/** Where a client's tables are: tables elsewhere, or without its prefix, are somebody else's. */
export interface Home {
  readonly schema: string;
  readonly prefix: string;
}

/** Without a `home`, tables of this package are known by their names alone. */
export const classify = (operation: string, phase: Phase, thrown: unknown, home: Home | null = null): StoreError => {
  const cause = rootOf(thrown);
  const server = serverErrorOf(cause);
  if (server !== null) {
    const reason = reasonOf(server.code, isStateKey(server, home));
    return new StoreError({ reason: phase === "commit" && isLoss(server.code) ? "Unknown" : reason, operation, message: describe(server) });
  }
  if (isConnectionError(cause)) {
    return new StoreError({
      reason: phase === "commit" ? "Unknown" : "Unavailable",
      operation,
      message: `connection: ${connectionProblem(cause)}`,
    });
  }
  if (cause instanceof PgStatements.EndsTransaction) return new StoreError({ reason: "Misuse", operation, message: cause.message });
  if (cause instanceof PgText.NotUnicode) return new StoreError({ reason: "Refused", operation, message: cause.message });
  if (cause instanceof Error && NO_PASSWORD.test(cause.message))
    return new StoreError({ reason: "Misuse", operation, message: `driver: the server wants a password, and there is none: ${LOOK}` });
  // The driver itself could not handle it, e.g. a value that it cannot encode: the same again cannot help.
  const reason = phase === "commit" ? "Unknown" : "Refused";
  return new StoreError({ reason, operation, message: `driver: ${cause instanceof Error ? cause.name : "unknown error"}` });
};

/**
 * Is it the database's, and not a bug of who asked it? Stricter than the classification of what a driver rejects with: this
 * may be any code's error, whatever its text speaks of.
 */
export const isDatabaseError = (thrown: unknown): boolean => {
  const cause = rootOf(thrown);
  if (serverErrorOf(cause) !== null) return true;
  if (!(cause instanceof Error)) return false;
  if (cause instanceof PgStatements.EndsTransaction) return true;
  return DRIVER_TEXT.test(cause.message) || (systemCodeOf(cause) !== null && Predicate.hasProperty(cause, "syscall"));
};

/** Everything that node-postgres and PGlite say themselves when a connection is lost or takes too long. */
const DRIVER_TEXT =
  /^(Connection terminated( unexpectedly| due to connection timeout)?|Query read timeout|Client has encountered a connection error and is not queryable|Client was closed and is not queryable|PGlite is clos(ed|ing))$/;

/** Errors within errors, at most: no chain is longer, only a circle. */
const DEPTH_MAX = 8;

/** drizzle and others wrap the driver's error in one that quotes the statement and its values. */
const rootOf = (thrown: unknown): unknown => {
  let cause = thrown;
  for (let depth = 0; depth < DEPTH_MAX; depth += 1) {
    if (!(cause instanceof Error) || !(cause.cause instanceof Error)) return cause;
    cause = cause.cause;
  }
  return cause;
};

/** Primary keys of state: two writers of one key that did not exist before. The loser loads again and decides again. */
const STATE_KEYS: ReadonlySet<string> = new Set([
  "orders_pkey",
  "order_lines_pkey",
  "order_history_pkey",
  "sagas_pkey",
  "documents_pkey",
  "timers_pkey",
  "inbox_pkey",
  "idempotency_keys_pkey",
  "locks_pkey",
  "stock_skus_pkey",
  "stock_holds_pkey",
  "stock_adjustments_pkey",
]);

const isStateKey = ({ constraint, schema }: ServerError, home: Home | null): boolean => {
  if (constraint === null) return false;
  if (home === null) return STATE_KEYS.has(constraint);
  return schema === home.schema && constraint.startsWith(home.prefix) && STATE_KEYS.has(constraint.slice(home.prefix.length));
};

/** The reason of an SQLSTATE. A unique violation is a lost race on a state's key, or a rule that was broken. */
export const reasonOf = (code: string, onStateKey = false): StoreReason => {
  if (code === "23505") return onStateKey ? "Contention" : "Refused";
  const exact = EXACT.get(code);
  if (exact !== undefined) return exact;
  return CLASSES.get(code.slice(0, 2)) ?? "Refused";
};

const EXACT: ReadonlyMap<string, StoreReason> = new Map([
  // A statement or lock took too long: others are in the way.
  ["55P03", "Contention"],
  ["55006", "Contention"],
  ["57014", "Contention"],
  // A table changed its shape under a prepared statement.
  ["0A000", "Contention"],
  // A prepared statement is gone: somebody else's hand on the connection, nothing is wrong with the item.
  ["26000", "Unavailable"],
  ["40003", "Unknown"],
  // A statement before it had failed, and whoever sent it went on.
  ["25P02", "Refused"],
  // Connected to a standby, or to a server that is being failed over.
  ["25006", "Unavailable"],
  // The server ended the session: idle in transaction for too long.
  ["25P03", "Unavailable"],
  // Not migrated yet, or not granted yet: nothing is wrong with the item, so it waits.
  ["42P01", "Unavailable"],
  ["42703", "Unavailable"],
  ["42501", "Unavailable"],
]);

const CLASSES: ReadonlyMap<string, StoreReason> = new Map([
  ["08", "Unavailable"],
  ["22", "Refused"],
  ["23", "Refused"],
  // A statement in the wrong state of its transaction.
  ["25", "Misuse"],
  // Wrong password, wrong database: a wrong configuration.
  ["28", "Misuse"],
  ["3D", "Misuse"],
  ["3F", "Unavailable"],
  ["40", "Contention"],
  ["42", "Misuse"],
  ["53", "Unavailable"],
  ["54", "Refused"],
  ["57", "Unavailable"],
  ["58", "Unavailable"],
  ["XX", "Unavailable"],
]);

/** The session died: whether a COMMIT that was under way got through, is not known. */
const isLoss = (code: string): boolean => code.startsWith("08") || code.startsWith("57P") || code === "25P03" || code === "40003";

interface ServerError {
  readonly code: string;
  readonly constraint: string | null;
  readonly schema: string | null;
  readonly table: string | null;
}

/** The server's SQLSTATE, if it is the server that answered. */
export const sqlstateOf = (cause: unknown): string | null => serverErrorOf(cause)?.code ?? null;

const SQLSTATE = /^[0-9A-Z]{5}$/;

/** Both drivers report the server's errors in the form of `pg-protocol`. */
const serverErrorOf = (cause: unknown): ServerError | null => {
  if (!(cause instanceof Error) || !Predicate.hasProperty(cause, "code") || !Predicate.hasProperty(cause, "severity")) return null;
  if (typeof cause.code !== "string" || !SQLSTATE.test(cause.code)) return null;
  return { code: cause.code, constraint: textOf(cause, "constraint"), schema: textOf(cause, "schema"), table: textOf(cause, "table") };
};

const textOf = (cause: Error, name: string): string | null => {
  const value: unknown = Reflect.get(cause, name);
  return typeof value === "string" ? value : null;
};

const describe = (error: ServerError): string => {
  const name = NAMES.get(error.code);
  const where = error.constraint !== null ? ` (constraint ${error.constraint})` : error.table !== null ? ` (table ${error.table})` : "";
  return `SQLSTATE ${error.code}${name === undefined ? "" : ` ${name}`}${where}`;
};

/** Where an address came from: the option of that name, or the variable of the services and of `saga`. */
const LOOK = "look at SAGA_PG_URL, or the option url";

/** Names of what people meet most, from appendix A. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ["08006", "connection_failure"],
  ["22021", "character_not_in_repertoire"],
  ["22P02", "invalid_text_representation"],
  ["22P05", "untranslatable_character"],
  ["23502", "not_null_violation"],
  ["23505", "unique_violation"],
  ["23514", "check_violation"],
  ["25P02", "in_failed_sql_transaction"],
  ["25P03", "idle_in_transaction_session_timeout: the process said nothing for longer than idleInTransactionTimeout"],
  ["25006", "read_only_sql_transaction: no writes here: connect to the primary, or look at default_transaction_read_only"],
  ["26000", "invalid_sql_statement_name: a prepared statement is gone; PgBouncer needs session pooling"],
  ["28000", `invalid_authorization_specification: the server does not let this role in: ${LOOK}`],
  ["28P01", `invalid_password: ${LOOK}`],
  ["3D000", `invalid_catalog_name: the database does not exist: create it, or ${LOOK}`],
  ["3F000", "invalid_schema_name: run the migrations"],
  ["40001", "serialization_failure"],
  ["40P01", "deadlock_detected"],
  ["42501", "insufficient_privilege: grant the role what docs/migrations.md names"],
  ["42703", "undefined_column: run the migrations"],
  ["42P01", "undefined_table: run the migrations"],
  ["53100", "disk_full: free space on the server"],
  ["53200", "out_of_memory"],
  ["53300", "too_many_connections: raise max_connections, or lower the pools of the processes"],
  ["55P03", "lock_not_available: somebody holds it for longer than lockTimeout"],
  ["57014", "query_canceled: statement timeout"],
  ["57P01", "admin_shutdown"],
  ["57P02", "crash_shutdown"],
  ["57P03", "cannot_connect_now"],
]);

/** node-postgres sends nothing without a password: no server answers. */
const NO_PASSWORD = /^SASL: .*client password must be/;

/** node-postgres and PGlite have no codes for these. */
const CONNECTION_TEXT =
  /connection|not queryable|timeout exceeded|Query read timeout|socket|PGlite is clos|after calling end on the pool|server does not support SSL/i;

const isConnectionError = (cause: unknown): cause is Error =>
  cause instanceof Error && (systemCodeOf(cause) !== null || cause instanceof AggregateError || CONNECTION_TEXT.test(cause.message));

/** Codes of the operating system and of TLS, such as `ECONNREFUSED`. */
const systemCodeOf = (cause: Error): string | null => {
  const code = textOf(cause, "code");
  return code !== null && /^[A-Z][A-Z0-9_]+$/.test(code) ? code : null;
};

/** Constant words only: an address may hold a password. */
const connectionProblem = (cause: Error): string => {
  const code = systemCodeOf(cause);
  if (code !== null) return code === "ENOTFOUND" ? `${code}: no such host: ${LOOK}` : code;
  if (/timeout exceeded/i.test(cause.message)) return "no connection became free in time: raise poolSize, or look for long transactions";
  if (/read timeout|due to connection timeout/i.test(cause.message)) return "no answer in time";
  if (/clos|ended|end on the pool/i.test(cause.message)) return "closed";
  return "lost";
};
