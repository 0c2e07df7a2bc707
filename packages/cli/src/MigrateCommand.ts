/**
 * `saga migrate`: brings the schemas of services to what this version of the library needs, and then to what the migrations in
 * `--dir` say; takes them back, or tells where they stand. Each schema is one transaction; they are done one after the other,
 * and the first that fails ends the command.
 */
import type { StoreError } from "@org/saga-core";
import { type PgClient, PgMigrations } from "@org/saga-postgres";
import { Effect } from "effect";
import { Argument, Command, Flag } from "effect/cli";
import * as CliFailure from "./CliFailure.ts";
import * as Databases from "./Databases.ts";
import * as Flags from "./Flags.ts";
import * as Output from "./Output.ts";

/** One migration is the smallest thing to take back, and the one that is meant most often. */
const STEPS_DEFAULT = 1;

/** Where `create` puts files if it is not told. */
const FOLDER_DEFAULT = "migrations";

const selection = { schemas: Flags.schemas, folders: Flags.folders, json: Flags.json };

const up = Command.make("up", { ...selection, dryRun: Flags.dryRun }, (flags) => (flags.dryRun ? plan(flags) : apply(flags))).pipe(
  Command.withDescription("Apply all pending migrations. With --dry-run, print the SQL instead"),
);

const down = Command.make(
  "down",
  {
    ...selection,
    steps: Flag.Int("steps").pipe(
      Flag.withDescription("How many migrations to take back"),
      Flag.withDefault(STEPS_DEFAULT),
      Flag.filter(
        (steps) => steps > 0,
        () => "must be at least 1",
      ),
    ),
    yes: Flag.Boolean("yes").pipe(Flag.withDescription("Do it: tables are dropped with what is in them"), Flag.withDefault(false)),
    dryRun: Flags.dryRun,
  },
  (flags) => takeBack(flags),
).pipe(
  Command.withDescription(
    "Take the last migrations back. Their tables are dropped with what is in them. With --dry-run, print the SQL instead",
  ),
);

const status = Command.make("status", selection, (flags) => report(flags)).pipe(
  Command.withDescription("Show which migrations are applied. Exit code 3: some are not, or were changed"),
);

const create = Command.make(
  "create",
  {
    name: Argument.String("name").pipe(Argument.withDescription("What it does: lower-case letters, digits and _, e.g. add_customers")),
    folder: Flag.String("dir").pipe(
      Flag.withDescription(`Folder of your migrations. Default: "${FOLDER_DEFAULT}"`),
      Flag.withMetavar("folder"),
      Flag.withDefault(FOLDER_DEFAULT),
    ),
    json: Flags.json,
  },
  (flags) => write(flags),
).pipe(Command.withDescription("Make the files of your next migration: NNNN_name.up.sql and NNNN_name.down.sql"));

export const command = Command.make("migrate").pipe(
  Command.withDescription("Apply, take back, list or write the migrations of a PostgreSQL schema"),
  Command.withSubcommands([up, down, status, create]),
);

interface Selection {
  readonly schemas: ReadonlyArray<string>;
  readonly folders: ReadonlyArray<string>;
  readonly json: boolean;
}

const apply = Effect.fn("Migrate.up")(function* ({ schemas, folders, json }: Selection) {
  const done = yield* forEachSchema(schemas, PgMigrations.up({ folders }));
  yield* Output.data(
    json,
    done.map(({ schema, found }) => ({ schema, applied: found })),
    lines(done, "up to date"),
  );
});

const plan = Effect.fn("Migrate.plan")(function* ({ schemas, folders, json }: Selection) {
  const plans = yield* forEachSchema(schemas, PgMigrations.plan({ folders }));
  yield* Output.data(
    json,
    plans.map(({ schema, found }) => ({ schema, pending: found.names, sql: found.sql })),
    scripts(plans, "up to date"),
  );
});

const takeBack = Effect.fn("Migrate.down")(function* (
  flags: Selection & { readonly steps: number; readonly yes: boolean; readonly dryRun: boolean },
) {
  const { schemas, folders, json, steps, yes, dryRun } = flags;
  if (dryRun) {
    const plans = yield* forEachSchema(schemas, PgMigrations.planDown(steps, { folders }));
    return yield* Output.data(
      json,
      plans.map(({ schema, found }) => ({ schema, wouldTakeBack: found.names, sql: found.sql })),
      scripts(plans, "nothing is applied"),
    );
  }
  if (!yes)
    return yield* CliFailure.usage("taking a migration back drops its tables with what is in them: look with --dry-run, then say --yes");
  const done = yield* forEachSchema(schemas, PgMigrations.down(steps, { folders }));
  return yield* Output.data(
    json,
    done.map(({ schema, found }) => ({ schema, takenBack: found })),
    lines(done, "nothing is applied"),
  );
});

const report = Effect.fn("Migrate.status")(function* ({ schemas, folders, json }: Selection) {
  const found = yield* forEachSchema(schemas, PgMigrations.status({ folders }));
  const rows = found.flatMap(({ schema, found: states }) => states.map(({ name, state }) => [schema, name, state]));
  yield* Output.data(
    json,
    found.map(({ schema, found: migrations }) => ({ schema, migrations })),
    Output.table(["SCHEMA", "MIGRATION", "STATE"], rows),
  );
  const behind = found.filter(({ found: states }) => named(states, "pending", "changed").length > 0).map(({ schema }) => schema);
  if (behind.length > 0) return yield* CliFailure.findings(`not up to date: ${behind.join(", ")}`);
});

const write = Effect.fn("Migrate.create")(function* (flags: { readonly name: string; readonly folder: string; readonly json: boolean }) {
  const made = yield* PgMigrations.create(flags.folder, flags.name).pipe(
    Effect.mapError((error) => (error.problem === "Misnamed" ? CliFailure.usage(error.message) : CliFailure.failed(error.message))),
  );
  yield* Output.data(flags.json, made, made.files.join("\n"));
});

const named = (
  states: ReadonlyArray<PgMigrations.MigrationStatus>,
  ...wanted: ReadonlyArray<PgMigrations.MigrationState>
): ReadonlyArray<string> => states.filter(({ state }) => wanted.includes(state)).map(({ name }) => name);

const lines = (done: ReadonlyArray<{ readonly schema: string; readonly found: ReadonlyArray<string> }>, none: string): string =>
  done.map(({ schema, found }) => `${schema}: ${found.length === 0 ? none : found.join(", ")}`).join("\n");

/** What psql runs, one schema after the other. */
const scripts = (plans: ReadonlyArray<{ readonly schema: string; readonly found: PgMigrations.MigrationPlan }>, none: string): string =>
  plans.map(({ schema, found }) => `-- schema ${schema}\n${found.sql === "" ? `-- ${none}` : found.sql}`).join("\n");

/** One after the other: migrations wait for each other's locks anyway. */
const forEachSchema = Effect.fnUntraced(function* <A>(
  flags: ReadonlyArray<string>,
  body: Effect.Effect<A, StoreError | PgMigrations.PgMigrationError, PgClient.PgClient>,
) {
  return yield* Effect.forEach(yield* Databases.chosen(flags), (schema) =>
    Effect.map(Databases.within(schema, body), (found) => ({ schema, found })),
  );
});
