/** Upgrades from every released version, on a real PostgreSQL server. */
import { realServer } from "@tools/servers/testing";
import pg from "pg";
import { afterAll, beforeAll, describe } from "vitest";
import * as PgClient from "../../src/PgClient.ts";
import * as Database from "../Database.ts";
import { SCHEMA } from "./Sample.ts";
import * as Upgrades from "./Upgrades.ts";

const server = realServer("postgres");

describe.runIf(server !== null)("upgrades on PostgreSQL", () => {
  let database: Database.Database;
  let connection: pg.Client;

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    connection = new pg.Client({ connectionString: database.url });
    await connection.connect();
  });

  afterAll(async () => {
    await connection.end();
    await database.drop();
  });

  Upgrades.run(() => ({
    execute: (text) => connection.query(text),
    lines: async (text, values) => (await connection.query<{ readonly line: string }>(text, [...values])).rows,
    client: PgClient.layer({ url: database.url, schema: SCHEMA }),
  }));
});
