import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PgMigrations } from "@org/saga-postgres";
import { Effect } from "effect";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { open, type Shell, SLOW_MS } from "./Shell.ts";

vi.setConfig({ testTimeout: SLOW_MS });

let shell: Shell;
beforeAll(async () => {
  shell = await open();
}, SLOW_MS);
afterAll(() => shell.close());

const migrate = async (...args: ReadonlyArray<string>) => {
  const { code, stdout, stderr } = await shell.run(["migrate", ...args]);
  return { code, stdout, stderr };
};
const json = async (...args: ReadonlyArray<string>) => {
  const { code, stdout } = await migrate(...args, "--json");
  const data: unknown = JSON.parse(stdout);
  return { code, data };
};
const names = (await Effect.runPromise(PgMigrations.load)).map(({ name }) => name);
const last = names.slice(-1);

describe("saga migrate", () => {
  test("status ends with 3 before the migrations, and changes nothing", async () => {
    const pending = { code: 3, data: [{ schema: "order", migrations: names.map((name) => ({ name, state: "pending" })) }] };
    expect(await json("status", "--schema", "order")).toEqual(pending);
    expect(await json("status", "--schema", "order")).toEqual(pending);
  });

  test("up --dry-run prints the SQL, and changes nothing", async () => {
    const { code, stdout, stderr } = await migrate("up", "--schema", "order", "--dry-run");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(`-- ${names[0]}`);
    expect(stdout).toContain('create table "order".orders');
    expect((await migrate("status", "--schema", "order")).code).toBe(3);
  });

  test("up applies what is pending in every schema that is named, once", async () => {
    const both = ["--schema", "order", "--schema", "checkout", "--schema", "order"];
    expect(await json("up", ...both)).toEqual({
      code: 0,
      data: [
        { schema: "order", applied: names },
        { schema: "checkout", applied: names },
      ],
    });
    expect(await migrate("up", ...both)).toEqual({ code: 0, stdout: "order: up to date\ncheckout: up to date", stderr: "" });
    expect((await migrate("up", "--schema", "order", "--dry-run")).stdout).toBe("-- schema order\n-- up to date");
  });

  test("status ends with 0 after them, as a table for people", async () => {
    const { code, stdout, stderr } = await migrate("status", "--schema", "order");
    expect([code, stderr]).toEqual([0, ""]);
    const rows = stdout.split("\n").map((row) => row.split(/ +/));
    expect(rows).toEqual([["SCHEMA", "MIGRATION", "STATE"], ...names.map((name) => ["order", name, "applied"])]);
  });

  test("down without --yes does nothing, and ends with 2", async () => {
    const { code, stdout, stderr } = await migrate("down", "--schema", "checkout");
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("--yes");
    expect((await migrate("status", "--schema", "checkout")).code).toBe(0);
  });

  test("down --dry-run prints the SQL, newest first, and changes nothing", async () => {
    expect(await json("down", "--schema", "checkout", "--steps", "99", "--dry-run")).toMatchObject({
      code: 0,
      data: [{ schema: "checkout", wouldTakeBack: names.toReversed() }],
    });
    const { code, stdout } = await migrate("down", "--schema", "checkout", "--steps", "99", "--dry-run");
    expect(code).toBe(0);
    expect(stdout).toMatch(/-- 0002_stock[^]*drop table "checkout".stock_skus;[^]*-- 0001_initial[^]*drop table "checkout".orders;/);
    expect((await migrate("down", "--schema", "nowhere", "--dry-run")).stdout).toBe("-- schema nowhere\n-- nothing is applied");
    expect((await migrate("status", "--schema", "checkout")).code).toBe(0);
  });

  test("down --yes takes the last one back, then all; up brings them again", async () => {
    expect(await json("down", "--schema", "checkout", "--yes")).toEqual({ code: 0, data: [{ schema: "checkout", takenBack: last }] });
    expect((await migrate("status", "--schema", "checkout")).stderr).toBe("saga: not up to date: checkout");
    expect((await migrate("down", "--schema", "checkout", "--steps", "99", "--yes")).code).toBe(0);
    expect((await migrate("down", "--schema", "checkout", "--yes")).stdout).toBe("checkout: nothing is applied");
    expect((await json("up", "--schema", "checkout")).data).toEqual([{ schema: "checkout", applied: names }]);
  });

  test("is about the schemas of the environment, and else about the library's own", async () => {
    const inEnvironment = await shell.run(["migrate", "status", "--json"], { SAGA_PG_SCHEMA: "order, checkout" });
    expect(JSON.parse(inEnvironment.stdout)).toMatchObject([{ schema: "order" }, { schema: "checkout" }]);
    expect(JSON.parse((await shell.run(["migrate", "status", "--json"])).stdout)).toMatchObject([{ schema: "saga" }]);
  });
});

describe("a table prefix", () => {
  test("comes from the flag, else from the environment, and tells two services in one schema apart", async () => {
    const applied = [{ schema: "common", applied: names }];
    expect(await json("up", "--schema", "common", "--table-prefix", "left_")).toEqual({ code: 0, data: applied });
    const right = { SAGA_PG_SCHEMA: "common", SAGA_PG_TABLE_PREFIX: "right_" };
    expect((await shell.run(["migrate", "status"], right)).code).toBe(3);
    expect((await shell.run(["migrate", "status", "--table-prefix", "left_"], right)).code).toBe(0);
    expect((await shell.run(["migrate", "up"], right)).code).toBe(0);
    expect((await shell.run(["migrate", "status"], right)).code).toBe(0);
    const look = ["dlq", "list", "--consumer", "anybody", "--json"];
    expect(await shell.run(look, right)).toEqual({ code: 0, stdout: "[]", stderr: "" });
    const unprefixed = await shell.run(look, { SAGA_PG_SCHEMA: "common" });
    expect([unprefixed.code, unprefixed.stderr]).toEqual([1, expect.stringContaining("undefined_table")]);
  });

  test("that cannot be one ends with 2", async () => {
    const flag = await migrate("status", "--table-prefix", "Bad-");
    expect([flag.code, flag.stdout]).toEqual([2, ""]);
    const variable = await shell.run(["migrate", "status"], { SAGA_PG_TABLE_PREFIX: "Bad-" });
    expect([variable.code, variable.stdout]).toEqual([2, ""]);
    expect(variable.stderr).toContain('SAGA_PG_TABLE_PREFIX: "Bad-" cannot be a table prefix');
  });
});

describe("migrations of one's own", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "saga-migrations-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("create makes the next pair of files, and never overwrites", async () => {
    const own = join(folder, "new", "folder");
    const first = await migrate("create", "add_customers", "--dir", own);
    expect(first).toEqual({
      code: 0,
      stdout: `${join(own, "0001_add_customers.up.sql")}\n${join(own, "0001_add_customers.down.sql")}`,
      stderr: "",
    });
    await writeFile(join(own, "0001_add_customers.up.sql"), "-- edited\n");
    expect(await json("create", "add_customers", "--dir", own)).toMatchObject({ code: 0, data: { name: "app/0002_add_customers" } });
    expect(await readdir(own)).toEqual([
      "0001_add_customers.down.sql",
      "0001_add_customers.up.sql",
      "0002_add_customers.down.sql",
      "0002_add_customers.up.sql",
    ]);
    expect(await readFile(join(own, "0001_add_customers.up.sql"), "utf8")).toBe("-- edited\n");
    expect(await readFile(join(own, "0002_add_customers.up.sql"), "utf8")).toContain(':"schema"');
  });

  test("up refuses one that nobody filled in yet, by the name of its file, and applies it when it is filled in", async () => {
    const own = join(folder, "template");
    await migrate("create", "later", "--dir", own);
    for (const flags of [["--dry-run"], []]) {
      const { code, stdout, stderr } = await migrate("up", "--schema", "template", "--dir", own, ...flags);
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toContain("migration app/0001_later: there is no statement in 0001_later.up.sql: fill it in, or remove it");
    }
    await writeFile(join(own, "0001_later.up.sql"), '-- Later.\ncreate table :"schema".later (id text);');
    expect((await json("up", "--schema", "template", "--dir", own)).data).toEqual([
      { schema: "template", applied: [...names, "app/0001_later"] },
    ]);
  });

  test.each(["Customers", "add-customers", "../escape", "1st", ""])("create refuses the name %j", async (name) => {
    const { code, stdout, stderr } = await migrate("create", name, "--dir", join(folder, "refused"));
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("lower-case letters");
    expect(await readdir(folder)).not.toContain("refused");
  });

  test("up, status and down include them", async () => {
    const own = join(folder, "mine");
    await migrate("create", "notes", "--dir", own);
    await writeFile(join(own, "0001_notes.up.sql"), 'create table :"schema".notes (text text);');
    await writeFile(join(own, "0001_notes.down.sql"), 'drop table :"schema".notes;');
    const mine = ["--schema", "mine", "--dir", own];
    expect((await json("up", ...mine)).data).toEqual([{ schema: "mine", applied: [...names, "app/0001_notes"] }]);
    expect((await json("status", ...mine)).data).toMatchObject([
      { migrations: [...names, "app/0001_notes"].map((name) => ({ name, state: "applied" })) },
    ]);
    const without = await migrate("down", "--schema", "mine", "--yes");
    expect([without.code, without.stderr]).toEqual([1, expect.stringContaining("app/0001_notes: it is one of your own: name its folder")]);
    expect((await json("down", ...mine, "--yes")).data).toEqual([{ schema: "mine", takenBack: ["app/0001_notes"] }]);
    expect((await migrate("up", "--schema", "mine", "--dir", join(folder, "missing"))).code).toBe(1);
  });
});
