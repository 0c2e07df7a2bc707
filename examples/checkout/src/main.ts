/** The checkout service as a process of its own, on PostgreSQL and Kafka. */
import { Connections, HttpPaymentProvider, ServiceConfig, ServiceMain } from "@example/contracts";
import { KafkaBus } from "@org/saga-kafka";
import { PgStores } from "@org/saga-postgres";
import { Effect, Layer } from "effect";
import { FetchHttpClient } from "effect/http";
import { CheckoutApp } from "./index.ts";

ServiceMain.run((config) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const url = yield* ServiceConfig.need(config.postgresUrl, "SAGA_PG_URL");
      const poolSize = yield* Connections.poolSize(config, "checkout", CheckoutApp.SHAPE);
      const stores = PgStores.layer({ url, schema: CheckoutApp.SCHEMA, applicationName: "checkout", poolSize });
      const bus = KafkaBus.layer(yield* ServiceConfig.kafka(config, "checkout"));
      const provider = HttpPaymentProvider.layer({ baseUrl: config.urls.provider, timeoutMillis: config.payment.callTimeoutMillis }).pipe(
        Layer.provide(FetchHttpClient.layer),
      );
      return CheckoutApp.layer(config).pipe(Layer.provide([stores, bus, provider]));
    }),
  ),
);
