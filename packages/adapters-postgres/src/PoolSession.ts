/**
 * Transactions on connections of the pool. A connection goes back when the last transaction on it has ended: another may be sent
 * behind the COMMIT of the first, and then begins without a round trip in between.
 */
import { Predicate } from "effect";
import pg from "pg";
import { type BeginRow, CLOCK, type PgSession } from "./PgDriver.ts";
import * as PgHandle from "./PgHandle.ts";
import * as PoolStatement from "./PoolStatement.ts";

/** Scripts are migrations, and those take their time: the longest that a timer can wait, 24 days. */
const SCRIPT_TIMEOUT_MS = 2 ** 31 - 1;

/** node-postgres takes a timeout for one query; its types do not know it. */
interface PatientQuery extends pg.QueryConfig {
  readonly query_timeout: number;
}

/** Begins a transaction; see `PgDriver.begin`. */
export const begin = async (pool: pg.Pool, first: string, until: "begun" | "sent"): Promise<PgSession> => {
  const lease = leaseOf(pool, await pool.connect());
  const { session, begun } = open(lease, first);
  if (until === "begun") {
    await begun.catch((cause: unknown) => {
      lease.release(true);
      throw cause;
    });
  }
  return session;
};

/** A connection of the pool while transactions are on it. */
interface Lease {
  readonly client: pg.PoolClient;
  /** For one more transaction; false, if the connection is wanted elsewhere, or broken. */
  readonly extend: () => boolean;
  /** For one less. After the last, the connection goes back to the pool, or is closed if it was broken for one of them. */
  readonly release: (isBroken: boolean) => void;
}

const leaseOf = (pool: pg.Pool, client: pg.PoolClient): Lease => {
  let users = 1;
  let isBad = false;
  return {
    client,
    extend: () => {
      if (isBad || pool.waitingCount > 0) return false;
      users += 1;
      return true;
    },
    // One that is lost fails for all that are on it. One that is only of no more use lets them finish: closed under a drain, it would
    // lose the shard in the middle of a publish.
    release: (isBroken) => {
      users -= 1;
      isBad ||= isBroken;
      if (users === 0) client.release(isBad);
    },
  };
};

const open = (lease: Lease, first: string): { readonly session: PgSession; readonly begun: Promise<void> } => {
  const { client } = lease;
  let facts: BeginRow | undefined;
  PoolStatement.gather(client);
  // One round trip: two statements in one simple query, which node-postgres answers with a list.
  const begun = client.query(`begin; ${first}`).then((results) => {
    facts = factsOf(results);
    if (facts === undefined) throw new Error("BEGIN has no answer");
  });
  // Whoever does not wait for it hears of it by the next statement.
  begun.catch(() => undefined);
  let isCommitting = false;
  let isEnded = false;
  let isReleased = false;
  let isUseless = false;
  const handle = PgHandle.guarded(client, () => isEnded);
  const release = (isBroken: boolean): void => {
    isCommitting = false;
    if (!isReleased) lease.release(isBroken || isUseless);
    isReleased = true;
  };
  const session: PgSession = {
    get now() {
      return facts?.now ?? 0;
    },
    native: { _tag: "Pool", client: handle.guarded },
    query: async (text, values) => {
      const answer = PoolStatement.run<never>(client, text, values).catch((cause: unknown) => {
        isUseless ||= cause instanceof pg.DatabaseError && PoolStatement.isSpent(cause);
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
      const refused = handle.refused();
      try {
        const ended = client.query(refused === null ? "commit" : "rollback");
        isCommitting = refused === null;
        const { command } = await ended;
        release(false);
        if (refused !== null) throw refused;
        return command === "ROLLBACK" ? "RolledBack" : "Committed";
      } catch (cause) {
        release(!PoolStatement.isStatementError(cause));
        throw cause;
      }
    },
    beginBehind: () => {
      if (!isCommitting || isUseless || !lease.extend()) return null;
      isCommitting = false;
      return open(lease, CLOCK).session;
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
  return { session, begun };
};

/** The row of the last of several answers. */
const factsOf = (results: unknown): BeginRow | undefined => {
  const answers: ReadonlyArray<unknown> = Array.isArray(results) ? results : [];
  const last = answers.at(-1);
  const rows: ReadonlyArray<unknown> = Predicate.hasProperty(last, "rows") && Array.isArray(last.rows) ? last.rows : [];
  return rows.find(isBeginRow);
};

const isBeginRow = (row: unknown): row is BeginRow => Predicate.hasProperty(row, "now") && typeof row.now === "number";
