/**
 * Numbered migrations, plain SQL, up and down: those of this package, and after them those of users' own folders
 * (`PgMigrationFiles`). Adding one is adding two files (`saga migrate create`).
 *
 * - Run under a lock, all in one transaction: many processes may start at once, and a failure leaves nothing (`PgMigrationLock`).
 * - Recorded in `<schema>.saga_migrations` with a checksum: a migration that was applied is never edited. One that differs is refused.
 * - A migration in the database that this process does not know is a newer version's, or of a folder that was not named: it is
 *   left alone, so old and new processes can run side by side.
 */
import type { StoreError } from "@org/saga-core";
import { Duration, Effect, Layer, Schedule } from "effect";
import { PgClient } from "./PgClient.ts";
import type { PgSession } from "./PgDriver.ts";
import { isEmpty, isUsersOwn, loadAll, type Migration, type MigrationFolder, PgMigrationError } from "./PgMigrationFiles.ts";
import { BOOTSTRAP, exclusively, script, statement } from "./PgMigrationLock.ts";
import * as PgMigrationSql from "./PgMigrationSql.ts";
import * as PgStatements from "./PgStatements.ts";

export { create, load, type Migration, type MigrationFolder, PgMigrationError } from "./PgMigrationFiles.ts";

export interface MigrationOptions {
  /** Folders with migrations of your own. Applied after those of this package, in the order of their numbers. */
  readonly folders?: ReadonlyArray<MigrationFolder> | undefined;
}

export type MigrationState = "applied" | "pending" | "changed" | "unknown";

export interface MigrationStatus {
  readonly name: string;
  /** `changed`: applied with another text. `unknown`: applied by a newer version, or from a folder that was not named. */
  readonly state: MigrationState;
}

/** What would be done, and the SQL that does it: it runs as it is in psql. Empty where there is nothing to do. */
export interface MigrationPlan {
  /** In the order in which they are done. */
  readonly names: ReadonlyArray<string>;
  readonly sql: string;
}

type Failure = StoreError | PgMigrationError;

/** How often a start looks whether the server is there now. */
const WAIT_FOR_SERVER = Duration.seconds(1);

/** What may pass by itself: the server is not there yet, or somebody is in the way. */
const isPassing = (error: Failure): boolean => error._tag === "StoreError" && error.isRetryable;

/** Applies what is pending before anything above it is built. Waits for a server that is not there yet. */
export const layerWith = (options: MigrationOptions): Layer.Layer<never, Failure, PgClient> =>
  Layer.effectDiscard(
    Effect.suspend(() => up(options)).pipe(
      Effect.tapError((error) => (isPassing(error) ? Effect.logWarning(`migrations wait: ${error.message}`) : Effect.void)),
      Effect.retry({ while: isPassing, schedule: Schedule.spaced(WAIT_FOR_SERVER) }),
    ),
  );

/** The same without migrations of your own. */
export const layer: Layer.Layer<never, Failure, PgClient> = layerWith({});

/** Applies all pending migrations; their names. */
export const up: (options?: MigrationOptions) => Effect.Effect<ReadonlyArray<string>, Failure, PgClient> = Effect.fn("PgMigrations.up")(
  function* (options = {}) {
    const known = yield* knownIn(options);
    return yield* exclusively(
      Effect.fnUntraced(function* (session, client) {
        const applied = yield* appliedIn(session, client);
        const pending = yield* runnableOf(yield* pendingOf(known, applied));
        for (const migration of pending) {
          yield* script(session, migration.name, PgMigrationSql.inSchema(client, migration.up));
          yield* statement(session, migration.name, PgMigrationSql.record(client), [migration.name, migration.checksum]);
        }
        return pending.map((migration) => migration.name);
      }),
    );
  },
);

/** Takes the last `steps` applied migrations back, newest first; their names. Their tables are dropped with what is in them. */
export const down: (steps?: number, options?: MigrationOptions) => Effect.Effect<ReadonlyArray<string>, Failure, PgClient> = Effect.fn(
  "PgMigrations.down",
)(function* (steps = 1, options = {}) {
  const known = yield* knownIn(options);
  return yield* exclusively(
    Effect.fnUntraced(function* (session, client) {
      const applied = yield* appliedIn(session, client);
      const newest = yield* newestOf(known, applied, steps);
      for (const migration of newest) {
        yield* script(session, migration.name, PgMigrationSql.inSchema(client, migration.down));
        yield* statement(session, migration.name, PgMigrationSql.forget(client), [migration.name]);
      }
      return newest.map((migration) => migration.name);
    }),
  );
});

/** Every migration that this process or the database knows: the package's, then users' own, then unknown ones. */
export const status: (options?: MigrationOptions) => Effect.Effect<ReadonlyArray<MigrationStatus>, Failure, PgClient> = Effect.fn(
  "PgMigrations.status",
)(function* (options = {}) {
  const known = yield* knownIn(options);
  const { applied } = yield* appliedNow;
  const own = known.map((migration): MigrationStatus => ({ name: migration.name, state: stateOf(migration, applied) }));
  const names = new Set(known.map((migration) => migration.name));
  const others = [...applied.keys()].filter((name) => !names.has(name)).map((name): MigrationStatus => ({ name, state: "unknown" }));
  return [...own, ...others];
});

/** What `up` would do now. Changes nothing. */
export const plan: (options?: MigrationOptions) => Effect.Effect<MigrationPlan, Failure, PgClient> = Effect.fn("PgMigrations.plan")(
  function* (options = {}) {
    const client = yield* PgClient;
    const known = yield* knownIn(options);
    const { applied, hasSchema } = yield* appliedNow;
    const pending = yield* runnableOf(yield* pendingOf(known, applied));
    return { names: pending.map((migration) => migration.name), sql: PgMigrationSql.upScript(client, pending, hasSchema) };
  },
);

/** What `down` would do now. Changes nothing. */
export const planDown: (steps?: number, options?: MigrationOptions) => Effect.Effect<MigrationPlan, Failure, PgClient> = Effect.fn(
  "PgMigrations.planDown",
)(function* (steps = 1, options = {}) {
  const client = yield* PgClient;
  const { applied } = yield* appliedNow;
  const newest = yield* newestOf(yield* knownIn(options), applied, steps);
  return { names: newest.map((migration) => migration.name), sql: PgMigrationSql.downScript(client, newest) };
});

const knownIn = (options: MigrationOptions) => loadAll(options.folders ?? []);

/** Checksums by name, in the order in which they were applied. */
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

/** Once applied, a template could not be filled in any more. */
const runnableOf = (pending: ReadonlyArray<Migration>): Effect.Effect<ReadonlyArray<Migration>, PgMigrationError> => {
  const empty = pending.find(isEmpty)?.name;
  if (empty === undefined) return wholeOf(pending, "up");
  return refuse("Empty", empty, `there is no statement in ${fileOf(empty, "up")}: fill it in, or remove it`);
};

/** A transaction that one of them ended would leave the ones before it applied, and the lock free, whatever comes after. */
const wholeOf = (migrations: ReadonlyArray<Migration>, way: "up" | "down"): Effect.Effect<ReadonlyArray<Migration>, PgMigrationError> => {
  for (const migration of migrations) {
    const ending = PgStatements.endsTransaction(migration[way]);
    if (ending === null) continue;
    const why = `a statement in ${fileOf(migration.name, way)} is a ${ending}: all that is pending is one transaction, and a failure leaves nothing. Take the statement out`;
    return refuse("EndsTransaction", migration.name, why);
  }
  return Effect.succeed(migrations);
};

const fileOf = (name: string, way: "up" | "down"): string => `${name.slice(name.indexOf("/") + 1)}.${way}.sql`;

/** The last `steps` that were applied, newest first. */
const newestOf = Effect.fnUntraced(function* (
  known: ReadonlyArray<Migration>,
  applied: Applied,
  steps: number,
): Effect.fn.Return<ReadonlyArray<Migration>, PgMigrationError> {
  yield* pendingOf(known, applied);
  const byName = new Map(known.map((migration) => [migration.name, migration]));
  const names = [...applied.keys()].toReversed().slice(0, Math.max(steps, 0));
  const newest = yield* Effect.forEach(names, (name) => {
    const migration = byName.get(name);
    if (migration !== undefined) return Effect.succeed(migration);
    return refuse(
      "Unknown",
      name,
      isUsersOwn(name)
        ? "it is one of your own: name its folder (--dir on the command line) to take it back"
        : "it was applied by a newer version of this package, which knows how to take it back",
    );
  });
  return yield* wholeOf(newest, "down");
});

const refuse = (problem: PgMigrationError["problem"], migration: string, why: string): Effect.Effect<never, PgMigrationError> =>
  Effect.fail(new PgMigrationError({ problem, migration, message: `migration ${migration}: ${why}` }));

interface AppliedRow {
  readonly name: string;
  readonly checksum: string;
}

const appliedOf = (rows: ReadonlyArray<AppliedRow>): Applied => new Map(rows.map((row) => [row.name, row.checksum]));

const OPERATION = "PgMigrations.status";

const PLACES = "select to_regnamespace($1) is not null as has_schema, to_regclass($2) is not null as has_table";

interface PlacesRow {
  readonly has_schema: boolean;
  readonly has_table: boolean;
}

const placesOf = (client: PgClient["Service"]): ReadonlyArray<string> => [client.quoted, PgMigrationSql.table(client)];

/** What is applied, as seen from outside. Nothing, where there is no schema yet. */
const appliedNow = Effect.gen(function* () {
  const client = yield* PgClient;
  const found = yield* client.query<PlacesRow>(OPERATION, PLACES, placesOf(client));
  const hasSchema = found.rows[0]?.has_schema === true;
  if (found.rows[0]?.has_table !== true) return { hasSchema, applied: appliedOf([]) };
  const { rows } = yield* client.query<AppliedRow>(OPERATION, PgMigrationSql.readApplied(client));
  return { hasSchema, applied: appliedOf(rows) };
});

/** The same inside the transaction; makes schema and table where they are missing. */
const appliedIn = Effect.fnUntraced(function* (session: PgSession, client: PgClient["Service"]): Effect.fn.Return<Applied, Failure> {
  // `if not exists` alone would need the right to create them even where they are: a service may have none.
  const { rows: found } = yield* statement<PlacesRow>(session, BOOTSTRAP, PLACES, placesOf(client));
  if (found[0]?.has_schema !== true) yield* script(session, BOOTSTRAP, PgMigrationSql.createSchema(client));
  if (found[0]?.has_table !== true) yield* script(session, BOOTSTRAP, PgMigrationSql.createTable(client));
  const { rows } = yield* statement<AppliedRow>(session, BOOTSTRAP, PgMigrationSql.readApplied(client));
  return appliedOf(rows);
});
