/** The contender on PostgreSQL. */
import { PgClient, PgStock, PgStores } from "@org/saga-postgres";
import { Effect, Layer, ManagedRuntime } from "effect";
import * as EffectEngine from "./EffectEngine.ts";
import { serve } from "./ServeStock.ts";

const SCHEMA = "stock";

/** Pool and schema outlive the cells; each has an engine of its own, and leaves the tables empty. */
const server = ManagedRuntime.make(PgStores.layer({ url: process.env["BENCH_PG_URL"] ?? "", schema: SCHEMA }));
const client = await server.runPromise(PgClient.PgClient);

serve(({ soldOut }) =>
  EffectEngine.open(PgStock.layer.pipe(Layer.provide(Layer.succeed(PgClient.PgClient, client))), soldOut, async () => {
    const clear = client.query("bench", `truncate ${SCHEMA}.stock_skus, ${SCHEMA}.stock_holds, ${SCHEMA}.stock_adjustments`);
    await server.runPromise(Effect.asVoid(clear));
  }),
);
