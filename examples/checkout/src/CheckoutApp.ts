/** The checkout service as a whole, as its settings want it, on whatever stores, bus and payment provider it is given. */
import { Effect, Layer } from "effect";
import type { HttpServer, HttpServerError } from "effect/http";
import {
  CheckoutTopology,
  type Connections,
  HttpService,
  type Operations,
  type PaymentProvider,
  type ServiceConfig,
} from "@example/contracts";
import { type CommandHandler, type DeadLetters, type DocumentStore, type MessageBus, Outbox, type SagaStore } from "@org/saga-core";
import * as CheckoutService from "./CheckoutService.ts";
import type * as CheckoutSettings from "./CheckoutSettings.ts";
import * as PaymentWebhook from "./PaymentWebhook.ts";

/** Its PostgreSQL schema. */
export const SCHEMA = "checkout";

/** What of it holds connections: batches of its mailbox, balance checks; the timers and the retention. */
export const SHAPE: Connections.Shape = { mailbox: true, responds: true, stockBatches: 0, loops: 2 };

export type Settings = Pick<ServiceConfig.ServiceConfig, "http" | "roles" | "concurrency" | "webhookSecrets"> & CheckoutTopology.Settings;

/** Between the longest call and the moment it counts as lost, in milliseconds: a commit or two. */
const LEASE_MARGIN_MS = 3_000;

export const paymentSettings = ({ payment }: Settings): Partial<CheckoutSettings.Settings> => ({
  authorizeDeadlineMillis: payment.deadlineMillis,
  captureDeadlineMillis: payment.deadlineMillis,
  callLeaseMillis: payment.callTimeoutMillis + LEASE_MARGIN_MS,
});

const web = (settings: Settings) =>
  Layer.unwrap(
    Effect.map(Outbox, (outbox) => {
      const stores: Operations.Check = { name: "stores", run: outbox.pendingShards };
      const listen = { host: settings.http.host, port: settings.http.ports.checkout };
      return HttpService.serve(settings.roles.has("web") ? PaymentWebhook.routes(settings.webhookSecrets) : Layer.empty, listen, [stores]);
    }),
  );

export type Ports = CommandHandler.Ports | DocumentStore | SagaStore | DeadLetters | MessageBus | PaymentProvider;

export const layer = (
  settings: Settings,
): Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError | CheckoutTopology.StartError, Ports> =>
  Layer.mergeAll(
    web(settings),
    CheckoutTopology.reactions("payment", settings),
    CheckoutService.roles(
      [...settings.roles].filter((role) => role !== "web"),
      settings.concurrency,
    ),
  ).pipe(Layer.provide(CheckoutService.layer(paymentSettings(settings), settings.concurrency.mailbox)));
