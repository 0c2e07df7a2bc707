/** Migrations of users' own, beside those of the package; and plans, run as they are printed. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Effect, Layer } from "effect";
import { afterAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgMigrations from "../src/PgMigrations.ts";
import * as PgStores from "../src/PgStores.ts";
import * as Catalog from "./Catalog.ts";
import * as Embedded from "./Embedded.ts";

const embedded = await Embedded.start();
const { instance } = embedded;
const root = await mkdtemp(join(tmpdir(), "saga-own-migrations-"));
let made = 0;

afterAll(async () => {
  await rm(root, { recursive: true });
  await embedded.close();
});

/** A schema that no other test uses. */
const fresh = (): string => `own_${(made += 1)}`;

/** A new folder with these files. */
const folderOf = async (files: Readonly<Record<string, string>>): Promise<string> => {
  const folder = await mkdtemp(join(root, "folder-"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
};

const inSchema = <A, E>(schema: string, effect: Effect.Effect<A, E, PgClient.PgClient>, prefix = ""): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, PgClient.layerPglite(instance, schema, prefix)));

const namesIn = async (schema: string): Promise<ReadonlyArray<string>> => {
  const { rows } = await instance.query<{ readonly name: string }>(
    "select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 order by 1",
    [schema],
  );
  return rows.map((row) => row.name);
};

const describeSchema = async (schema: string): Promise<string> => {
  const { rows } = await instance.query<{ readonly line: string }>(Catalog.DESCRIBE, [schema]);
  return rows.map((row) => row.line.replaceAll(schema, "SCHEMA")).join("\n");
};

const PACKAGE = (await Effect.runPromise(PgMigrations.load)).map((migration) => migration.name);

const CUSTOMERS = {
  "0001_customers.up.sql": `create table :"schema".customers (id text primary key, name text not null);
CREATE UNIQUE INDEX IF NOT EXISTS customers_name_idx ON :"schema".customers (name);
create index on :"schema".customers (id, name);`,
  "0001_customers.down.sql": 'drop table :"schema".customers;',
  // Without a last semicolon.
  "0002_vip.up.sql": 'alter table :"schema".customers add column vip boolean not null default false',
  "0002_vip.down.sql": 'alter table :"schema".customers drop column vip -- and what was in it',
};
const OWN = ["app/0001_customers", "app/0002_vip"];

describe("migrations of one's own", () => {
  it("come after those of the package, are recorded under names of their own, and start with the stores", async () => {
    const schema = fresh();
    const folders = [pathToFileURL(await folderOf(CUSTOMERS))];
    await Effect.runPromise(Effect.scoped(Layer.build(PgStores.layerPglite(instance, schema, undefined, folders))));
    const applied = [...PACKAGE, ...OWN].map((name) => ({ name, state: "applied" }));
    expect(await inSchema(schema, PgMigrations.status({ folders }))).toEqual(applied);
    expect(await inSchema(schema, PgMigrations.up({ folders }))).toEqual([]);
    expect(await namesIn(schema)).toContain("customers");
  });

  it("may have the names of the package's, and be in several folders", async () => {
    const schema = fresh();
    const same = {
      [`${PACKAGE[0]}.up.sql`]: 'create table :"schema".mine (id int)',
      [`${PACKAGE[0]}.down.sql`]: 'drop table :"schema".mine',
    };
    const folders = [await folderOf({ "0002_b.up.sql": "select 1", "0002_b.down.sql": "select 1" }), await folderOf(same)];
    expect(await inSchema(schema, PgMigrations.up({ folders }))).toEqual([...PACKAGE, `app/${PACKAGE[0]}`, "app/0002_b"]);
  });

  it("get schema and prefix, indexes included", async () => {
    const schema = fresh();
    const folders = [await folderOf(CUSTOMERS)];
    await inSchema(schema, PgMigrations.up({ folders }), "shop_");
    const names = await namesIn(schema);
    expect(names.filter((name) => !name.startsWith("shop_"))).toEqual([]);
    expect(names).toEqual(expect.arrayContaining(["shop_customers", "shop_customers_name_idx", "shop_customers_id_name_idx"]));
    await inSchema(schema, PgMigrations.down(2, { folders }), "shop_");
    expect(await namesIn(schema)).not.toContain("shop_customers");
  });

  it("go down newest first, across both: whatever was applied last", async () => {
    const schema = fresh();
    const folders = [await folderOf(CUSTOMERS)];
    await inSchema(schema, PgMigrations.up({ folders }));
    // As if the package had been upgraded after the user's migrations were applied.
    const last = PACKAGE.at(-1) ?? "";
    await instance.query(`update "${schema}".saga_migrations set applied_at = now() + interval '1 hour' where name = $1`, [last]);
    expect(await inSchema(schema, PgMigrations.down(1, { folders }))).toEqual([last]);
    expect(await inSchema(schema, PgMigrations.down(99, { folders }))).toEqual([...OWN.toReversed(), ...PACKAGE.slice(0, -1).toReversed()]);
  });

  it("go down in that order also where the server's clock went back", async () => {
    const schema = fresh();
    const folders = [await folderOf(CUSTOMERS)];
    await inSchema(schema, PgMigrations.up());
    await instance.query(`update "${schema}".saga_migrations set applied_at = applied_at + interval '1 day'`);
    await inSchema(schema, PgMigrations.up({ folders }));
    expect(await inSchema(schema, PgMigrations.down(2, { folders }))).toEqual(OWN.toReversed());
  });

  it("are left alone by a process that was not told of their folder", async () => {
    const schema = fresh();
    const folders = [await folderOf(CUSTOMERS)];
    await inSchema(schema, PgMigrations.up({ folders }));
    expect(await inSchema(schema, PgMigrations.up())).toEqual([]);
    expect(await inSchema(schema, PgMigrations.status())).toContainEqual({ name: OWN[0], state: "unknown" });
    const error = await inSchema(schema, Effect.flip(PgMigrations.down()));
    expect(error).toMatchObject({ _tag: "PgMigrationError", problem: "Unknown", migration: OWN[1] });
    expect(error.message).toContain("name its folder");
  });

  it("are not edited after they were applied, and leave nothing when one fails", async () => {
    const schema = fresh();
    const folder = await folderOf(CUSTOMERS);
    const broken = await folderOf({
      "0003_broken.up.sql": 'create table :"schema".half (id int); select nonsense',
      "0003_broken.down.sql": "",
    });
    const failed = await inSchema(schema, Effect.flip(PgMigrations.up({ folders: [folder, broken] })));
    expect(failed).toMatchObject({ problem: "Failed", migration: "app/0003_broken" });
    expect(failed.message).toContain("nonsense");
    expect(await namesIn(schema)).toEqual([]);
    await inSchema(schema, PgMigrations.up({ folders: [folder] }));
    await writeFile(join(folder, "0001_customers.up.sql"), "select 2");
    expect(await inSchema(schema, Effect.flip(PgMigrations.up({ folders: [folder] })))).toMatchObject({
      problem: "Changed",
      migration: OWN[0],
    });
  });

  it.each([
    [{ "1_short.up.sql": "" }, "Misnamed", "called 0001_name.up.sql"],
    [{ "0001_Upper.up.sql": "" }, "Misnamed", "called 0001_name.up.sql"],
    [{ "0001_alone.up.sql": "" }, "Misnamed", "no 0001_alone.down.sql"],
    [{ "0001_alone.down.sql": "" }, "Misnamed", "no 0001_alone.up.sql"],
    [{ "0001_a.up.sql": "", "0001_a.down.sql": "", "0001_b.up.sql": "", "0001_b.down.sql": "" }, "Misnamed", "has this number"],
  ])("in a folder with %j are refused, with what to do", async (files, problem, why) => {
    const error = await inSchema(fresh(), Effect.flip(PgMigrations.up({ folders: [await folderOf(files)] })));
    expect(error).toMatchObject({ _tag: "PgMigrationError", problem });
    expect(error.message).toContain(why);
  });

  it("are refused where two folders have the same one, or a folder is missing", async () => {
    const twice = await inSchema(
      fresh(),
      Effect.flip(PgMigrations.up({ folders: [await folderOf(CUSTOMERS), await folderOf(CUSTOMERS)] })),
    );
    expect(twice).toMatchObject({ problem: "Misnamed", migration: OWN[0] });
    const missing = await inSchema(fresh(), Effect.flip(PgMigrations.up({ folders: [join(root, "missing")] })));
    expect(missing).toMatchObject({ problem: "Unreadable" });
    expect(missing.message).toContain(join(root, "missing"));
  });

  it("are refused, and nothing applied, where one has no statement, however that is written", async () => {
    const up = async (text: string) => {
      const folder = await folderOf({ "0001_one.up.sql": text, "0001_one.down.sql": "" });
      const schema = fresh();
      const exit = await inSchema(schema, Effect.result(PgMigrations.up({ folders: [folder] })));
      return exit._tag === "Failure" ? [exit.failure.message, await namesIn(schema)] : "applied";
    };
    const refused = ["migration app/0001_one: there is no statement in 0001_one.up.sql: fill it in, or remove it", []];
    for (const text of ["", " \n;", "-- create table x ();", "/* a\n-- b\n*/ ; -- c"]) expect(await up(text)).toEqual(refused);
    for (const text of ["-- /*\nselect 1; -- */", "select '--'", "/* a */ select 1"]) expect(await up(text)).toBe("applied");
  });

  it("are refused, by file, where one would end the transaction of all, and nothing is run; in a function's body it may", async () => {
    const routine = `create procedure :"schema".p() language plpgsql as $$ begin null; commit; end $$; select '; commit' -- ; commit`;
    const folder = await folderOf({
      "0001_a.up.sql": 'create table :"schema".a (id int)',
      "0001_a.down.sql": 'drop table :"schema".a; commit',
      "0002_b.up.sql": 'create table :"schema".b (id int);\nCOMMIT; select nonsense',
      "0002_b.down.sql": 'drop procedure :"schema".p()',
    });
    const schema = fresh();
    const own = { folders: [folder] };
    const refused = "migration app/0002_b: a statement in 0002_b.up.sql is a COMMIT";
    for (const run of [Effect.asVoid(PgMigrations.up(own)), Effect.asVoid(PgMigrations.plan(own))]) {
      const error = await inSchema(schema, Effect.flip(run));
      expect(error).toMatchObject({ _tag: "PgMigrationError", problem: "EndsTransaction" });
      expect(error.message).toContain(refused);
    }
    expect(await namesIn(schema)).toEqual([]);
    await writeFile(join(folder, "0002_b.up.sql"), routine);
    expect(await inSchema(schema, PgMigrations.up(own))).toEqual([...PACKAGE, "app/0001_a", "app/0002_b"]);
    for (const run of [Effect.asVoid(PgMigrations.down(2, own)), Effect.asVoid(PgMigrations.planDown(2, own))]) {
      expect((await inSchema(schema, Effect.flip(run))).message).toContain("0001_a.down.sql is a COMMIT");
    }
    expect(await namesIn(schema)).toContain("a");
    expect(await inSchema(schema, PgMigrations.down(1, own))).toEqual(["app/0002_b"]);
  });

  it("are created one after the other, up to the last number", async () => {
    const folder = join(root, "created");
    const create = (name: string) => Effect.runPromise(PgMigrations.create(folder, name));
    expect((await create("first")).name).toBe("app/0001_first");
    expect(await create("first")).toEqual({
      name: "app/0002_first",
      files: [join(folder, "0002_first.up.sql"), join(folder, "0002_first.down.sql")],
    });
    for (const name of ["0001_first", "0002_first"]) await writeFile(join(folder, `${name}.up.sql`), "select 1");
    expect(await inSchema(fresh(), PgMigrations.up({ folders: [folder] }))).toEqual([...PACKAGE, "app/0001_first", "app/0002_first"]);
    await writeFile(join(folder, "9999_last.up.sql"), "");
    await writeFile(join(folder, "9999_last.down.sql"), "");
    expect(await Effect.runPromise(Effect.flip(PgMigrations.create(folder, "more")))).toMatchObject({ problem: "Misnamed" });
  });
});

describe("a plan", () => {
  it.each(["", "shop_"])("run as it is printed does what the migrations do, up and down (prefix %j)", async (prefix) => {
    const folders = [await folderOf(CUSTOMERS)];
    const [migrated, printed] = [fresh(), fresh()];
    await inSchema(migrated, PgMigrations.up({ folders }), prefix);
    const up = await inSchema(printed, PgMigrations.plan({ folders }), prefix);
    expect(up.names).toEqual([...PACKAGE, ...OWN]);
    await instance.exec(up.sql);
    expect(await describeSchema(printed)).toBe(await describeSchema(migrated));
    expect(await inSchema(printed, PgMigrations.up({ folders }), prefix)).toEqual([]);
    const statuses = await inSchema(printed, PgMigrations.status({ folders }), prefix);
    expect(statuses.filter(({ state }) => state !== "applied")).toEqual([]);

    const some = await inSchema(printed, PgMigrations.planDown(1, { folders }), prefix);
    expect(some.names).toEqual([OWN[1]]);
    const down = await inSchema(printed, PgMigrations.planDown(99, { folders }), prefix);
    expect(down.names).toEqual(up.names.toReversed());
    await instance.exec(down.sql);
    const left = (await namesIn(printed)).filter((name) => !name.includes("saga_migrations"));
    expect(left).toEqual([]);
    // Again, into the schema that is there now.
    await instance.exec((await inSchema(printed, PgMigrations.plan({ folders }), prefix)).sql);
    expect(await describeSchema(printed)).toBe(await describeSchema(migrated));
  });

  it("of nothing is empty", async () => {
    const schema = fresh();
    expect(await inSchema(schema, PgMigrations.planDown())).toEqual({ names: [], sql: "" });
    await inSchema(schema, PgMigrations.up());
    expect(await inSchema(schema, PgMigrations.plan())).toEqual({ names: [], sql: "" });
    expect(await inSchema(schema, PgMigrations.planDown(0))).toEqual({ names: [], sql: "" });
  });
});
