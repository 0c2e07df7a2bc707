/** The fulfillment service as a process of its own, on PostgreSQL and Kafka. */
import { ServiceConfig, ServiceMain } from "@example/contracts";
import { KafkaBus } from "@org/saga-kafka";
import { PgStores } from "@org/saga-postgres";
import { Effect, Layer } from "effect";
import { FulfillmentApp } from "./index.ts";

ServiceMain.run((config) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const url = yield* ServiceConfig.need(config.postgresUrl, "SAGA_PG_URL");
      const brokers = yield* ServiceConfig.need(config.kafkaBrokers, "SAGA_KAFKA_BROKERS");
      const stores = PgStores.layer({ url, schema: FulfillmentApp.SCHEMA, applicationName: "fulfillment" });
      const bus = KafkaBus.layer({ brokers, topicPrefix: config.topicPrefix, clientId: "fulfillment" });
      return FulfillmentApp.layer(config).pipe(Layer.provide([stores, bus]));
    }),
  ),
);
