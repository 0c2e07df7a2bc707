/**
 * `PgDriver` on a node-postgres pool. A connection whose state is not certain (lost, timed out, could not roll back) is
 * closed, never reused.
 */
import { Writable } from "node:stream";
import { Duration, Predicate, Redacted } from "effect";
import pg from "pg";
import type { BeginRow, PgDriver, PgResult, PgScalar, PgSession, PgValue } from "./PgDriver.ts";
import type { PgConfig } from "./PgConfig.ts";
import * as PgHandle from "./PgHandle.ts";
import * as PgListener from "./PgListener.ts";
import * as PgText from "./PgText.ts";

export interface PoolDriver extends PgDriver {
  readonly pool: pg.Pool;
  readonly close: () => Promise<void>;
}

/** The client gives up this much later than the server should have: then the server or the network is gone. */
const CLIENT_GRACE_MS = 3_000;
/** Scripts are migrations, and those take their time: the longest that a timer can wait, 24 days. */
const SCRIPT_TIMEOUT_MS = 2 ** 31 - 1;

/** node-postgres takes a timeout for one query; its types do not know it. */
interface PatientQuery extends pg.QueryConfig {
  readonly query_timeout: number;
}

/** Connects lazily: a server that is not there yet is met by the first statement. */
export const make = (config: PgConfig): PoolDriver => {
  const pool = new pg.Pool({
    connectionString: Redacted.value(config.url),
    application_name: config.applicationName,
    max: config.poolSize,
    // Statements of one transaction that do not wait for each other share a round trip. COMMIT then says whether they all held.
    pipeline: true,
    connectionTimeoutMillis: Duration.toMillis(config.connectTimeout),
    query_timeout: Duration.toMillis(config.statementTimeout) + CLIENT_GRACE_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: Duration.toMillis(config.keepAlive),
    onConnect: configure(config),
  });
  // A connection that breaks while nobody waits for it: the next statement on it, or the next connection, tells.
  pool.on("error", () => undefined);
  pool.on("connect", (client) => client.on("error", () => undefined));
  return {
    kind: "Pool",
    pool,
    ownedShards: new Set(),
    settleTimeout: config.settleTimeout,
    query: async (text, values) => {
      const client = await pool.connect();
      return onceOn(client, () => run(client, text, values));
    },
    queryInLine: lineOf(pool),
    begin: async (first, until = "begun") => {
      const client = await pool.connect();
      return begin(client, first, until);
    },
    notify: async (channel) => {
      if (pool.waitingCount > 0 || (pool.idleCount === 0 && pool.totalCount >= config.poolSize)) return false;
      const client = await pool.connect();
      await onceOn(client, () => run(client, NOTIFY, [channel]));
      return true;
    },
    listen: (channel, onNotify) => PgListener.listen(config, channel, onNotify),
    close: () => pool.end(),
  };
};

/** A commit of its own, which waits for no disk: there is nothing to lose in it. */
const NOTIFY = "select set_config('synchronous_commit', 'off', true), pg_notify($1, '')";

/** The pool awaits what this returns, though its type says `void`. */
const configure =
  (config: PgConfig) =>
  (client: pg.ClientBase): unknown =>
    client.query(settingsOf(config));

/**
 * - Every statement here finds its rows by an index. A plan that was made while a table was small would scan it, and be cached;
 *   made anew each time, plans cost a tenth of the rate in batches of 64, and a third in batches of 8 (measured).
 * - A scan that cannot be avoided, in users' SQL, is so dear by that setting that it would be compiled first: 40 ms (measured).
 * - Lists travel as arrays in text: where a role or a database says otherwise, a NULL in them would be a word.
 * - The statements rely on the lock semantics of READ COMMITTED: a statement sees what was committed before it began.
 */
const settingsOf = (config: PgConfig): string =>
  [
    "set enable_seqscan = off",
    "set jit = off",
    "set array_nulls = on",
    "set default_transaction_isolation = 'read committed'",
    `set statement_timeout = ${Duration.toMillis(config.statementTimeout)}`,
    `set lock_timeout = ${Duration.toMillis(config.lockTimeout)}`,
    `set idle_in_transaction_session_timeout = ${Duration.toMillis(config.idleInTransactionTimeout)}`,
  ].join("; ");

const run = async <Row extends object>(client: pg.PoolClient, text: string, values: ReadonlyArray<PgValue>): Promise<PgResult<Row>> => {
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
const gather = (client: pg.PoolClient): void => {
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

/** Runs and gives the connection back, or closes it. */
const onceOn = async <A>(client: pg.PoolClient, use: () => Promise<A>): Promise<A> => {
  try {
    const answer = await use();
    client.release();
    return answer;
  } catch (cause) {
    client.release(!isStatementError(cause));
    throw cause;
  }
};

/** A connection while statements are in line for it; then it goes back. One that broke is left to those who are on it. */
const lineOf = (pool: pg.Pool): PgDriver["queryInLine"] => {
  let line: { readonly client: Promise<pg.PoolClient>; users: number; isBroken: boolean } | null = null;
  return async (text, values) => {
    const mine = (line ??= { client: pool.connect(), users: 0, isBroken: false });
    mine.users += 1;
    try {
      return await run(await mine.client, text, values);
    } catch (cause) {
      if (!isStatementError(cause)) {
        mine.isBroken = true;
        if (line === mine) line = null;
      }
      throw cause;
    } finally {
      mine.users -= 1;
      if (mine.users === 0) {
        if (line === mine) line = null;
        // Without a connection there is nothing to give back.
        void mine.client.then(
          (client) => client.release(mine.isBroken),
          () => undefined,
        );
      }
    }
  };
};

const begin = async (client: pg.PoolClient, first: string, until: "begun" | "sent"): Promise<PgSession> => {
  let facts: BeginRow | undefined;
  gather(client);
  // One round trip: two statements in one simple query, which node-postgres answers with a list.
  const begun = client.query(`begin; ${first}`).then((results) => {
    facts = factsOf(results);
    if (facts === undefined) throw new Error("BEGIN has no answer");
  });
  // Whoever did not wait for it hears of it by the next statement.
  if (until === "sent") begun.catch(() => undefined);
  else {
    await begun.catch((cause: unknown) => {
      client.release(true);
      throw cause;
    });
  }
  let isEnded = false;
  let isReleased = false;
  let isUseless = false;
  const handle = PgHandle.guarded(client, () => isEnded);
  const release = (isBroken: boolean): void => {
    if (!isReleased) client.release(isBroken || isUseless);
    isReleased = true;
  };
  return {
    get now() {
      return facts?.now ?? 0;
    },
    native: { _tag: "Pool", client: handle.guarded },
    query: async (text, values) => {
      const answer = run<never>(client, text, values).catch((cause: unknown) => {
        isUseless ||= cause instanceof pg.DatabaseError && isSpent(cause);
        throw cause;
      });
      if (facts === undefined) await Promise.all([begun, answer]);
      return answer;
    },
    script: async (text) => {
      const script: PatientQuery = { text, query_timeout: SCRIPT_TIMEOUT_MS };
      await client.query(script);
    },
    commit: async () => {
      isEnded = true;
      try {
        const refused = handle.refused();
        const { command } = await client.query(refused === null ? "commit" : "rollback");
        release(false);
        if (refused !== null) throw refused;
        return command === "ROLLBACK" ? "RolledBack" : "Committed";
      } catch (cause) {
        release(true);
        throw cause;
      }
    },
    rollback: async () => {
      isEnded = true;
      try {
        await client.query("rollback");
        release(false);
      } catch {
        release(true);
      }
    },
  };
};

/** The row of the last of several answers. */
const factsOf = (results: unknown): BeginRow | undefined => {
  const answers: ReadonlyArray<unknown> = Array.isArray(results) ? results : [];
  const last = answers.at(-1);
  const rows: ReadonlyArray<unknown> = Predicate.hasProperty(last, "rows") && Array.isArray(last.rows) ? last.rows : [];
  return rows.find(isBeginRow);
};

const isBeginRow = (row: unknown): row is BeginRow => Predicate.hasProperty(row, "now") && typeof row.now === "number";

/** The server answered that the statement failed, or it was not sent: the connection is well. */
const isStatementError = (cause: unknown): boolean =>
  cause instanceof PgText.NotUnicode || (cause instanceof pg.DatabaseError && cause.severity === "ERROR" && !isSpent(cause));

/** The connection would answer the same again, so it is closed here. */
const isSpent = ({ code }: pg.DatabaseError): boolean => code === READ_ONLY || code === STALE_PLAN || code === NO_PLAN;

/** The server takes no writes: it was failed over from. Its connections stay open; a new one may lead to the primary. */
const READ_ONLY = "25006";

/** A migration changed a column's type: the connection's prepared statements cannot be used any more. */
const STALE_PLAN = "0A000";

/** Its prepared statements are gone: `deallocate all`, or a pooler that lends one connection to several. */
const NO_PLAN = "26000";
