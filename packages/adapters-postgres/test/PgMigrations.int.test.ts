/** Migrations on a real server: many processes at once, and a server that comes later. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { OrderStore } from "@org/saga-core";
import { startTcpProxy } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Effect, ManagedRuntime } from "effect";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgMigrations from "../src/PgMigrations.ts";
import * as PgStores from "../src/PgStores.ts";
import * as Catalog from "./Catalog.ts";
import * as Database from "./Database.ts";

const server = realServer("postgres");
const PROCESSES = 4;
const MAIN = fileURLToPath(new URL("migrate.main.ts", import.meta.url));

describe.runIf(server !== null)("migrations on a server", () => {
  let database: Database.Database;
  beforeAll(async () => {
    database = await Database.create(server ?? "");
  });
  afterAll(() => database.drop());

  const inSchema = <A, E>(schema: string, effect: Effect.Effect<A, E, PgClient.PgClient>, url = database.url): Promise<A> =>
    Effect.runPromise(Effect.provide(effect, PgClient.layer({ url, schema })));

  it("several processes at once: one applies them, the others wait and find them applied", async () => {
    const run = () => promisify(execFile)(process.execPath, ["--conditions=@org/source", MAIN, database.url, "crowd"]);
    const outputs = await Promise.all(Array.from({ length: PROCESSES }, run));
    const applied = outputs.map(({ stdout }) => JSON.parse(stdout) as unknown);
    const names = (await Effect.runPromise(PgMigrations.load)).map((migration) => migration.name);
    expect(applied.filter((list) => JSON.stringify(list) === JSON.stringify(names))).toHaveLength(1);
    expect(applied.filter((list) => JSON.stringify(list) === "[]")).toHaveLength(PROCESSES - 1);
    expect((await inSchema("crowd", PgMigrations.status())).every(({ state }) => state === "applied")).toBe(true);
  });

  it.each([
    ["as the embedded database does", ""],
    ["also where a backslash in a string means something", "-c standard_conforming_strings=off -c escape_string_warning=off"],
  ])("make the golden schema, and go up again after they went down, %s", async (_, options) => {
    const own = await Database.create(server ?? "");
    const url = new URL(own.url);
    if (options !== "") url.searchParams.set("options", options);
    await inSchema("golden", PgMigrations.up(), url.href);
    await inSchema("golden", PgMigrations.down((await Effect.runPromise(PgMigrations.load)).length), url.href);
    await inSchema("golden", PgMigrations.up(), url.href);
    const client = new pg.Client({ connectionString: own.url });
    await client.connect();
    const { rows } = await client.query<{ readonly line: string }>(Catalog.DESCRIBE, ["golden"]);
    await client.end();
    await expect(`${rows.map((row) => row.line).join("\n")}\n`).toMatchFileSnapshot("golden/schema.txt");
    await own.drop();
  });

  it("two schemas of one database are migrated side by side", async () => {
    const [left, right] = await Promise.all([inSchema("left", PgMigrations.up()), inSchema("right", PgMigrations.up())]);
    expect(left).toEqual(right);
    expect(left.length).toBeGreaterThan(0);
  });

  it("wait for a server that is not there yet", async () => {
    const target = new URL(database.url);
    const proxy = await startTcpProxy({ target: { host: target.hostname, port: Number(target.port || 5432) } });
    await proxy.refuse();
    const url = new URL(database.url);
    url.hostname = "127.0.0.1";
    url.port = String(proxy.port);
    const runtime = ManagedRuntime.make(PgStores.layer({ url: url.href, schema: "late" }));
    const started = runtime.runPromise(Effect.flatMap(OrderStore, (orders) => orders.find([])));
    await Effect.runPromise(Effect.sleep("200 millis"));
    await proxy.resume();
    expect((await started).size).toBe(0);
    await runtime.dispose();
    await proxy.stop();
  });

  it("need no right to create schemas where there is one already", async () => {
    // Roles belong to the server, not to the database: the name is this run's.
    const role = `limited_${new URL(database.url).pathname.slice(1)}`;
    await Database.administer(database.url, `create role ${role} login password '${role}'`);
    await Database.administer(database.url, `create schema granted authorization ${role}`);
    const limited = new URL(database.url);
    limited.username = role;
    limited.password = role;
    try {
      expect(await inSchema("granted", PgMigrations.up(), limited.href)).not.toEqual([]);
      const error = await inSchema("forbidden", Effect.flip(PgMigrations.up()), limited.href);
      expect(error).toMatchObject({ _tag: "PgMigrationError", problem: "Failed" });
      expect(error.message).toMatch(/permission denied for database/);
    } finally {
      await Database.administer(database.url, `drop owned by ${role} cascade`);
      await Database.administer(database.url, `drop role ${role}`);
    }
  });
});
