/** The SQL around migrations: names put in, the table that records them, and whole scripts as text. */
import { Shard } from "@org/saga-core";
import type { PgClient } from "./PgClient.ts";
import type { Migration } from "./PgMigrationFiles.ts";

type Client = PgClient["Service"];

/** Which migrations are applied, with the checksums of what was applied. */
export const table = (client: Client): string => `${client.tables}saga_migrations`;

/**
 * Schema and prefix put in: tables carry the prefix, and so do indexes, whose names belong to the schema as well. An index
 * without a name gets one of its table, and so does a primary key: one that is replaced keeps it.
 */
export const inSchema = (client: Client, sql: string): string =>
  sql
    .replaceAll(
      /\b(create\s+(?:unique\s+)?index\s+(?:if\s+not\s+exists\s+)?)(?!(?:on|if|concurrently)\b)(?=[a-z_])/gi,
      `$1${client.prefix}`,
    )
    .replaceAll(/\bconstraint\s+(?=[a-z_]+_pkey\b)/gi, `$&${client.prefix}`)
    .replaceAll(':"schema".', client.tables)
    .replaceAll(':"schema"', client.quoted);

export const createSchema = (client: Client): string => `create schema ${client.quoted}`;

export const createTable = (client: Client): string =>
  `create table if not exists ${table(client)} (name text primary key, checksum text not null, applied_at timestamptz not null default now())`;

/** In the order in which they were applied. What was applied at one time is of the package first: "0" comes before "a". */
export const readApplied = (client: Client): string => `select name, checksum from ${table(client)} order by applied_at, name collate "C"`;

/** Later than all others, whatever the clock says: `down` goes by it. */
export const record = (client: Client): string =>
  `insert into ${table(client)} (name, checksum, applied_at)
select $1, $2, greatest(clock_timestamp(), max(applied_at) + interval '1 microsecond') from ${table(client)}`;

export const forget = (client: Client): string => `delete from ${table(client)} where name = $1`;

/** The two numbers of the advisory lock. A schema has one, whatever its prefixes: they share the schema that is created. */
export const lockKeys = (client: Client): readonly [number, number] => [Shard.fnv1a(`saga-migrations:${client.schema}`) | 0, 0];

/** Migrations take their time, and so does another process that is at it. Their strings mean what they say, whatever a role's settings are. */
export const SETTINGS =
  "set local lock_timeout = 0; set local statement_timeout = 0; set local client_min_messages = warning; set local standard_conforming_strings = on";

/** A script for psql that does what `up` would do. */
export const upScript = (client: Client, pending: ReadonlyArray<Migration>, hasSchema: boolean): string =>
  pending.length === 0
    ? ""
    : transaction(client, [
        ...(hasSchema ? [] : [`${createSchema(client)};`]),
        `${createTable(client)};`,
        ...pending.map((migration) =>
          section(migration.name, inSchema(client, migration.up), filled(record(client), [migration.name, migration.checksum])),
        ),
      ]);

/** A script for psql that does what `down` would do. */
export const downScript = (client: Client, applied: ReadonlyArray<Migration>): string =>
  applied.length === 0
    ? ""
    : transaction(
        client,
        applied.map((migration) => section(migration.name, inSchema(client, migration.down), filled(forget(client), [migration.name]))),
      );

const transaction = (client: Client, parts: ReadonlyArray<string>): string =>
  ["begin;", `${SETTINGS};`, `select pg_advisory_xact_lock(${lockKeys(client).join(", ")});`, ...parts, "commit;", ""].join("\n");

/** A script may do without its last semicolon; followed by another statement it may not. */
const section = (name: string, sql: string, mark: string): string => {
  const text = sql.trimEnd();
  return `\n-- ${name}\n${text}\n${text.endsWith(";") ? "" : ";\n"}${mark};`;
};

/** Names and checksums have no quotes: a name is that of a file that was checked, a checksum is hexadecimal. */
const filled = (statement: string, values: ReadonlyArray<string>): string =>
  statement.replaceAll(/\$(\d)/g, (_, place: string) => `'${values[Number(place) - 1] ?? ""}'`);
