/** The inventory service as a process of its own, on PostgreSQL and Kafka, its stock in Redis, in PostgreSQL or in both. */
import { Catalogue, HttpCatalogue } from "@example/catalog";
import { Connections, ServiceConfig, ServiceMain } from "@example/contracts";
import { KafkaBus } from "@org/saga-kafka";
import { HybridStock, StockLog, StockReconcile } from "@org/saga-core";
import { PgStock, PgStockAudit, PgStockBooks, PgStores } from "@org/saga-postgres";
import { RedisClient, RedisConfig, RedisStock, RedisStockLog } from "@org/saga-redis";
import { Effect, Layer } from "effect";
import { FetchHttpClient } from "effect/http";
import { InventoryApp } from "./index.ts";

const redisOf = Effect.fnUntraced(function* (config: ServiceConfig.ServiceConfig) {
  const url = yield* ServiceConfig.need(config.redisUrl, "SAGA_REDIS_URL");
  return RedisConfig.layer({ url, prefix: `${config.redisPrefix}${RedisConfig.PREFIX_DEFAULT}` });
});

/** The engine, and for workers what compares its ledger with its records, and with the log that serves. */
const stockOf = Effect.fnUntraced(function* (config: ServiceConfig.ServiceConfig) {
  const ledger = Layer.merge(PgStockAudit.layer, PgStockBooks.layer);
  const audited = config.roles.has("worker");
  switch (config.stockEngine) {
    case "postgres":
      return { engine: PgStock.layer, audit: audited ? Layer.provide(StockReconcile.layerWith({ log: null }), ledger) : Layer.empty };
    case "redis":
      return { engine: RedisStock.layer.pipe(Layer.provide(RedisClient.layer), Layer.provide(yield* redisOf(config))), audit: Layer.empty };
    case "hybrid": {
      // One for both: it has the whole state in memory.
      const log = RedisStockLog.layer.pipe(Layer.provide(RedisClient.layerAtOnce), Layer.provide(yield* redisOf(config)));
      const audit = Layer.unwrap(Effect.map(StockLog, (serving) => StockReconcile.layerWith({ log: serving })));
      return {
        engine: HybridStock.layer.pipe(Layer.provide([log, PgStockBooks.layer])),
        audit: audited ? audit.pipe(Layer.provide([log, ledger])) : Layer.empty,
      };
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
      const { engine, audit } = yield* stockOf(config);
      const catalogue =
        config.urls.catalog === null
          ? Catalogue.layer
          : HttpCatalogue.layer({ baseUrl: config.urls.catalog }).pipe(Layer.provide(FetchHttpClient.layer));
      const app = InventoryApp.layer(config).pipe(Layer.provide([bus, catalogue, engine]));
      return Layer.merge(app, audit).pipe(Layer.provide(stores));
    }),
  ),
);
