/** The payment provider as a service: API, settlement and signed webhooks, on the stores in the environment. */
import { HttpService, type Operations, type ServiceConfig } from "@example/contracts";
import { type DocumentStore, Timers, type UnitOfWork } from "@org/saga-core";
import { Effect, Layer } from "effect";
import { FetchHttpClient, type HttpServer, type HttpServerError } from "effect/http";
import * as HttpWebhookSender from "./HttpWebhookSender.ts";
import * as Intents from "./Intents.ts";
import * as ProviderHttp from "./ProviderHttp.ts";
import * as Settlement from "./Settlement.ts";

/** Its PostgreSQL schema. */
export const SCHEMA = "provider";

/** Milliseconds for requests in flight at the end. Short: some of them (`pm_timeout`) never end by themselves. */
const DRAIN_MS = 1_000;

export type Settings = Pick<ServiceConfig.ServiceConfig, "http" | "urls" | "webhookSecrets" | "provider">;

export const layer = (
  settings: Settings,
): Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError, DocumentStore | Timers | UnitOfWork> => {
  const intents = Intents.layer(settings.provider);
  const sender = HttpWebhookSender.layer({ url: settings.urls.webhook, secrets: settings.webhookSecrets }).pipe(
    Layer.provide(FetchHttpClient.layer),
  );
  const web = Layer.unwrap(
    Effect.map(Timers, (timers) => {
      const stores: Operations.Check = { name: "stores", run: timers.nextDueAt(Intents.OWNER) };
      const listen = { host: settings.http.host, port: settings.http.ports["payment-provider"], drainMillis: DRAIN_MS };
      return HttpService.serve(ProviderHttp.routes, listen, [stores]);
    }),
  );
  return Layer.merge(web, Settlement.layer.pipe(Layer.provide(sender))).pipe(Layer.provide(intents));
};
