/**
 * Numbered migrations, plain SQL, up and down, from the folder `migrations/` of this package. Adding one is adding
 * `<number>_<name>.up.sql` and `.down.sql`.
 *
 * - Run under an advisory lock, all in one transaction: many processes may start at once, and a failure leaves nothing.
 * - Recorded in `<schema>.saga_migrations` with a checksum: a migration that was applied is never edited. One that differs is refused.
 * - A migration in the database that this package does not know is a newer version's: it is left alone, so old and new
 *   processes can run side by side.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { Shard, StoreError } from "@org/saga-core";
import { Duration, Effect, Exit, Layer, Schedule, Schema } from "effect";
import { PgClient } from "./PgClient.ts";
import type { PgSession } from "./PgDriver.ts";
import * as PgError from "./PgError.ts";
import { begin } from "./PgUnitOfWork.ts";

export interface Migration {
  /** `0001_initial` */
  readonly name: string;
  /** SQL, with `:"schema"` for the schema. */
  readonly up: string;
  readonly down: string;
  /** SHA-256 of `up`. */
  readonly checksum: string;
}

export type MigrationState = "applied" | "pending" | "changed" | "unknown";

export interface MigrationStatus {
  readonly name: string;
  /** `changed`: applied with another text. `unknown`: applied by a newer version. */
  readonly state: MigrationState;
}

export class PgMigrationError extends Schema.TaggedError<PgMigrationError>()("PgMigrationError", {
  problem: Schema.Literals(["Changed", "Unknown", "Unreadable", "Failed"]),
  migration: Schema.String,
  message: Schema.String,
}) {}

type Failure = StoreError | PgMigrationError;

/** How often a start looks whether the server is there now. */
const WAIT_FOR_SERVER = Duration.seconds(1);

/** What may pass by itself: the server is not there yet, or somebody is in the way. */
const isPassing = (error: Failure): boolean => error._tag === "StoreError" && error.isRetryable;

/** Applies what is pending before anything above it is built. Waits for a server that is not there yet. */
export const layer: Layer.Layer<never, Failure, PgClient> = Layer.effectDiscard(
  Effect.suspend(() => up()).pipe(
    Effect.tapError((error) => (isPassing(error) ? Effect.logWarning(`migrations wait: ${error.message}`) : Effect.void)),
    Effect.retry({ while: isPassing, schedule: Schedule.spaced(WAIT_FOR_SERVER) }),
  ),
);

/** Applies all pending migrations; their names. */
export const up: () => Effect.Effect<ReadonlyArray<string>, Failure, PgClient> = Effect.fn("PgMigrations.up")(function* () {
  const known = yield* load;
  return yield* exclusively(
    Effect.fnUntraced(function* (session, client) {
      const applied = yield* appliedIn(session, client);
      const pending = yield* pendingOf(known, applied);
      for (const migration of pending) {
        yield* script(session, migration.name, inSchema(client, migration.up));
        yield* statement(session, migration.name, `insert into ${tableOf(client)} (name, checksum) values ($1, $2)`, [
          migration.name,
          migration.checksum,
        ]);
      }
      return pending.map((migration) => migration.name);
    }),
  );
});

/** Takes the last `steps` applied migrations back, newest first; their names. Their tables are dropped with what is in them. */
export const down: (steps?: number) => Effect.Effect<ReadonlyArray<string>, Failure, PgClient> = Effect.fn("PgMigrations.down")(function* (
  steps = 1,
) {
  const known = yield* load;
  return yield* exclusively(
    Effect.fnUntraced(function* (session, client) {
      const applied = yield* appliedIn(session, client);
      yield* pendingOf(known, applied);
      const names = [...applied.keys()].toReversed().slice(0, Math.max(steps, 0));
      for (const name of names) {
        const migration = known.find((candidate) => candidate.name === name);
        if (migration === undefined) {
          return yield* refuse("Unknown", name, "it was applied by a newer version of this package, which knows how to take it back");
        }
        yield* script(session, name, inSchema(client, migration.down));
        yield* statement(session, name, `delete from ${tableOf(client)} where name = $1`, [name]);
      }
      return names;
    }),
  );
});

/** Every migration that the package or the database knows, in order. */
export const status: Effect.Effect<ReadonlyArray<MigrationStatus>, Failure, PgClient> = Effect.gen(function* () {
  const known = yield* load;
  const applied = yield* appliedNow;
  const own = known.map((migration): MigrationStatus => ({ name: migration.name, state: stateOf(migration, applied) }));
  const names = new Set(known.map((migration) => migration.name));
  const others = [...applied.keys()].filter((name) => !names.has(name)).map((name): MigrationStatus => ({ name, state: "unknown" }));
  return [...own, ...others].toSorted((left, right) => (left.name < right.name ? -1 : 1));
});

/** The SQL that `up` would run now. Changes nothing. */
export const plan: Effect.Effect<string, Failure, PgClient> = Effect.gen(function* () {
  const client = yield* PgClient;
  const pending = yield* pendingOf(yield* load, yield* appliedNow);
  return pending.map((migration) => `-- ${migration.name}\n${inSchema(client, migration.up)}`).join("\n");
});

const FOLDER = new URL("../migrations/", import.meta.url);
const UP = /^(\d{4}_[a-z0-9_]+)\.up\.sql$/;

/** All migrations of this package, in order. The same path from the source and from the built package. */
export const load: Effect.Effect<ReadonlyArray<Migration>, PgMigrationError> = Effect.tryPromise({
  try: async () => {
    const names = (await readdir(FOLDER)).flatMap((file) => UP.exec(file)?.[1] ?? []).toSorted();
    return Promise.all(
      names.map(async (name): Promise<Migration> => {
        const text = (way: "up" | "down") => readFile(new URL(`${name}.${way}.sql`, FOLDER), "utf8");
        const [upText, downText] = await Promise.all([text("up"), text("down")]);
        // A checkout with other line ends is the same migration.
        const checksum = createHash("sha256").update(upText.replaceAll("\r\n", "\n")).digest("hex");
        return { name, up: upText, down: downText, checksum };
      }),
    );
  },
  catch: () =>
    new PgMigrationError({ problem: "Unreadable", migration: "", message: "the folder migrations/ of @org/saga-postgres cannot be read" }),
});

const tableOf = (client: PgClient["Service"]): string => `${client.tables}saga_migrations`;

/** Schema and prefix put in: tables carry the prefix, and so do indexes, whose names belong to the schema as well. */
const inSchema = (client: PgClient["Service"], sql: string): string =>
  sql
    .replaceAll(/\b(create (?:unique )?index) (?=[a-z])/g, `$1 ${client.prefix}`)
    .replaceAll(':"schema".', client.tables)
    .replaceAll(':"schema"', client.quoted);

type Applied = ReadonlyMap<string, string>;

const stateOf = (migration: Migration, applied: Applied): MigrationState => {
  const checksum = applied.get(migration.name);
  if (checksum === undefined) return "pending";
  return checksum === migration.checksum ? "applied" : "changed";
};

const pendingOf = Effect.fnUntraced(function* (
  known: ReadonlyArray<Migration>,
  applied: Applied,
): Effect.fn.Return<ReadonlyArray<Migration>, PgMigrationError> {
  const changed = known.find((migration) => stateOf(migration, applied) === "changed");
  if (changed !== undefined) {
    return yield* refuse("Changed", changed.name, "its text is not the one that was applied; migrations are immutable: add a new one");
  }
  return known.filter((migration) => stateOf(migration, applied) === "pending");
});

const refuse = (problem: PgMigrationError["problem"], migration: string, why: string): Effect.Effect<never, PgMigrationError> =>
  Effect.fail(new PgMigrationError({ problem, migration, message: `migration ${migration}: ${why}` }));

interface AppliedRow {
  readonly name: string;
  readonly checksum: string;
}

const readApplied = (client: PgClient["Service"]): string => `select name, checksum from ${tableOf(client)} order by name`;

/** What is applied, as seen from outside. Nothing, where there is no schema yet. */
const appliedNow: Effect.Effect<Applied, StoreError, PgClient> = Effect.gen(function* () {
  const client = yield* PgClient;
  const exists = yield* client.query<{ readonly exists: boolean }>("PgMigrations.status", "select to_regclass($1) is not null as exists", [
    tableOf(client),
  ]);
  if (exists.rows[0]?.exists !== true) return new Map();
  const { rows } = yield* client.query<AppliedRow>("PgMigrations.status", readApplied(client));
  return new Map(rows.map((row) => [row.name, row.checksum]));
});

const BOOTSTRAP = "saga_migrations";

/** The same inside the transaction; makes schema and table where they are missing. */
const appliedIn = Effect.fnUntraced(function* (session: PgSession, client: PgClient["Service"]): Effect.fn.Return<Applied, Failure> {
  // `if not exists` alone would need the right to create schemas even where there is one.
  const schema = yield* statement<{ readonly exists: boolean }>(session, BOOTSTRAP, "select to_regnamespace($1) is not null as exists", [
    client.quoted,
  ]);
  if (schema.rows[0]?.exists !== true) yield* script(session, BOOTSTRAP, `create schema ${client.quoted}`);
  yield* script(
    session,
    BOOTSTRAP,
    `create table if not exists ${tableOf(client)} (name text primary key, checksum text not null, applied_at timestamptz not null default now())`,
  );
  const { rows } = yield* statement<AppliedRow>(session, BOOTSTRAP, readApplied(client));
  return new Map(rows.map((row) => [row.name, row.checksum]));
});

/** One process at a time, one transaction. */
const exclusively = <A>(
  body: (session: PgSession, client: PgClient["Service"]) => Effect.Effect<A, Failure>,
): Effect.Effect<A, Failure, PgClient> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const client = yield* PgClient;
      const session = yield* begin(client.driver, "PgMigrations", restore);
      const exit = yield* Effect.exit(
        Effect.gen(function* () {
          // Another process may take its time, and so may a migration.
          yield* script(
            session,
            BOOTSTRAP,
            "set local lock_timeout = 0; set local statement_timeout = 0; set local client_min_messages = warning",
          );
          yield* statement(session, BOOTSTRAP, "select pg_advisory_xact_lock($1::int, 0)", [
            Shard.fnv1a(`saga-migrations:${client.schema}`) | 0,
          ]);
          return yield* body(session, client);
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

const script = (session: PgSession, migration: string, text: string): Effect.Effect<void, Failure> =>
  attempt(migration, () => session.script(text));

const statement = <Row extends object>(session: PgSession, migration: string, text: string, values: ReadonlyArray<string | number> = []) =>
  attempt(migration, () => session.query<Row>(text, values));

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
