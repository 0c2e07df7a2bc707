/** The migrated schema is the golden one, and drizzle knows exactly its columns. */
import { getTableName, isTable } from "drizzle-orm";
import { getTableConfig } from "drizzle-orm/pg-core";
import { drizzle } from "drizzle-orm/pglite";
import { Effect } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgMigrations from "../src/PgMigrations.ts";
import { tables } from "../src/schema/tables.ts";
import * as Catalog from "./Catalog.ts";
import * as Embedded from "./Embedded.ts";

const SCHEMA = "golden";

const embedded = await Embedded.start();
const { instance } = embedded;

beforeAll(async () => {
  await Effect.runPromise(Effect.provide(PgMigrations.up(), PgClient.layerPglite(instance, SCHEMA)));
});
afterAll(embedded.close);

interface ColumnRow {
  readonly name: string;
  readonly type: string;
  readonly required: boolean;
}

const columnsOf = async (table: string): Promise<ReadonlyArray<ColumnRow>> => {
  const { rows } = await instance.query<ColumnRow>(
    `select attname as name, format_type(atttypid, atttypmod) as type, attnotnull as required
     from pg_attribute where attrelid = $1::regclass and attnum > 0 order by attname`,
    [`${SCHEMA}.${table}`],
  );
  return rows;
};

/** drizzle's names of the types that PostgreSQL calls otherwise. */
const asPostgres = (type: string): string =>
  type
    .replace("timestamp with time zone", "timestamptz")
    .replace("timestamptz", "timestamp with time zone")
    .replace("varchar", "character varying");

describe("the schema", () => {
  it("is the golden one after all migrations", async () => {
    const { rows } = await instance.query<{ readonly line: string }>(Catalog.DESCRIBE, [SCHEMA]);
    await expect(`${rows.map((row) => row.line).join("\n")}\n`).toMatchFileSnapshot("golden/schema.txt");
  });

  it("has the columns of Debezium's outbox event router", async () => {
    const columns = new Map((await columnsOf("outbox")).map((column) => [column.name, column.type]));
    expect(columns.get("id")).toBe("uuid");
    expect(columns.get("aggregatetype")).toBe("character varying(255)");
    expect(columns.get("aggregateid")).toBe("character varying(255)");
    expect(columns.get("type")).toBe("character varying(255)");
    expect(columns.get("payload")).toBe("jsonb");
  });

  for (const [name, table] of Object.entries(tables(SCHEMA))) {
    it(`is what drizzle knows of ${name}`, async () => {
      expect(isTable(table)).toBe(true);
      expect(getTableConfig(table).schema).toBe(SCHEMA);
      const { columns, primaryKeys } = getTableConfig(table);
      const known = columns.map((column) => ({
        name: column.name,
        type: asPostgres(column.getSQLType()),
        required: column.notNull || column.primary || primaryKeys.some((key) => key.columns.includes(column)),
      }));
      const byName = known.toSorted((left, right) => (left.name < right.name ? -1 : 1));
      expect(byName).toEqual(await columnsOf(getTableName(table)));
    });
  }

  it("can be queried with drizzle", async () => {
    const { orders, outbox } = tables(SCHEMA);
    const database = drizzle(instance);
    expect(await database.select({ id: orders.id, status: orders.status, placedAt: orders.createdAt }).from(orders)).toEqual([]);
    expect(await database.select().from(outbox)).toEqual([]);
  });

  it("may also be called public", () => {
    expect(getTableConfig(tables("public").orders).schema).toBe("public");
  });
});
