/** The flags that several commands share, under one name and one meaning. */
import { PgConfig } from "@org/saga-postgres";
import { Config, Effect, Option } from "effect";
import { Flag, GlobalFlag } from "effect/cli";

export const json = Flag.Boolean("json").pipe(Flag.withDescription("Print one JSON document on stdout"), Flag.withDefault(false));

export const dryRun = Flag.Boolean("dry-run").pipe(
  Flag.withDescription("Show what would be done, and do nothing"),
  Flag.withDefault(false),
);

export const schemas = Flag.String("schema").pipe(
  Flag.withDescription(
    `PostgreSQL schema of a service; repeatable. Default: $SAGA_PG_SCHEMA (comma-separated), else "${PgConfig.DEFAULT_SCHEMA}"`,
  ),
  Flag.withMetavar("name"),
  Flag.withSchema(PgConfig.SchemaName),
  Flag.atLeast(0),
);

/** Of every command that opens a database: `Databases.within` reads it. */
export const tablePrefix = GlobalFlag.Setting("table-prefix")({
  flag: Flag.String("table-prefix").pipe(
    Flag.withDescription("Stands before the names of the services' tables. Default: $SAGA_PG_TABLE_PREFIX, else none"),
    Flag.withMetavar("prefix"),
    Flag.withSchema(PgConfig.TablePrefix),
    Flag.optional,
  ),
});

export const folders = Flag.String("dir").pipe(
  Flag.withDescription("Folder with migrations of your own; repeatable. They come after the library's"),
  Flag.withMetavar("folder"),
  Flag.atLeast(0),
);

/** One line of a table. */
const REASON_MAX = 500;
const NAME_MAX = 100;

const note = (name: string, description: string, max: number) =>
  Flag.String(name).pipe(
    Flag.withDescription(description),
    Flag.filter(
      (text) => text.length <= max,
      () => `must have at most ${max} characters`,
    ),
  );

/** Of every command that records a person's decision, with `decider`. */
export const by = Flag.optional(note("by", 'Who decides, for the record. Default: $USER, else "operator"', NAME_MAX));

export const reason = note("reason", "Why, for the record", REASON_MAX);

export const decider = (flag: Option.Option<string>): Effect.Effect<string> =>
  Option.match(flag, {
    onSome: Effect.succeed,
    onNone: () => Config.String("USER").pipe(Config.withDefault("operator"), Effect.orDie),
  });
