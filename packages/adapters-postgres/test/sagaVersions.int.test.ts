import { realServer } from "@tools/servers/testing";
import { Effect } from "effect";
import { afterEach, beforeEach, describe } from "vitest";
import * as PgStores from "../src/PgStores.ts";
import * as Database from "./Database.ts";
import { cases } from "./VersionsSuite.ts";

const server = realServer("postgres");

describe.runIf(server !== null)("versions of a saga on PostgreSQL", () => {
  let database: Database.Database;

  beforeEach(async () => {
    database = await Database.create(server ?? "");
  });
  afterEach(() => database.drop());

  cases((program) => Effect.runPromise(Effect.scoped(Effect.provide(program, PgStores.layer({ url: database.url, schema: "versions" })))));
});
