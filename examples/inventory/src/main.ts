/** The inventory service as a process of its own, on PostgreSQL and Kafka, its stock in Redis, in PostgreSQL or in both. */
import { Catalogue, HttpCatalogue } from "@example/catalog";
import { Connections, ServiceConfig, ServiceMain } from "@example/contracts";
import { KafkaBus } from "@org/saga-kafka";
import { HybridStock } from "@org/saga-core";
import { PgStock, PgStockBooks, PgStores } from "@org/saga-postgres";
import { RedisClient, RedisConfig, RedisStock, RedisStockLog } from "@org/saga-redis";
import { Effect, Layer } from "effect";
import { FetchHttpClient } from "effect/http";
import { InventoryApp } from "./index.ts";

const redisOf = Effect.fnUntraced(function* (config: ServiceConfig.ServiceConfig) {
  const url = yield* ServiceConfig.need(config.redisUrl, "SAGA_REDIS_URL");
  return RedisConfig.layer({ url, prefix: `${config.redisPrefix}${RedisConfig.PREFIX_DEFAULT}` });
});

const stockOf = Effect.fnUntraced(function* (config: ServiceConfig.ServiceConfig) {
  switch (config.stockEngine) {
    case "postgres":
      return PgStock.layer;
    case "redis":
      return RedisStock.layer.pipe(Layer.provide(RedisClient.layer), Layer.provide(yield* redisOf(config)));
    case "hybrid": {
      const log = RedisStockLog.layer.pipe(Layer.provide(RedisClient.layerAtOnce), Layer.provide(yield* redisOf(config)));
      return HybridStock.layer.pipe(Layer.provide([log, PgStockBooks.layer]));
    }
  }
});

ServiceMain.run((config) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const url = yield* ServiceConfig.need(config.postgresUrl, "SAGA_PG_URL");
      const poolSize = yield* Connections.poolSize(config, "inventory", InventoryApp.shape(config.stockEngine));
      const stores = PgStores.layer({ url, schema: InventoryApp.SCHEMA, applicationName: "inventory", poolSize });
      const bus = KafkaBus.layer(yield* ServiceConfig.kafka(config, "inventory"));
      const stock = yield* stockOf(config);
      const catalogue =
        config.urls.catalog === null
          ? Catalogue.layer
          : HttpCatalogue.layer({ baseUrl: config.urls.catalog }).pipe(Layer.provide(FetchHttpClient.layer));
      return InventoryApp.layer(config).pipe(Layer.provide([bus, catalogue, stock]), Layer.provide(stores));
    }),
  ),
);
