/** The order service as a process of its own, on PostgreSQL and Kafka. */
import { Catalogue, HttpCatalogue } from "@example/catalog";
import { Connections, ServiceConfig, ServiceMain } from "@example/contracts";
import { KafkaBus } from "@org/saga-kafka";
import { PgStores } from "@org/saga-postgres";
import { Effect, Layer } from "effect";
import { FetchHttpClient } from "effect/http";
import { OrderApp } from "./index.ts";

ServiceMain.run((config) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const url = yield* ServiceConfig.need(config.postgresUrl, "SAGA_PG_URL");
      const poolSize = yield* Connections.poolSize(config, "order", OrderApp.SHAPE);
      const stores = PgStores.layer({ url, schema: OrderApp.SCHEMA, applicationName: "order", poolSize });
      const bus = KafkaBus.layer(yield* ServiceConfig.kafka(config, "order"));
      const catalogue =
        config.urls.catalog === null
          ? Catalogue.layer
          : HttpCatalogue.layer({ baseUrl: config.urls.catalog }).pipe(Layer.provide(FetchHttpClient.layer));
      return OrderApp.layer(config).pipe(Layer.provide([stores, bus, catalogue]));
    }),
  ),
);
