/** Migrations: up, down, status and plan, on PGlite. */
import { OrderStatus, UnitOfWork } from "@org/saga-core";
import { Effect, Layer } from "effect";
import { afterAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgMigrations from "../src/PgMigrations.ts";
import * as PgStores from "../src/PgStores.ts";
import * as Embedded from "./Embedded.ts";

const embedded = await Embedded.start();
const { instance } = embedded;
let schemas = 0;

afterAll(embedded.close);

/** A schema that no other test uses. */
const fresh = (): string => `migrations_${(schemas += 1)}`;

const inSchema = <A, E>(schema: string, effect: Effect.Effect<A, E, PgClient.PgClient>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, PgClient.layerPglite(instance, schema)));

const refusal = <A, E>(schema: string, effect: Effect.Effect<A, E, PgClient.PgClient>): Promise<E> => inSchema(schema, Effect.flip(effect));

const tablesOf = async (schema: string): Promise<ReadonlyArray<string>> => {
  const { rows } = await instance.query<{ readonly name: string }>(
    "select table_name as name from information_schema.tables where table_schema = $1 order by 1",
    [schema],
  );
  return rows.map((row) => row.name);
};

const NAMES = (await Effect.runPromise(PgMigrations.load)).map((migration) => migration.name);

describe("PgMigrations", () => {
  it("are numbered without gaps, and each has a way down", async () => {
    const migrations = await Effect.runPromise(PgMigrations.load);
    expect(migrations.map((migration) => Number(migration.name.slice(0, 4)))).toEqual(migrations.map((_, index) => index + 1));
    for (const migration of migrations) {
      expect(migration.up).toContain(':"schema"');
      expect(migration.down).toContain(':"schema"');
    }
  });

  it("go up, down and up again", async () => {
    const schema = fresh();
    expect(await inSchema(schema, PgMigrations.up())).toEqual(NAMES);
    const tables = await tablesOf(schema);
    expect(tables).toContain("orders");
    expect(await inSchema(schema, PgMigrations.down(NAMES.length))).toEqual(NAMES.toReversed());
    expect(await tablesOf(schema)).toEqual(["saga_migrations"]);
    expect(await inSchema(schema, PgMigrations.up())).toEqual(NAMES);
    expect(await tablesOf(schema)).toEqual(tables);
  });

  it("are applied once: going up again does nothing", async () => {
    const schema = fresh();
    await inSchema(schema, PgMigrations.up());
    expect(await inSchema(schema, PgMigrations.up())).toEqual([]);
    expect(await inSchema(schema, PgMigrations.plan())).toEqual({ names: [], sql: "" });
  });

  it("go down one at a time, and no further than to nothing", async () => {
    const schema = fresh();
    await inSchema(schema, PgMigrations.up());
    expect(await inSchema(schema, PgMigrations.down())).toEqual(NAMES.slice(-1));
    expect(await inSchema(schema, PgMigrations.status())).toContainEqual({ name: NAMES.at(-1), state: "pending" });
    expect(await inSchema(schema, PgMigrations.down(0))).toEqual([]);
    expect(await inSchema(schema, PgMigrations.down(100))).toEqual(NAMES.slice(0, -1).toReversed());
    expect(await inSchema(schema, PgMigrations.down())).toEqual([]);
  });

  it("tell their status, also where there is no schema yet, and change nothing by it", async () => {
    const schema = fresh();
    expect(await inSchema(schema, PgMigrations.status())).toEqual(NAMES.map((name) => ({ name, state: "pending" })));
    expect(await tablesOf(schema)).toEqual([]);
    await inSchema(schema, PgMigrations.up());
    expect(await inSchema(schema, PgMigrations.status())).toEqual(NAMES.map((name) => ({ name, state: "applied" })));
  });

  it("a plan is the SQL that would run, in the schema of the service", async () => {
    const schema = fresh();
    const plan = await inSchema(schema, PgMigrations.plan());
    expect(plan.names).toEqual(NAMES);
    expect(plan.sql).toContain("-- 0001_initial");
    expect(plan.sql).toContain(`create table "${schema}".orders`);
    expect(plan.sql).not.toContain(':"schema".');
    expect(await tablesOf(schema)).toEqual([]);
  });

  it("refuse to go on when one that was applied has another text now", async () => {
    const schema = fresh();
    await inSchema(schema, PgMigrations.up());
    await instance.query(`update "${schema}".saga_migrations set checksum = 'edited' where name = '0001_initial'`);
    expect(await inSchema(schema, PgMigrations.status())).toContainEqual({ name: "0001_initial", state: "changed" });
    for (const way of [Effect.asVoid(PgMigrations.up()), Effect.asVoid(PgMigrations.down()), Effect.asVoid(PgMigrations.plan())]) {
      const error = await refusal(schema, way);
      expect(error).toMatchObject({ _tag: "PgMigrationError", problem: "Changed", migration: "0001_initial" });
      expect(error.message).toMatch(/0001_initial.*immutable/);
    }
  });

  it("leave those of a newer version alone, so that old and new processes run side by side", async () => {
    const schema = fresh();
    await inSchema(schema, PgMigrations.up());
    await instance.query(`insert into "${schema}".saga_migrations (name, checksum) values ('9999_future', 'x')`);
    expect(await inSchema(schema, PgMigrations.up())).toEqual([]);
    expect(await inSchema(schema, PgMigrations.status())).toContainEqual({ name: "9999_future", state: "unknown" });
    expect(await refusal(schema, PgMigrations.down())).toMatchObject({ problem: "Unknown", migration: "9999_future" });
  });

  it("leave nothing behind when one fails, and say why", async () => {
    const schema = fresh();
    await instance.exec(`create schema "${schema}"; create table "${schema}".inbox (somebody text)`);
    const error = await refusal(schema, PgMigrations.up());
    expect(error).toMatchObject({ problem: "Failed", migration: "0001_initial" });
    expect(error.message).toMatch(/relation "inbox" already exists/);
    expect(await tablesOf(schema)).toEqual(["inbox"]);
  });

  it("start the stores only when they are through", async () => {
    const schema = fresh();
    const layer = PgStores.layerPglite(instance, schema);
    await Effect.runPromise(
      Effect.provide(
        Effect.flatMap(UnitOfWork, (unit) => unit.commit(Effect.void)),
        layer,
      ),
    );
    expect(await tablesOf(schema)).toContain("outbox");
    await instance.query(`update "${schema}".saga_migrations set checksum = 'edited'`);
    const error = await Effect.runPromise(Effect.flip(Effect.scoped(Layer.build(layer))));
    expect(error).toMatchObject({ _tag: "PgMigrationError", problem: "Changed" });
  });

  it("check the status of orders by the table that decides it", async () => {
    const schema = fresh();
    await inSchema(schema, PgMigrations.up());
    const { rows } = await instance.query<{ readonly text: string }>(
      "select pg_get_constraintdef(oid) as text from pg_constraint where conname = 'orders_status_check' and connamespace = $1::regnamespace",
      [schema],
    );
    const allowed = [...(rows[0]?.text ?? "").matchAll(/'(\w+)'/g)].map((match) => match[1] ?? "");
    expect(allowed.toSorted()).toEqual([...OrderStatus.machine.states].toSorted());
  });
});
