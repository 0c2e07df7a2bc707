/** The inventory service as a whole, as its settings want it, on whatever stores, bus, stock engine and catalogue it is given. */
import { Duration, Effect, Layer, Schedule } from "effect";
import type { HttpServer, HttpServerError } from "effect/http";
import { Catalogue } from "@example/catalog";
import { CheckoutTopology, type Connections, HttpService, type Operations, type ServiceConfig } from "@example/contracts";
import {
  type DeadLetters,
  type IdempotencyKeys,
  type Inbox,
  type MessageBus,
  Outbox,
  type SagaStore,
  StockReservation,
  type Timers,
  type UnitOfWork,
} from "@org/saga-core";
import * as InventoryHttp from "./InventoryHttp.ts";
import * as InventoryService from "./InventoryService.ts";

/** Its PostgreSQL schema. */
export const SCHEMA = "inventory";

/** Batches in PostgreSQL at a time: two of `PgStock`; what is settled, what is journaled, and a look at who serves, of `HybridStock`. */
const STOCK_BATCHES = { redis: 0, postgres: 2, hybrid: 3 } as const;

/**
 * What of it holds connections: news, answers to messages, and the stock if PostgreSQL holds it; the sweeper and the retention, and
 * what compares the ledger with its records if there is one.
 */
export const shape = (engine: ServiceConfig.StockEngine): Connections.Shape => ({
  mailbox: true,
  responds: true,
  stockBatches: STOCK_BATCHES[engine],
  loops: engine === "redis" ? 2 : 3,
});

export type Settings = Pick<ServiceConfig.ServiceConfig, "http" | "roles" | "concurrency"> & CheckoutTopology.Settings;

const web = (settings: Settings) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const outbox = yield* Outbox;
      const engine = yield* StockReservation;
      const checks: ReadonlyArray<Operations.Check> = [
        { name: "stores", run: outbox.pendingShards },
        { name: "stock", run: engine.expired(1) },
      ];
      const listen = { host: settings.http.host, port: settings.http.ports.inventory };
      return HttpService.serve(settings.roles.has("web") ? InventoryHttp.routes : Layer.empty, listen, checks);
    }),
  );

/** How often the catalogue is asked while it does not answer, at start. */
const CATALOGUE_RETRY = Duration.seconds(1);

/** What the catalogue says is there on the first day. It may come up later than this service. */
const stocked = (settings: Settings) =>
  Layer.unwrap(
    Effect.flatMap(Catalogue, (catalogue) => Effect.retry(catalogue.list, Schedule.spaced(CATALOGUE_RETRY))).pipe(
      Effect.orDie,
      Effect.map((products) =>
        InventoryService.layer(
          products.map(({ sku, initialStock }) => ({ sku, quantity: initialStock })),
          settings.concurrency.mailbox,
        ),
      ),
    ),
  );

export type Ports =
  | UnitOfWork
  | Inbox
  | Outbox
  | Timers
  | SagaStore
  | IdempotencyKeys
  | DeadLetters
  | MessageBus
  | StockReservation
  | Catalogue;

export const layer = (
  settings: Settings,
): Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError | CheckoutTopology.StartError, Ports> =>
  Layer.mergeAll(
    web(settings),
    CheckoutTopology.reactions("inventory", settings),
    InventoryService.roles(
      [...settings.roles].filter((role) => role !== "web"),
      settings.concurrency,
    ),
  ).pipe(Layer.provide(stocked(settings)));
