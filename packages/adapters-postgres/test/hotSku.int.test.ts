import { StockReservation } from "@org/saga-core";
import { Contract, HotSku, StockContention } from "@org/saga-core/testing";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer } from "effect";
import { afterAll, beforeAll, describe, test } from "vitest";
import { PgClient, PgMigrations, PgStock } from "../src/index.ts";
import * as Database from "./Database.ts";

const url = realServer("postgres") ?? "";

describe.runIf(url !== "")("PgStock behind SoldOut, in four processes,", () => {
  let schema = "";
  beforeAll(async () => {
    schema = (await Effect.runPromise(Contract.unique("hot"))).replace("-", "_");
  });
  afterAll(() => Database.administer(url, `drop schema if exists "${schema}" cascade`));

  const connect = Effect.suspend(() => {
    const engine = PgStock.layer.pipe(Layer.provide(PgMigrations.layer), Layer.provide(PgClient.layer({ url, schema, poolSize: 4 })));
    return Effect.flatMap(Layer.build(Layer.fresh(engine)), (context) => Effect.provide(StockReservation, context));
  });

  for (const { name, run } of HotSku.cases) {
    test(name, () =>
      Effect.gen(function* () {
        const engines = [yield* connect, yield* connect, yield* connect, yield* connect];
        yield* Effect.provideService(run, StockContention.Rivals, engines);
      }).pipe(Effect.scoped, Effect.runPromise),
    );
  }
});
