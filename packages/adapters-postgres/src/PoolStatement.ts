/** Statements on a connection of node-postgres: prepared once, sent together, and what their failures say about the connection. */
import { Writable } from "node:stream";
import { Predicate } from "effect";
import pg from "pg";
import type { PgResult, PgScalar, PgValue } from "./PgDriver.ts";
import * as PgText from "./PgText.ts";

export const run = async <Row extends object>(
  client: pg.PoolClient,
  text: string,
  values: ReadonlyArray<PgValue>,
): Promise<PgResult<Row>> => {
  const name = nameOf(text);
  const encoded = values.map((value) => (isList(value) ? arrayOf(value) : value));
  for (const value of encoded) PgText.checkUnicode(value);
  gather(client);
  const result = await client.query<Row>(name === null ? { text, values: encoded } : { name, text, values: encoded });
  return { rows: result.rows, count: result.rowCount ?? 0 };
};

const isList = (value: PgValue): value is ReadonlyArray<PgScalar> => Array.isArray(value);

/** An array in PostgreSQL's notation. node-postgres makes the same, in three times the time (measured). */
const arrayOf = (list: ReadonlyArray<PgScalar>): string => {
  let text = "";
  for (const value of list) {
    if (text !== "") text += ",";
    if (typeof value !== "string") text += value === null ? "NULL" : String(value);
    else text += QUOTED.test(value) ? `"${value.replaceAll(ESCAPED, "\\$&")}"` : `"${value}"`;
  }
  return `{${text}}`;
};

const QUOTED = /["\\]/;
const ESCAPED = /["\\]/g;

/**
 * Statements that begin in one tick leave in one write: a system call for each took a quarter of a batch's time (measured).
 * The stream is node-postgres' own, outside of its types; one that cannot be held back is left as it is.
 */
export const gather = (client: pg.PoolClient): void => {
  const connection: unknown = Predicate.hasProperty(client, "connection") ? client.connection : undefined;
  const stream: unknown = Predicate.hasProperty(connection, "stream") ? connection.stream : undefined;
  if (!(stream instanceof Writable) || stream.writableCorked > 0) return;
  stream.cork();
  process.nextTick(() => stream.uncork());
};

/** Statements that a connection keeps parsed: all of this package's, for several schemas. Beyond that, texts are parsed each time. */
const NAMED_MAX = 500;

const names = new Map<string, string>();

/** The same text has the same name on every connection, so that it is parsed once on each. */
const nameOf = (text: string): string | null => {
  const known = names.get(text);
  if (known !== undefined) return known;
  if (names.size >= NAMED_MAX) return null;
  const name = `saga_${names.size}`;
  names.set(text, name);
  return name;
};

/** The server answered that the statement failed, or it was not sent: the connection is well. */
export const isStatementError = (cause: unknown): boolean =>
  cause instanceof PgText.NotUnicode || (cause instanceof pg.DatabaseError && cause.severity === "ERROR" && !isSpent(cause));

/** The connection would answer the same again, so it is closed here. */
export const isSpent = ({ code }: pg.DatabaseError): boolean => code === READ_ONLY || code === STALE_PLAN || code === NO_PLAN;

/** The server takes no writes: it was failed over from. Its connections stay open; a new one may lead to the primary. */
const READ_ONLY = "25006";

/** A migration changed a column's type: the connection's prepared statements cannot be used any more. */
const STALE_PLAN = "0A000";

/** Its prepared statements are gone: `deallocate all`, or a pooler that lends one connection to several. */
const NO_PLAN = "26000";
