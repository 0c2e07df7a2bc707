import { randomBytes } from "node:crypto";
import { realServer } from "@tools/servers/testing";
import { PgClient } from "@org/saga-postgres";
import { Effect } from "effect";
import { afterAll, describe, expect, it } from "vitest";
import * as Provision from "../src/Provision.ts";

const serverUrl = realServer("postgres");

describe.runIf(serverUrl !== null)("a database for a stack", () => {
  const url = Provision.databaseUrl(serverUrl ?? "postgres://127.0.0.1", `saga-provision-${randomBytes(4).toString("hex")}`);

  afterAll(() => Provision.dropDatabase(url));

  const schemas = (): Promise<ReadonlyArray<string>> =>
    Effect.runPromise(
      Effect.gen(function* () {
        const client = yield* PgClient.PgClient;
        const text = "select table_schema as name from information_schema.tables where table_name = 'saga_migrations'";
        return (yield* client.query<{ readonly name: string }>("test", text)).rows.map(({ name }) => name);
      }).pipe(Effect.provide(PgClient.layer({ url, poolSize: 1 }))),
    );

  it("is made once, whoever else makes it at the same moment", async () => {
    await Promise.all([Provision.createDatabase(url), Provision.createDatabase(url), Provision.createDatabase(url)]);
    await Provision.createDatabase(url);
    expect(await schemas()).toEqual([]);
  });

  it("gets a schema for each service, and keeps what it has when it is migrated again", async () => {
    await Provision.migrate(url);
    await Provision.migrate(url);
    expect((await schemas()).toSorted()).toEqual([...Provision.SCHEMAS].toSorted());
  });

  it("is gone after it is dropped, and dropping it again changes nothing", async () => {
    await Provision.dropDatabase(url);
    await Provision.dropDatabase(url);
    await expect(schemas()).rejects.toThrow("3D000");
  });

  it("is not waited for where there is no server", async () => {
    await expect(Provision.createDatabase("postgres://postgres@127.0.0.1:1/saga")).rejects.toThrow();
  });
});
