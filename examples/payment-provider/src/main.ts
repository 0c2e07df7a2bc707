/** The payment provider as a process of its own. */
import { ServiceConfig, ServiceMain } from "@example/contracts";
import { PgStores } from "@org/saga-postgres";
import { Effect, Layer } from "effect";
import { ProviderService } from "./index.ts";

ServiceMain.run((config) =>
  Layer.unwrap(
    Effect.map(ServiceConfig.need(config.postgresUrl, "SAGA_PG_URL"), (url) =>
      ProviderService.layer(config).pipe(
        Layer.provide(PgStores.layer({ url, schema: ProviderService.SCHEMA, applicationName: "payment-provider" })),
      ),
    ),
  ),
);
