/**
 * The databases of the services: one PostgreSQL, a schema for each. The address comes from the environment, never from a
 * flag: what is on a command line is in the process list and in the shell's history.
 *
 * A service of its own, so that tests put an embedded database in its place.
 */
import type { StoreError } from "@org/saga-core";
import { PgClient, PgConfig, type PgMigrations } from "@org/saga-postgres";
import { Config, Context, Effect, Layer, Option, Schema } from "effect";
import * as CliFailure from "./CliFailure.ts";
import * as Flags from "./Flags.ts";

export class Databases extends Context.Service<
  Databases,
  {
    /** A client of one schema. Connects with the first statement. */
    readonly client: (
      schema: string,
      tablePrefix: string,
    ) => Effect.Effect<Layer.Layer<PgClient.PgClient, StoreError>, CliFailure.CliFailure>;
  }
>()("@org/saga-cli/Databases") {}

/** One command, one statement at a time; a second connection sees what a migration waits for. */
const POOL_SIZE = 2;

const URL_VARIABLE = "SAGA_PG_URL";
const SCHEMA_VARIABLE = "SAGA_PG_SCHEMA";
const PREFIX_VARIABLE = "SAGA_PG_TABLE_PREFIX";

/** From `SAGA_PG_URL`, read when a command needs it. */
export const layer: Layer.Layer<Databases> = Layer.succeed(Databases, {
  client: Effect.fnUntraced(function* (schema: string, tablePrefix: string) {
    const url = yield* Config.Redacted(URL_VARIABLE).pipe(
      Effect.mapError(() => CliFailure.usage(`${URL_VARIABLE} is not set: postgres://user:password@host:port/database`)),
    );
    const options = { url, schema, tablePrefix, poolSize: POOL_SIZE, applicationName: "saga" };
    const problem = PgConfig.problemOf(PgConfig.make(options));
    if (problem !== null) return yield* CliFailure.usage(`${URL_VARIABLE}: ${problem}`);
    return PgClient.layer(options);
  }),
});

/** Runs with a client of `schema`, and closes it. What the store refuses is a failure of the command. */
export const within = Effect.fnUntraced(function* <A, E extends StoreError | PgMigrations.PgMigrationError | CliFailure.CliFailure, R>(
  schema: string,
  body: Effect.Effect<A, E, R>,
): Effect.fn.Return<A, CliFailure.CliFailure, Exclude<R, PgClient.PgClient> | Databases | TablePrefix> {
  const { client } = yield* Databases;
  const layer = yield* client(schema, yield* tablePrefix);
  return yield* body.pipe(Effect.provide(layer), Effect.mapError(CliFailure.ofStore(where(schema))));
});

type TablePrefix = Effect.Services<typeof Flags.tablePrefix>;

/** That of the flag, else of `SAGA_PG_TABLE_PREFIX`, else none. */
const tablePrefix: Effect.Effect<string, CliFailure.CliFailure, TablePrefix> = Effect.gen(function* () {
  const flag = yield* Flags.tablePrefix;
  if (Option.isSome(flag)) return flag.value;
  const prefix = yield* Config.String(PREFIX_VARIABLE).pipe(Config.withDefault(PgConfig.DEFAULT_TABLE_PREFIX), Effect.orDie);
  const problem = PgConfig.nameProblem(PgConfig.DEFAULT_SCHEMA, prefix);
  return problem === null ? prefix : yield* CliFailure.usage(`${PREFIX_VARIABLE}: ${problem}`);
});

/** For messages. */
export const where = (schema: string): string => `schema ${schema}`;

/** The schemas that a command is about: those of its flags, else of `SAGA_PG_SCHEMA`, else the library's default. */
export const chosen: (flags: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<string>, CliFailure.CliFailure> = Effect.fnUntraced(
  function* (flags) {
    if (flags.length > 0) return [...new Set(flags)];
    const variable = yield* Config.String(SCHEMA_VARIABLE).pipe(Config.withDefault(PgConfig.DEFAULT_SCHEMA), Effect.orDie);
    const names = variable.split(",").map((name) => name.trim());
    const wrong = names.find((name) => !Schema.is(PgConfig.SchemaName)(name));
    if (wrong !== undefined)
      return yield* CliFailure.usage(`${SCHEMA_VARIABLE}: ${PgConfig.nameProblem(wrong, PgConfig.DEFAULT_TABLE_PREFIX)}`);
    return [...new Set(names)];
  },
);
