/** The fulfillment service as a whole, as its settings want it, on whatever stores and bus it is given. */
import { Effect, Layer } from "effect";
import type { HttpServer, HttpServerError } from "effect/http";
import { CheckoutTopology, type Connections, HttpService, type Operations, type ServiceConfig } from "@example/contracts";
import { type CommandHandler, type DeadLetters, type DocumentStore, type MessageBus, Outbox, type SagaStore } from "@org/saga-core";
import * as FulfillmentService from "./FulfillmentService.ts";

/** Its PostgreSQL schema. */
export const SCHEMA = "fulfillment";

/** What of it holds connections: batches of its mailbox; the timers and the retention. */
export const SHAPE: Connections.Shape = { mailbox: true, responds: false, stockBatches: 0, loops: 2 };

export type Settings = Pick<ServiceConfig.ServiceConfig, "http" | "roles" | "concurrency"> & CheckoutTopology.Settings;

const web = (settings: Settings) =>
  Layer.unwrap(
    Effect.map(Outbox, (outbox) => {
      const stores: Operations.Check = { name: "stores", run: outbox.pendingShards };
      const listen = { host: settings.http.host, port: settings.http.ports.fulfillment };
      return HttpService.serve(Layer.empty, listen, [stores]);
    }),
  );

export type Ports = CommandHandler.Ports | DocumentStore | SagaStore | DeadLetters | MessageBus;

export const layer = (
  settings: Settings,
): Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError | CheckoutTopology.StartError, Ports> =>
  Layer.mergeAll(
    web(settings),
    CheckoutTopology.reactions("fulfillment", settings),
    FulfillmentService.roles(
      [...settings.roles].filter((role) => role !== "web"),
      settings.concurrency,
    ),
  ).pipe(Layer.provide(FulfillmentService.layer({}, settings.concurrency.mailbox)));
