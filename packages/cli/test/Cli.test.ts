import { Effect, Layer } from "effect";
import { describe, expect, test } from "vitest";
import { PgMigrations } from "@org/saga-postgres";
import { BusError, StoreError } from "@org/saga-core";
import { Brokers } from "../src/Brokers.ts";
import * as CliFailure from "../src/CliFailure.ts";
import * as Databases from "../src/Databases.ts";
import { memoryBrokers, runWith, VERSION } from "./Shell.ts";

const services = Layer.merge(Databases.layer, memoryBrokers(new Set()));
const saga = (args: ReadonlyArray<string>, env?: Readonly<Record<string, string>>) => runWith(services, args, env);
const SECRET = "hunter2";

describe("the command line", () => {
  test("prints its version on stdout", async () => {
    expect(await saga(["--version"])).toEqual({ code: 0, stdout: `saga v${VERSION}`, stderr: "" });
  });

  test("prints help that was asked for on stdout, and ends with 0", async () => {
    const { code, stdout, stderr } = await saga(["migrate", "--help"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/up .*down .*status/s);
  });

  test.each([[[]], [["migrate"]], [["topics"]], [["orders"]], [["outbox"]], [["dlq"]]])(
    "with too little said (%j) prints help on stderr, and ends with 2",
    async (args) => {
      const { code, stdout, stderr } = await saga(args);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toContain("USAGE");
    },
  );

  test.each([
    [["nonsense"], "nonsense"],
    [["migrate", "sideways"], "sideways"],
    [["migrate", "up", "--nope"], "--nope"],
    [["migrate", "up", "--schema", "Order"], 'flag --schema: "Order". Expected lower case letters'],
    [["orders", "show", "x y"], 'argument <id>: "x y". Expected 1 to 128 letters'],
    [["migrate", "down", "--steps", "0"], "at least 1"],
    [["migrate", "down", "--steps", "two"], "two"],
    [["topics", "list", "--topic", "a b"], "letters, digits"],
    [["topics", "list", "--topic", "__consumer_offsets"], "the broker's own"],
    [["orders", "show"], "id"],
    [["orders", "show", "not an id"], "not an id"],
    [["diagram", "house"], "house"],
    [["dlq", "list", "--max", "0"], "1 to 10000"],
  ])("refuses %j with 2, and says what is wrong and where help is", async (args, word) => {
    const { code, stdout, stderr } = await saga(args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(word);
    expect(stderr).toMatch(/^Try: saga .*--help$/m);
  });

  test("has no flag that takes an address or a password", async () => {
    const { stdout } = await saga(["migrate", "up", "--help"]);
    expect(stdout).not.toMatch(/--(url|password|broker|host)/);
  });

  test("colors help only on a terminal", async () => {
    const { stdout } = await saga(["--help"]);
    expect(stdout).not.toContain("\u001b");
  });

  test("offers completions", async () => {
    const { code, stdout } = await saga(["--completions", "bash"]);
    expect([code, stdout.includes("migrate")]).toEqual([0, true]);
  });
});

describe("the environment", () => {
  const commands = [
    ["migrate", "up"],
    ["migrate", "status"],
    ["orders", "show", "o-1"],
    ["outbox", "status"],
    ["dlq", "list"],
  ];

  test.each(commands)("is asked for the database by %s %s, and its lack is a usage error", async (...args) => {
    const { code, stdout, stderr } = await saga(args.filter((arg) => typeof arg === "string"));
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toBe("saga: SAGA_PG_URL is not set: postgres://user:password@host:port/database");
  });

  test("that is malformed is a usage error which does not repeat it", async () => {
    const { code, stderr } = await saga(["migrate", "status"], { SAGA_PG_URL: `mysql://saga:${SECRET}@db/x` });
    expect(code).toBe(2);
    expect(stderr).toContain("SAGA_PG_URL");
    expect(stderr).not.toContain(SECRET);
  });

  test("names schemas, and one that cannot be is a usage error", async () => {
    const { code, stderr } = await saga(["migrate", "status"], { SAGA_PG_SCHEMA: "order,,checkout" });
    expect([code, stderr.startsWith('saga: SAGA_PG_SCHEMA: "" cannot be a schema name')]).toEqual([2, true]);
  });

  test("with a server that does not answer ends the command with 4, and shows no password", async () => {
    const { code, stdout, stderr } = await saga(["migrate", "status", "--schema", "order"], {
      SAGA_PG_URL: `postgres://saga:${SECRET}@127.0.0.1:1/x`,
    });
    expect({ code, stdout, stderr }).toEqual({ code: 4, stdout: "", stderr: "saga: PostgreSQL, schema order: connection: ECONNREFUSED" });
  });
});

describe("a failure becomes an exit code:", () => {
  const store = (reason: StoreError["reason"], message: string) =>
    CliFailure.ofStore("schema order")(new StoreError({ reason, operation: "x", message })).code;

  test("no connection is 4, a schema that is not migrated is 1, as is what was refused", () => {
    expect(store("Unavailable", "connection: ECONNREFUSED")).toBe(CliFailure.UNREACHABLE);
    expect(store("Unavailable", "SQLSTATE 57P03 cannot_connect_now")).toBe(CliFailure.UNREACHABLE);
    expect(store("Unavailable", "SQLSTATE 42P01 undefined_table: run the migrations")).toBe(CliFailure.FAILED);
    expect(store("Unavailable", "SQLSTATE 3F000 invalid_schema_name: run the migrations")).toBe(CliFailure.FAILED);
    expect(store("Misuse", "SQLSTATE 28P01 invalid_password")).toBe(CliFailure.FAILED);
  });

  test("a migration that fails is 1", () => {
    const error = new PgMigrations.PgMigrationError({ problem: "Changed", migration: "0001_initial", message: "changed" });
    expect(CliFailure.ofStore("schema order")(error)).toMatchObject({ code: CliFailure.FAILED, message: "schema order: changed" });
  });

  test("a broker that is away is 4, one that refuses is 1", () => {
    const bus = (reason: BusError["reason"]) => CliFailure.ofBus(new BusError({ reason, operation: "x", message: "no" })).code;
    expect([bus("Unavailable"), bus("Refused")]).toEqual([CliFailure.UNREACHABLE, CliFailure.FAILED]);
  });

  test("a defect is 1, and is reported on stderr by its name and place: its own text may quote a payload or an address", async () => {
    const broken = Layer.merge(Databases.layer, Layer.succeed(Brokers, { use: () => Effect.die(new TypeError(SECRET)) }));
    const { code, stdout, stderr } = await runWith(broken, ["topics", "list"]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^saga: unexpected: a defect \(TypeError at .*Cli\.test\.ts:\d+:\d+\)+$/);
  });

  test("an interruption is 130", async () => {
    const stuck = Layer.merge(Databases.layer, Layer.succeed(Brokers, { use: () => Effect.interrupt }));
    expect(await runWith(stuck, ["topics", "list"])).toEqual({ code: 130, stdout: "", stderr: "" });
  });
});
