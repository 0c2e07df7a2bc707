/** Every store keeps its contract on a real PostgreSQL server. */
import { realServer } from "@tools/servers/testing";
import { ManagedRuntime } from "effect";
import { afterAll, beforeAll, describe } from "vitest";
import * as PgStores from "../src/PgStores.ts";
import * as Database from "./Database.ts";
import * as Suites from "./Suites.ts";

const server = realServer("postgres");

describe.runIf(server !== null)("on PostgreSQL", () => {
  let database: Database.Database;
  let runtime: ManagedRuntime.ManagedRuntime<PgStores.PgStores, unknown>;

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    runtime = ManagedRuntime.make(PgStores.layer({ url: database.url, schema: "contract" }));
    await runtime.context();
  });

  afterAll(async () => {
    await runtime.dispose();
    await database.drop();
  });

  Suites.run("many", (example) => runtime.runPromise(example));
});
