/** Migrations of processes that are killed, frozen or in each other's way, on a real server; and plans in psql. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { realServer } from "@tools/servers/testing";
import { Effect, Fiber, Logger } from "effect";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgMigrations from "../src/PgMigrations.ts";
import * as Catalog from "./Catalog.ts";
import * as Database from "./Database.ts";

const server = realServer("postgres");
const MAIN = fileURLToPath(new URL("migrate.main.ts", import.meta.url));
/** Milliseconds until something has to have happened. */
const SOON = { timeout: 30_000, interval: 50 };
/** An advisory lock that a migration waits for: the test opens and shuts it. */
const GATE = 4_242;

const PACKAGE = (await Effect.runPromise(PgMigrations.load)).map((migration) => migration.name);

describe.runIf(server !== null)("processes that migrate", () => {
  let database: Database.Database;
  let admin: pg.Client;
  let folder: string;
  const children: Array<ChildProcess> = [];

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    admin = new pg.Client({ connectionString: database.url });
    await admin.connect();
    folder = await mkdtemp(join(tmpdir(), "saga-gate-"));
    await writeFile(join(folder, "0001_gate.up.sql"), `create table :"schema".half (id int); select pg_advisory_xact_lock(${GATE});`);
    await writeFile(join(folder, "0001_gate.down.sql"), 'drop table :"schema".half;');
  });
  afterEach(async () => {
    await admin.query("select pg_advisory_unlock_all()");
    for (const child of children.splice(0)) child.kill("SIGKILL");
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
    await admin.end();
    await database.drop();
  });

  const inSchema = <A, E>(schema: string, effect: Effect.Effect<A, E, PgClient.PgClient>): Effect.Effect<A, unknown> =>
    Effect.provide(effect, PgClient.layer({ url: database.url, schema }));

  const rowsOf = async (text: string, values: ReadonlyArray<unknown> = []): Promise<ReadonlyArray<Readonly<Record<string, unknown>>>> =>
    (await admin.query<Readonly<Record<string, unknown>>>(text, [...values])).rows;

  /** A process in the middle of a migration: its table is made, and it waits for the gate. */
  const half = async (schema: string): Promise<{ readonly child: ChildProcess; readonly pid: unknown }> => {
    await admin.query("select pg_advisory_lock($1)", [GATE]);
    const child = spawn(process.execPath, ["--conditions=@org/source", MAIN, database.url, schema, folder], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    children.push(child);
    const waiting = await vi.waitFor(async () => {
      const [row] = await rowsOf(
        `select pid from pg_locks where locktype = 'advisory' and not granted and objid = $1
         and database = (select oid from pg_database where datname = current_database())`,
        [GATE],
      );
      if (row === undefined) throw new Error("nobody waits at the gate");
      return row;
    }, SOON);
    return { child, pid: waiting["pid"] };
  };

  const hasHalf = async (schema: string): Promise<unknown> =>
    (await rowsOf("select to_regclass($1) is not null as found", [`${schema}.half`]))[0]?.["found"];

  /** Runs, and hands out what it logs. */
  const logging = (lines: Array<string>) => Effect.provide(Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))]));

  it("that is killed in the middle leaves nothing, and the next one goes on", async () => {
    const { child } = await half("killed");
    child.kill("SIGKILL");
    await once(child, "exit");
    // The gate is still shut: the server has to notice by itself, in the middle of a statement, that nobody waits for it.
    expect(await Effect.runPromise(inSchema("killed", PgMigrations.up()))).toEqual(PACKAGE);
    expect(await hasHalf("killed")).toBe(false);
  });

  it("that is frozen in the middle is named to those who wait, and when the server ends it they go on", async () => {
    const { child, pid } = await half("frozen");
    child.kill("SIGSTOP");
    const lines: Array<string> = [];
    const waiter = Effect.runFork(logging(lines)(inSchema("frozen", PgMigrations.up())));
    await vi.waitFor(() => expect(lines).not.toEqual([]), SOON);
    expect(lines[0]).toMatch(
      /^migrations of schema "frozen" wait for another process that migrates it: backend \d+ of application "migrating"/,
    );
    expect(lines[0]).toContain(`select pg_terminate_backend(${String(pid)})`);
    await admin.query("select pg_advisory_unlock_all()");
    expect(await Effect.runPromise(Fiber.join(waiter))).toEqual(PACKAGE);
    expect(await hasHalf("frozen")).toBe(false);
    child.kill("SIGCONT");
    const [code] = await once(child, "exit");
    expect(code).toBe(1);
    expect(await hasHalf("frozen")).toBe(false);
  });

  it("that waits can be interrupted, and then waits no more", async () => {
    await half("interrupted");
    const waiter = Effect.runFork(inSchema("interrupted", PgMigrations.up()));
    const begun = "select count(*)::int as count from pg_stat_activity where application_name = 'interrupted'";
    await vi.waitFor(async () => expect(await rowsOf(begun)).toEqual([{ count: 1 }]), SOON);
    await Effect.runPromise(Fiber.interrupt(waiter));
    await vi.waitFor(async () => expect(await rowsOf(begun)).toEqual([{ count: 0 }]), SOON);
  });

  it("that waits for a process which uses a table says so, and goes on after it", async () => {
    await Effect.runPromise(inSchema("busy", PgMigrations.up()));
    const own = await mkdtemp(join(folder, "own-"));
    await writeFile(join(own, "0001_note.up.sql"), 'alter table :"schema".orders add column note text;');
    await writeFile(join(own, "0001_note.down.sql"), 'alter table :"schema".orders drop column note;');
    const user = new pg.Client({ connectionString: database.url, application_name: "reporting" });
    await user.connect();
    await user.query("begin; select from busy.orders");
    const lines: Array<string> = [];
    const waiter = Effect.runFork(logging(lines)(inSchema("busy", PgMigrations.up({ folders: [own] }))));
    await vi.waitFor(() => expect(lines).not.toEqual([]), SOON);
    expect(lines[0]).toMatch(
      /^migrations of schema "busy" wait for a process that uses a table: backend \d+ of application "reporting", idle in transaction/,
    );
    await user.end();
    expect(await Effect.runPromise(Fiber.join(waiter))).toEqual(["app/0001_note"]);
  });

  it("can be left to psql: what a plan prints does what the migrations do, up and down", async () => {
    const psql = async (sql: string) => {
      const file = join(folder, "plan.sql");
      await writeFile(file, sql);
      await new Promise<void>((resolve, reject) => {
        execFile(
          "psql",
          ["--dbname", database.url, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", file],
          (error, _, stderr) => (error === null ? resolve() : reject(new Error(stderr))),
        );
      });
      await rm(file);
    };
    const catalog = async (schema: string) =>
      (await rowsOf(Catalog.DESCRIBE, [schema])).map((row) => String(row["line"]).replaceAll(schema, "SCHEMA"));
    await Effect.runPromise(inSchema("migrated", PgMigrations.up()));
    await psql((await Effect.runPromise(inSchema("printed", PgMigrations.plan()))).sql);
    expect(await catalog("printed")).toEqual(await catalog("migrated"));
    expect(await Effect.runPromise(inSchema("printed", PgMigrations.up()))).toEqual([]);
    await psql((await Effect.runPromise(inSchema("printed", PgMigrations.planDown(99)))).sql);
    expect(await catalog("printed")).toEqual([]);
    expect(await Effect.runPromise(inSchema("printed", PgMigrations.up()))).toEqual(PACKAGE);
  });
});
