/**
 * `PgDriver` on a node-postgres pool. A connection whose state is not certain (lost, timed out, could not roll back) is
 * closed, never reused.
 */
import { Duration, Redacted } from "effect";
import pg from "pg";
import type { PgDriver } from "./PgDriver.ts";
import type { PgConfig } from "./PgConfig.ts";
import * as PgListener from "./PgListener.ts";
import * as PoolSession from "./PoolSession.ts";
import * as PoolStatement from "./PoolStatement.ts";

export interface PoolDriver extends PgDriver {
  readonly pool: pg.Pool;
  readonly close: () => Promise<void>;
}

/** The client gives up this much later than the server should have: then the server or the network is gone. */
const CLIENT_GRACE_MS = 3_000;

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
      return onceOn(client, () => PoolStatement.run(client, text, values));
    },
    queryInLine: lineOf(pool),
    begin: (first, until = "begun") => PoolSession.begin(pool, first, until),
    notify: async (channel) => {
      if (pool.waitingCount > 0 || (pool.idleCount === 0 && pool.totalCount >= config.poolSize)) return false;
      const client = await pool.connect();
      await onceOn(client, () => PoolStatement.run(client, NOTIFY, [channel]));
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

/** Runs and gives the connection back, or closes it. */
const onceOn = async <A>(client: pg.PoolClient, use: () => Promise<A>): Promise<A> => {
  try {
    const answer = await use();
    client.release();
    return answer;
  } catch (cause) {
    client.release(!PoolStatement.isStatementError(cause));
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
      return await PoolStatement.run(await mine.client, text, values);
    } catch (cause) {
      if (!PoolStatement.isStatementError(cause)) {
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
