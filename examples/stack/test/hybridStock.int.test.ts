import { randomBytes } from "node:crypto";
import { StockReservation } from "@org/saga-core";
import { Contract, StockContention, StockReservationContract } from "@org/saga-core/testing";
import { PgClient } from "@org/saga-postgres";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer } from "effect";
import { afterAll, describe, expect, test } from "vitest";
import * as HybridSale from "./HybridSale.ts";

const postgresUrl = realServer("postgres");
const redisUrl = realServer("redis");

describe.runIf(postgresUrl !== null && redisUrl !== null)("HybridStock on Redis and PostgreSQL", () => {
  const schema = `hybrid_${randomBytes(4).toString("hex")}`;
  const place = { postgresUrl: postgresUrl ?? "", redisUrl: redisUrl ?? "", schema };
  const query = (text: string) =>
    Effect.flatMap(PgClient.PgClient, (client) => client.query<{ readonly engine: string }>("test", text)).pipe(
      Effect.provide(PgClient.layer({ url: place.postgresUrl, schema, poolSize: 1 })),
      Effect.runPromise,
    );

  afterAll(async () => {
    await query(`drop schema if exists "${schema}" cascade`);
  });

  describe("keeps the contract of StockReservation: it", () => {
    for (const { name, run } of StockReservationContract.cases) {
      test(name, async () => {
        await Effect.runPromise(Effect.provide(run, HybridSale.layer(place)));
        expect((await query(`select engine from "${schema}".stock_shards`)).rows).toEqual([{ engine: "log" }]);
      });
    }
  });

  describe("in three processes: three", () => {
    // One after the other in one process: what the ledger has answered another process, the log may hear a little later.
    const rivalry = StockContention.rivalry.filter(({ name }) => !name.includes("one after the other"));
    for (const { name, run } of rivalry) {
      test(name, () =>
        Effect.gen(function* () {
          const durable = (it: typeof place) =>
            Effect.flatMap(Layer.build(Layer.fresh(HybridSale.layer(it, { durable: true }))), (context) =>
              Effect.provide(StockReservation, context),
            );
          const rivals = [yield* durable(place), yield* durable(place), yield* durable(place)];
          yield* Effect.provideService(run, StockContention.Rivals, rivals);
        }).pipe(
          Effect.scoped,
          Effect.provideService(Contract.Wait, (millis) => Effect.sleep(millis)),
          Effect.runPromise,
        ),
      );
    }
  });
});
