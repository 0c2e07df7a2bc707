/** The contender on Redis. */
import { RedisClient, RedisConfig, RedisStock } from "@org/saga-redis";
import { Layer } from "effect";
import * as EffectEngine from "./EffectEngine.ts";
import { serve } from "./ServeStock.ts";

const url = process.env["BENCH_REDIS_URL"] ?? "";

serve(({ prefix, shard, soldOut }) => {
  const client = RedisClient.layer.pipe(Layer.provide(RedisConfig.layer({ url, prefix })));
  return EffectEngine.open(RedisStock.layerWith({ shard }).pipe(Layer.provide(client)), soldOut, async () => undefined);
});
