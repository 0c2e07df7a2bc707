import { StockReservation } from "@org/saga-core";
import { Contract, StockContention, StockReservationContract } from "@org/saga-core/testing";
import { Effect, Layer } from "effect";
import { describe, test } from "vitest";
import { RedisClient, RedisConfig, RedisStock } from "../src/index.ts";
import { realServer } from "@tools/servers/testing";

const url = realServer("redis") ?? "";

const engine = (prefix: string) =>
  RedisStock.layer.pipe(Layer.provide(RedisClient.layer), Layer.provide(RedisConfig.layer({ url, prefix })));

describe.runIf(url !== "")("RedisStock keeps the contract of StockReservation: it", () => {
  for (const { name, run } of StockReservationContract.cases) {
    test(name, () =>
      Contract.unique("test").pipe(
        Effect.flatMap((prefix) => Effect.provide(run, engine(prefix))),
        Effect.runPromise,
      ),
    );
  }
});

describe.runIf(url !== "")("RedisStock in two processes: two", () => {
  for (const { name, run } of StockContention.rivalry) {
    test(name, () =>
      Effect.gen(function* () {
        const prefix = yield* Contract.unique("test");
        const connect = Effect.flatMap(Layer.build(Layer.fresh(engine(prefix))), (context) => Effect.provide(StockReservation, context));
        yield* Effect.provideService(run, StockContention.Rivals, [yield* connect, yield* connect]);
      }).pipe(Effect.scoped, Effect.runPromise),
    );
  }
});
