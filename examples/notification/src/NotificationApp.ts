/** The notification service as a whole, as its settings want it, on whatever stores and bus it is given. */
import { Effect, Layer } from "effect";
import type { HttpServer, HttpServerError } from "effect/http";
import { type Connections, HttpService, type Operations, type ServiceConfig } from "@example/contracts";
import {
  type CommandHandler,
  type DeadLetters,
  type DocumentStore,
  type InboxQueue,
  InboxWorker,
  type Lock,
  type MessageBus,
  Outbox,
} from "@org/saga-core";
import * as NotificationHttp from "./NotificationHttp.ts";
import * as NotificationService from "./NotificationService.ts";

/** Its PostgreSQL schema. */
export const SCHEMA = "notification";

/** What of it holds connections: batches of its mailbox; the retention; with a store, what stores and who works at it. */
export const shapeOf = ({ inboxMode }: Pick<Settings, "inboxMode">): Connections.Shape => {
  const stores = inboxMode === "store";
  return { mailbox: true, responds: stores, stockBatches: 0, loops: stores ? 1 + InboxWorker.SHARDS_IN_FLIGHT : 1 };
};

export type Settings = Pick<ServiceConfig.ServiceConfig, "http" | "roles" | "concurrency" | "inboxMode">;

const web = (settings: Settings) =>
  Layer.unwrap(
    Effect.map(Outbox, (outbox) => {
      const stores: Operations.Check = { name: "stores", run: outbox.pendingShards };
      const listen = { host: settings.http.host, port: settings.http.ports.notification };
      return HttpService.serve(settings.roles.has("web") ? NotificationHttp.routes : Layer.empty, listen, [stores]);
    }),
  );

export type Ports = CommandHandler.Ports | DocumentStore | DeadLetters | InboxQueue | Lock | MessageBus;

export const layer = (settings: Settings): Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError, Ports> =>
  Layer.merge(
    web(settings),
    NotificationService.roles(
      [...settings.roles].filter((role) => role !== "web"),
      settings.concurrency,
      settings.inboxMode,
    ),
  ).pipe(Layer.provide(NotificationService.layerWith(settings.concurrency.mailbox)));
