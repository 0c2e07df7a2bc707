/** The flags that several commands share, under one name and one meaning. */
import { PgConfig } from "@org/saga-postgres";
import { Flag } from "effect/cli";

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
