/** The fulfillment service as a whole, as its settings want it, on whatever stores and bus it is given. */
import { Effect, Layer } from "effect";
import type { HttpServer, HttpServerError } from "effect/http";
import { HttpService, type Operations, type ServiceConfig } from "@example/contracts";
import { type CommandHandler, type DeadLetters, type DocumentStore, type MessageBus, Outbox } from "@org/saga-core";
import * as FulfillmentService from "./FulfillmentService.ts";

/** Its PostgreSQL schema. */
export const SCHEMA = "fulfillment";

export type Settings = Pick<ServiceConfig.ServiceConfig, "http" | "roles">;

const web = (settings: Settings) =>
  Layer.unwrap(
    Effect.map(Outbox, (outbox) => {
      const stores: Operations.Check = { name: "stores", run: outbox.pendingShards };
      const listen = { host: settings.http.host, port: settings.http.ports.fulfillment };
      return HttpService.serve(Layer.empty, listen, [stores]);
    }),
  );

export type Ports = CommandHandler.Ports | DocumentStore | DeadLetters | MessageBus;

export const layer = (settings: Settings): Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError, Ports> =>
  Layer.merge(web(settings), FulfillmentService.roles([...settings.roles].filter((role) => role !== "web"))).pipe(
    Layer.provide(FulfillmentService.layer()),
  );
