/** The program, on real servers. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { CheckoutMessages, OrderId, SagaRunner, UnitOfWork } from "@org/saga-core";
import { PgClient, PgConfig, PgMigrations, PgStores, PoolDriver } from "@org/saga-postgres";
import { freePort } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer } from "effect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as Brokers from "../src/Brokers.ts";
import * as Databases from "../src/Databases.ts";
import { definition, stuckOf } from "./Orders.ts";
import { saga } from "./Program.ts";
import { runWith } from "./Shell.ts";

const postgres = realServer("postgres") ?? "";
const kafka = realServer("kafka") ?? [];

const names = (await Effect.runPromise(PgMigrations.load)).map(({ name }) => name);

describe("the program", () => {
  test("prints the version of its package", async () => {
    const { version }: { version: string } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
    expect(await saga(["--version"])).toEqual({ code: 0, stdout: `saga v${version}\n`, stderr: "" });
  });

  test("ends with 2 on a wrong command line, with 4 where no server answers", async () => {
    expect((await saga(["migrate", "sideways"])).code).toBe(2);
    const nowhere = `127.0.0.1:${await freePort()}`;
    const { code, stdout, stderr } = await saga(["migrate", "up"], { SAGA_PG_URL: `postgres://saga:hunter2@${nowhere}/saga` });
    expect([code, stdout]).toEqual([4, ""]);
    expect(stderr).not.toContain("hunter2");
  });
});

describe.runIf(postgres !== "")("the program on PostgreSQL", () => {
  const database = `saga_cli_${randomUUID().replaceAll("-", "")}`;
  const url = Object.assign(new URL(postgres), { pathname: `/${database}` }).href;
  const env = { SAGA_PG_URL: url, SAGA_PG_SCHEMA: "order,checkout" };

  beforeAll(() => administer(`create database ${database}`));
  afterAll(() => administer(`drop database if exists ${database} with (force)`));

  test("migrates, also when it is started several times at once", async () => {
    expect((await saga(["migrate", "status"], env)).code).toBe(3);
    const ran = await Promise.all([1, 2, 3].map(() => saga(["migrate", "up", "--json"], env)));
    expect(ran.map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ""],
      [0, ""],
      [0, ""],
    ]);
    const applied = ran.flatMap(({ stdout }) => {
      const schemas: ReadonlyArray<{ applied: ReadonlyArray<string> }> = JSON.parse(stdout);
      return schemas.flatMap((schema) => schema.applied);
    });
    expect(applied.toSorted()).toEqual([...names, ...names].toSorted());
    expect((await saga(["migrate", "status"], env)).code).toBe(0);
  });

  test("looks at orders, outbox and dead letters", async () => {
    expect(await saga(["orders", "show", "o-1"], env)).toMatchObject({
      code: 1,
      stderr: "saga: no order o-1 in schema order, schema checkout\n",
    });
    expect(await saga(["outbox", "status"], env)).toMatchObject({ code: 0, stderr: "" });
    expect(await saga(["dlq", "list", "--json"], env)).toEqual({ code: 0, stdout: "[]\n", stderr: "" });
  });

  test("takes the word of one of two people who resolve the same undo at once", async () => {
    const id = OrderId.make("o-stuck");
    const stores = PgStores.layerClient.pipe(Layer.provide(PgClient.layer({ url, schema: "order", poolSize: 1 })));
    const put = SagaRunner.make(definition).save([
      { key: id, before: SagaRunner.initial, after: stuckOf(id, Date.UTC(2026, 0, 2), ["authorize-payment"]) },
    ]);
    await Effect.runPromise(Effect.flatMap(UnitOfWork, (unit) => unit.commit(put)).pipe(Effect.provide(stores), Effect.scoped));
    const resolve = (by: string) =>
      saga(["orders", "resolve", id, "--schema", "order", "--step", "authorize-payment", "--by", by, "--reason", "by hand"], env);
    const people = ["ada", "grace"];
    const ran = await Promise.all(people.map(resolve));
    const [who, ...others] = people.filter((_, index) => ran[index]?.code === 0);
    expect(others).toEqual([]);
    for (const { stderr } of ran.filter(({ code }) => code !== 0)) expect(stderr).toContain("nothing to resolve");
    const { stdout } = await saga(["orders", "show", id, "--schema", "order", "--json"], env);
    const { saga: shown }: { saga: { audit: ReadonlyArray<unknown> } } = JSON.parse(stdout);
    expect(shown.audit).toEqual([expect.objectContaining({ action: "resolve", step: "authorize-payment", by: who, note: "by hand" })]);
  });

  test("keeps services with a table prefix apart", async () => {
    const prefixed = ["--table-prefix", "shop_"];
    expect((await saga(["migrate", "status", ...prefixed], env)).code).toBe(3);
    expect(await saga(["migrate", "up", "--schema", "order", ...prefixed], env)).toMatchObject({ code: 0, stderr: "" });
    const variable = { ...env, SAGA_PG_SCHEMA: "order", SAGA_PG_TABLE_PREFIX: "shop_" };
    expect((await saga(["migrate", "status"], variable)).code).toBe(0);
    expect(await saga(["dlq", "list", "--json"], variable)).toEqual({ code: 0, stdout: "[]\n", stderr: "" });
  });

  test("takes migrations back", async () => {
    const { code, stdout } = await saga(["migrate", "down", "--schema", "checkout", "--steps", "99", "--yes", "--json"], env);
    expect([code, JSON.parse(stdout)]).toEqual([0, [{ schema: "checkout", takenBack: names.toReversed() }]]);
  });

  test("ends with 1 in a database that is not there, and names it not", async () => {
    const { code, stderr } = await saga(["migrate", "up"], {
      ...env,
      SAGA_PG_URL: Object.assign(new URL(postgres), { pathname: "/saga_nowhere" }).href,
    });
    expect([code, stderr]).toEqual([1, expect.stringContaining("database")]);
  });
});

describe.runIf(kafka.length > 0)("the program on Kafka", () => {
  const env = { SAGA_KAFKA_BROKERS: kafka.join(","), SAGA_TOPIC_PREFIX: `cli-${randomUUID().slice(0, 8)}.` };

  test("creates the topics that are missing, also when it is started several times at once", async () => {
    const before = await saga(["topics", "list", "--json"], env);
    expect([before.code, JSON.parse(before.stdout)]).toEqual([
      3,
      CheckoutMessages.catalogue.topics.map((topic) => ({ topic: env.SAGA_TOPIC_PREFIX + topic, exists: false })),
    ]);
    expect((await saga(["topics", "create", "--dry-run"], env)).code).toBe(0);
    const ran = await Promise.all([1, 2].map(() => saga(["topics", "create"], env)));
    expect(ran.map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ""],
      [0, ""],
    ]);
    expect(await saga(["topics", "list"], env)).toMatchObject({ code: 0, stderr: "" });
    expect(await saga(["topics", "create"], env)).toMatchObject({ code: 0, stdout: "every topic is there\n" });
  });

  test("does the same when it is run as a value", async () => {
    const own = { ...env, SAGA_TOPIC_PREFIX: `${env.SAGA_TOPIC_PREFIX}value.` };
    const topics = (...args: ReadonlyArray<string>) =>
      runWith(Layer.merge(Databases.layer, Brokers.layer), ["topics", ...args, "--topic", "a.b"], own);
    expect((await topics("list")).code).toBe(3);
    expect(await topics("create")).toEqual({ code: 0, stdout: `${own.SAGA_TOPIC_PREFIX}a.b`, stderr: "" });
    expect((await topics("list")).code).toBe(0);
  });

  test("creates topics of one's own", async () => {
    expect(await saga(["topics", "create", "--topic", "trip.events", "--json"], env)).toMatchObject({
      code: 0,
      stdout: `${JSON.stringify({ created: [`${env.SAGA_TOPIC_PREFIX}trip.events`], existing: [] }, null, 2)}\n`,
    });
  });

  test("ends with 4, and quietly, where no broker answers", async () => {
    const { code, stdout, stderr } = await saga(["topics", "list"], { SAGA_KAFKA_BROKERS: `127.0.0.1:${await freePort()}` });
    expect([code, stdout]).toEqual([4, ""]);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  test.each([{}, { SAGA_KAFKA_BROKERS: "kafka" }])("ends with 2 with an environment of %j", async (environment) => {
    const { code, stderr } = await saga(["topics", "list"], environment);
    expect([code, stderr.startsWith("saga: SAGA_KAFKA_BROKERS")]).toEqual([2, true]);
  });
});

const administer = async (statement: string): Promise<void> => {
  const driver = PoolDriver.make(PgConfig.make({ url: postgres, poolSize: 1 }));
  try {
    await driver.query(statement, []);
  } finally {
    await driver.close();
  }
};
