/** The notification service as a process of its own, on PostgreSQL and Kafka. */
import { Connections, ServiceConfig, ServiceMain } from "@example/contracts";
import { KafkaBus } from "@org/saga-kafka";
import { PgStores } from "@org/saga-postgres";
import { Effect, Layer } from "effect";
import { NotificationApp } from "./index.ts";

ServiceMain.run((config) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const url = yield* ServiceConfig.need(config.postgresUrl, "SAGA_PG_URL");
      const poolSize = yield* Connections.poolSize(config, "notification", NotificationApp.shapeOf(config));
      const stores = PgStores.layer({ url, schema: NotificationApp.SCHEMA, applicationName: "notification", poolSize });
      const bus = KafkaBus.layer(yield* ServiceConfig.kafka(config, "notification"));
      return NotificationApp.layer(config).pipe(Layer.provide([stores, bus]));
    }),
  ),
);
