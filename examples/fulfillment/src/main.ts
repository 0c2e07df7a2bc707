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
      const stores = PgStores.layer({ url, schema: FulfillmentApp.SCHEMA, applicationName: "fulfillment" });
      const bus = KafkaBus.layer(yield* ServiceConfig.kafka(config, "fulfillment"));
      return FulfillmentApp.layer(config).pipe(Layer.provide([stores, bus]));
    }),
  ),
);
