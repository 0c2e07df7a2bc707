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

  test("down --dry-run says what it would take back, newest first", async () => {
    expect(await json("down", "--schema", "checkout", "--steps", "99", "--dry-run")).toEqual({
      code: 0,
      data: [{ schema: "checkout", wouldTakeBack: names.toReversed() }],
    });
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
