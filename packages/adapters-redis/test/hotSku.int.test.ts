import { StockReservation } from "@org/saga-core";
import { Contract, HotSku, StockContention } from "@org/saga-core/testing";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer } from "effect";
import { describe, test } from "vitest";
import { RedisClient, RedisConfig, RedisStock } from "../src/index.ts";

const url = realServer("redis") ?? "";

describe.runIf(url !== "")("RedisStock behind SoldOut, in four processes,", () => {
  const connect = (prefix: string) =>
    Effect.flatMap(
      Layer.build(Layer.fresh(RedisStock.layer.pipe(Layer.provide(RedisClient.layer), Layer.provide(RedisConfig.layer({ url, prefix }))))),
      (context) => Effect.provide(StockReservation, context),
    );

  for (const { name, run } of HotSku.cases) {
    test(name, () =>
      Effect.gen(function* () {
        const prefix = yield* Contract.unique("hot");
        const engines = [yield* connect(prefix), yield* connect(prefix), yield* connect(prefix), yield* connect(prefix)];
        yield* Effect.provideService(run, StockContention.Rivals, engines);
      }).pipe(Effect.scoped, Effect.runPromise),
    );
  }
});
