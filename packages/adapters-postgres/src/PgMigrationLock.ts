/**
 * One process migrates a schema at a time, in one transaction: a failure, or the end of the process, leaves nothing.
 *
 * Whoever waits says after a while for whom: for another process that migrates, or for one that uses a table. A process that
 * was killed gives its lock back within seconds, also in the middle of a statement; one that is frozen, when the server ends
 * its transaction (`idleInTransactionTimeout`).
 */
import type { StoreError } from "@org/saga-core";
import { Duration, Effect, Exit } from "effect";
import { PgClient } from "./PgClient.ts";
import type { PgSession } from "./PgDriver.ts";
import * as PgError from "./PgError.ts";
import { PgMigrationError } from "./PgMigrationFiles.ts";
import * as PgMigrationSql from "./PgMigrationSql.ts";
import { begin } from "./PgUnitOfWork.ts";

type Client = PgClient["Service"];
type Failure = StoreError | PgMigrationError;

/** What a failure before the first migration is about. */
export const BOOTSTRAP = "saga_migrations";

/** How often a waiting process tries: not later than a person notices, and little work for the server. */
const TRY_EVERY = Duration.millis(200);
/** Above what migrations of small tables take. */
const TELL_AFTER = Duration.seconds(5);
/** How often the server looks whether the process that it works for is still there. */
const PRESENCE_CHECK = "2s";

/** Runs `body` in a transaction that holds the lock of the schema. */
export const exclusively = <A>(
  body: (session: PgSession, client: Client) => Effect.Effect<A, Failure>,
): Effect.Effect<A, Failure, PgClient> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const client = yield* PgClient;
      const session = yield* begin(client.driver, "PgMigrations", restore);
      const exit = yield* Effect.exit(
        Effect.gen(function* () {
          yield* script(session, BOOTSTRAP, PgMigrationSql.SETTINGS);
          yield* script(session, BOOTSTRAP, WATCH_PRESENCE);
          yield* restore(lock(session, client));
          return yield* telling(session, client, body(session, client));
        }),
      );
      if (Exit.isFailure(exit)) {
        yield* Effect.promise(() => session.rollback());
        return yield* exit;
      }
      yield* attempt("commit", () => session.commit());
      return exit.value;
    }),
  );

/** Servers on systems that cannot tell refuse the setting; there a killed process is noticed after its statement. */
const WATCH_PRESENCE = `do $$ begin
  perform set_config('client_connection_check_interval', '${PRESENCE_CHECK}', true);
exception when others then null; end $$`;

/** Tries in a session of its own, so it needs no second connection to tell whom it waits for, and can be interrupted. */
const lock = Effect.fnUntraced(function* (session: PgSession, client: Client): Effect.fn.Return<void, Failure> {
  const keys = PgMigrationSql.lockKeys(client);
  const waits = (holders: ReadonlyArray<BlockerRow>) => tell(client, "wait for another process that migrates it", holders);
  for (let waited = 0; ; waited += 1) {
    const { rows } = yield* statement<{ readonly got: boolean }>(
      session,
      BOOTSTRAP,
      "select pg_try_advisory_xact_lock($1::int, $2::int) as got",
      keys,
    );
    if (rows[0]?.got === true) return;
    if (waited % TRIES_A_TELLING === TRIES_A_TELLING - 1)
      yield* waits((yield* statement<BlockerRow>(session, BOOTSTRAP, HOLDERS, keys)).rows);
    yield* Effect.sleep(TRY_EVERY);
  }
});

const TRIES_A_TELLING = Duration.toMillis(TELL_AFTER) / Duration.toMillis(TRY_EVERY);

/** While `work` runs, a second connection looks from time to time what it waits for. A pool of one has none to spare. */
const telling = Effect.fnUntraced(function* <A>(
  session: PgSession,
  client: Client,
  work: Effect.Effect<A, Failure>,
): Effect.fn.Return<A, Failure> {
  if (client.driver.kind === "Pglite") return yield* work;
  const { rows } = yield* statement<{ readonly pid: number }>(session, BOOTSTRAP, "select pg_backend_pid() as pid");
  const look = Effect.gen(function* () {
    yield* Effect.sleep(TELL_AFTER);
    const found = yield* Effect.exit(Effect.tryPromise(() => client.driver.query<BlockerRow>(BLOCKERS, [rows[0]?.pid ?? 0])));
    if (Exit.isFailure(found)) return yield* Effect.logInfo(`migrations of ${nameOf(client)} are still running`);
    if (found.value.rows.length > 0) yield* tell(client, "wait for a process that uses a table", found.value.rows);
  });
  return yield* Effect.scoped(Effect.andThen(Effect.forkScoped(Effect.interruptible(Effect.forever(look))), work));
});

interface BlockerRow {
  readonly pid: number;
  readonly application: string;
  readonly state: string;
  /** Seconds in this state. */
  readonly seconds: number;
}

/** Another role's session may hide what it does; its process id is always seen. */
const COLUMNS = `a.pid, coalesce(nullif(a.application_name, ''), 'unnamed') as application, coalesce(a.state, 'unknown') as state,
  coalesce(floor(extract(epoch from clock_timestamp() - a.state_change)), 0)::float8 as seconds`;

/** A two-number advisory lock is known by its numbers as unsigned ones. */
const HOLDERS = `select ${COLUMNS} from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.objsubid = 2
  and l.database = (select oid from pg_database where datname = current_database())
  and l.classid = (($1::int::bigint + 4294967296) % 4294967296)::oid and l.objid = $2::int::oid`;

const BLOCKERS = `select ${COLUMNS} from pg_stat_activity a where a.pid = any (pg_blocking_pids($1::int))`;

const nameOf = (client: Client): string => `schema ${client.quoted}`;

const tell = (client: Client, what: string, rows: ReadonlyArray<BlockerRow>): Effect.Effect<void> => {
  const whom = rows.map((row) => `backend ${row.pid} of application "${row.application}", ${row.state} for ${row.seconds} s`).join("; ");
  const end = rows.map((row) => `select pg_terminate_backend(${row.pid})`).join("; ");
  return Effect.logWarning(`migrations of ${nameOf(client)} ${what}: ${whom}. If it hangs, this ends it: ${end}`);
};

export const script = (session: PgSession, migration: string, text: string): Effect.Effect<void, Failure> =>
  attempt(migration, () => session.script(text));

export const statement = <Row extends object>(
  session: PgSession,
  migration: string,
  text: string,
  values: ReadonlyArray<string | number> = [],
) => attempt(migration, () => session.query<Row>(text, values));

/** Retried is what may pass by itself. The server's text may be shown here: migrations have no values. */
const attempt = <A>(migration: string, run: () => Promise<A>): Effect.Effect<A, Failure> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => {
      const error = PgError.classify("PgMigrations.up", "statement", cause);
      // Missing rights or relations are retried elsewhere: here they are the migration's own fault.
      if (error.isRetryable && PgError.sqlstateOf(cause)?.startsWith("42") !== true) return error;
      const detail = cause instanceof Error ? cause.message : error.message;
      return new PgMigrationError({ problem: "Failed", migration, message: `migration ${migration}: ${detail}` });
    },
  });
