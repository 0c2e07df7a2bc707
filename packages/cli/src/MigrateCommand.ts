/**
 * `saga migrate`: brings the schemas of services to what this version of the library needs, takes them back, or tells where
 * they stand. Each schema is one transaction; they are done one after the other, and the first that fails ends the command.
 */
import type { StoreError } from "@org/saga-core";
import { type PgClient, PgMigrations } from "@org/saga-postgres";
import { Effect } from "effect";
import { Command, Flag } from "effect/cli";
import * as CliFailure from "./CliFailure.ts";
import * as Databases from "./Databases.ts";
import * as Flags from "./Flags.ts";
import * as Output from "./Output.ts";

/** One migration is the smallest thing to take back, and the one that is meant most often. */
const STEPS_DEFAULT = 1;

const up = Command.make("up", { schemas: Flags.schemas, dryRun: Flags.dryRun, json: Flags.json }, (flags) =>
  flags.dryRun ? plan(flags) : apply(flags),
).pipe(Command.withDescription("Apply all pending migrations. With --dry-run, print the SQL instead"));

const down = Command.make(
  "down",
  {
    schemas: Flags.schemas,
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
    json: Flags.json,
  },
  (flags) => takeBack(flags),
).pipe(Command.withDescription("Take the last migrations back. Their tables are dropped with what is in them"));

const status = Command.make("status", { schemas: Flags.schemas, json: Flags.json }, (flags) => report(flags)).pipe(
  Command.withDescription("Show which migrations are applied. Exit code 3: some are not, or were changed"),
);

export const command = Command.make("migrate").pipe(
  Command.withDescription("Apply, take back or list the migrations of a PostgreSQL schema"),
  Command.withSubcommands([up, down, status]),
);

interface Selection {
  readonly schemas: ReadonlyArray<string>;
  readonly json: boolean;
}

const apply = Effect.fn("Migrate.up")(function* ({ schemas, json }: Selection) {
  const done = yield* forEachSchema(schemas, PgMigrations.up());
  yield* Output.data(
    json,
    done.map(({ schema, found }) => ({ schema, applied: found })),
    lines(done, "up to date"),
  );
});

const plan = Effect.fn("Migrate.plan")(function* ({ schemas, json }: Selection) {
  const plans = yield* forEachSchema(schemas, Effect.all({ states: PgMigrations.status, sql: PgMigrations.plan }));
  const documents = plans.map(({ schema, found }) => ({ schema, pending: named(found.states, "pending"), sql: found.sql }));
  yield* Output.data(
    json,
    documents,
    documents.map(({ schema, sql }) => `-- schema ${schema}\n${sql === "" ? "-- up to date" : sql}`).join("\n"),
  );
});

const takeBack = Effect.fn("Migrate.down")(function* (
  flags: Selection & { readonly steps: number; readonly yes: boolean; readonly dryRun: boolean },
) {
  const { schemas, json, steps, yes, dryRun } = flags;
  if (dryRun) {
    const plans = yield* forEachSchema(
      schemas,
      Effect.map(PgMigrations.status, (states) => [...named(states, "applied", "unknown")].toReversed().slice(0, steps)),
    );
    return yield* Output.data(
      json,
      plans.map(({ schema, found }) => ({ schema, wouldTakeBack: found })),
      lines(plans, "nothing is applied"),
    );
  }
  if (!yes)
    return yield* CliFailure.usage("taking a migration back drops its tables with what is in them: look with --dry-run, then say --yes");
  const done = yield* forEachSchema(schemas, PgMigrations.down(steps));
  return yield* Output.data(
    json,
    done.map(({ schema, found }) => ({ schema, takenBack: found })),
    lines(done, "nothing is applied"),
  );
});

const report = Effect.fn("Migrate.status")(function* ({ schemas, json }: Selection) {
  const found = yield* forEachSchema(schemas, PgMigrations.status);
  const rows = found.flatMap(({ schema, found: states }) => states.map(({ name, state }) => [schema, name, state]));
  yield* Output.data(
    json,
    found.map(({ schema, found: migrations }) => ({ schema, migrations })),
    Output.table(["SCHEMA", "MIGRATION", "STATE"], rows),
  );
  const behind = found.filter(({ found: states }) => named(states, "pending", "changed").length > 0).map(({ schema }) => schema);
  if (behind.length > 0) return yield* CliFailure.findings(`not up to date: ${behind.join(", ")}`);
});

const named = (
  states: ReadonlyArray<PgMigrations.MigrationStatus>,
  ...wanted: ReadonlyArray<PgMigrations.MigrationState>
): ReadonlyArray<string> => states.filter(({ state }) => wanted.includes(state)).map(({ name }) => name);

const lines = (done: ReadonlyArray<{ readonly schema: string; readonly found: ReadonlyArray<string> }>, none: string): string =>
  done.map(({ schema, found }) => `${schema}: ${found.length === 0 ? none : found.join(", ")}`).join("\n");

/** One after the other: migrations wait for each other's locks anyway. */
const forEachSchema = Effect.fnUntraced(function* <A>(
  flags: ReadonlyArray<string>,
  body: Effect.Effect<A, StoreError | PgMigrations.PgMigrationError, PgClient.PgClient>,
) {
  return yield* Effect.forEach(yield* Databases.chosen(flags), (schema) =>
    Effect.map(Databases.within(schema, body), (found) => ({ schema, found })),
  );
});
