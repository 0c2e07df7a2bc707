import { Contract, StockBooksContract } from "@org/saga-core/testing";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer } from "effect";
import pg from "pg";
import { afterAll, beforeAll, describe, test } from "vitest";
import { PgClient, PgMigrations, PgStockBooks } from "../src/index.ts";

const url = realServer("postgres") ?? "";

describe.runIf(url !== "")("PgStockBooks on PostgreSQL keeps the contract of StockBooks: it", () => {
  let schema = "";
  const books = () =>
    PgStockBooks.layer.pipe(Layer.provide(PgMigrations.layer), Layer.provide(PgClient.layer({ url, schema, poolSize: 8 })));

  beforeAll(async () => {
    schema = (await Effect.runPromise(Contract.unique("books"))).replace("-", "_");
  });
  afterAll(async () => {
    const admin = new pg.Client({ connectionString: url });
    await admin.connect();
    await admin.query(`drop schema if exists "${schema}" cascade`);
    await admin.end();
  });

  for (const { name, run } of StockBooksContract.cases) {
    test(name, () => Effect.runPromise(Effect.provide(run, books())));
  }
});
