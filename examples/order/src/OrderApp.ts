/** The order service as a whole, as its settings want it, on whatever stores, bus and catalogue it is given. */
import { Effect, Layer } from "effect";
import type { HttpServer, HttpServerError } from "effect/http";
import type { Catalogue } from "@example/catalog";
import { CheckoutTopology, type Connections, HttpService, type Operations, type ServiceConfig } from "@example/contracts";
import { type CommandHandler, type DeadLetters, type MessageBus, type OrderStore, Outbox, type SagaStore } from "@org/saga-core";
import * as OrderHttp from "./OrderHttp.ts";
import * as OrderService from "./OrderService.ts";

/** Its PostgreSQL schema. */
export const SCHEMA = "order";

/** What of it holds connections: batches of its mailbox; the timers and the retention. */
export const SHAPE: Connections.Shape = { mailbox: true, responds: false, stockBatches: 0, loops: 2 };

export type Settings = Pick<ServiceConfig.ServiceConfig, "http" | "roles" | "concurrency"> & CheckoutTopology.Settings;

const web = (settings: Settings) =>
  Layer.unwrap(
    Effect.map(Outbox, (outbox) => {
      const stores: Operations.Check = { name: "stores", run: outbox.pendingShards };
      const listen = { host: settings.http.host, port: settings.http.ports.order };
      return HttpService.serve(settings.roles.has("web") ? OrderHttp.routes : Layer.empty, listen, [stores]);
    }),
  );

export type Ports = CommandHandler.Ports | OrderStore | SagaStore | DeadLetters | MessageBus | Catalogue;

export const layer = (
  settings: Settings,
): Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError | CheckoutTopology.StartError, Ports> =>
  Layer.merge(
    web(settings),
    OrderService.roles(
      [...settings.roles].filter((role) => role !== "web"),
      settings.concurrency,
    ),
  ).pipe(Layer.provide(OrderService.layer(CheckoutTopology.optionsOf(settings), settings.concurrency.mailbox, settings.topology)));
