/** The inventory service as a process of its own, on PostgreSQL and Kafka, its stock in Redis or in PostgreSQL. */
import { Catalogue, HttpCatalogue } from "@example/catalog";
import { Connections, ServiceConfig, ServiceMain } from "@example/contracts";
import { KafkaBus } from "@org/saga-kafka";
import { PgStock, PgStores } from "@org/saga-postgres";
import { RedisClient, RedisConfig, RedisStock } from "@org/saga-redis";
import { Effect, Layer } from "effect";
import { FetchHttpClient } from "effect/http";
import { InventoryApp } from "./index.ts";

const redisStock = Effect.fnUntraced(function* (config: ServiceConfig.ServiceConfig) {
  const url = yield* ServiceConfig.need(config.redisUrl, "SAGA_REDIS_URL");
  const redis = RedisConfig.layer({ url, prefix: `${config.redisPrefix}${RedisConfig.PREFIX_DEFAULT}` });
  return RedisStock.layer.pipe(Layer.provide(RedisClient.layer), Layer.provide(redis));
});

ServiceMain.run((config) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const url = yield* ServiceConfig.need(config.postgresUrl, "SAGA_PG_URL");
      const poolSize = yield* Connections.poolSize(config, "inventory", InventoryApp.shape(config.stockEngine));
      const stores = PgStores.layer({ url, schema: InventoryApp.SCHEMA, applicationName: "inventory", poolSize });
      const bus = KafkaBus.layer(yield* ServiceConfig.kafka(config, "inventory"));
      const stock = config.stockEngine === "postgres" ? PgStock.layer : yield* redisStock(config);
      const catalogue =
        config.urls.catalog === null
          ? Catalogue.layer
          : HttpCatalogue.layer({ baseUrl: config.urls.catalog }).pipe(Layer.provide(FetchHttpClient.layer));
      return InventoryApp.layer(config).pipe(Layer.provide([bus, catalogue, stock]), Layer.provide(stores));
    }),
  ),
);
