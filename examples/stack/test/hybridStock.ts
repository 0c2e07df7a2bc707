import { HybridStock } from "@org/saga-core";
import { PgStockBooks } from "@org/saga-postgres";
import { RedisClient, RedisConfig, RedisStockLog } from "@org/saga-redis";
import { Layer } from "effect";

const log = RedisStockLog.layer.pipe(
  Layer.provide(RedisClient.layerAtOnce),
  Layer.provide(RedisConfig.layer({ url: "redis://127.0.0.1:6379" })),
);

/** `StockReservation`, on a `PgClient` whose schema is migrated. */
export const stock = HybridStock.layerWith({ durable: false }).pipe(Layer.provide([log, PgStockBooks.layer]));
