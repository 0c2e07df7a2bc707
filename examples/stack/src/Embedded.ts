/**
 * The whole shop in one process: every service as it is, each with its own schema of one embedded PostgreSQL, messages
 * over the memory bus, stock in PostgreSQL. Nothing to install; nothing is kept when it ends.
 *
 * The payment provider stays outside, on a port of its own: checkout talks to it over HTTP, and it calls back by webhook.
 */
import { Catalogue, Product } from "@example/catalog";
import { CheckoutService, PaymentWebhook } from "@example/checkout";
import { CheckoutTopology, HttpPaymentProvider, HttpService, type ServiceConfig } from "@example/contracts";
import { FulfillmentService } from "@example/fulfillment";
import { InventoryHttp, InventoryService } from "@example/inventory";
import { NotificationHttp, NotificationService } from "@example/notification";
import { OrderHttp, OrderService } from "@example/order";
import { ProviderService } from "@example/payment-provider";
import { CheckoutMessages, MemoryBus, MessageBus } from "@org/saga-core";
import { PgliteInstance, PgStock, PgStores } from "@org/saga-postgres";
import { Effect, Layer } from "effect";
import { FetchHttpClient } from "effect/http";
import { freePort } from "@tools/servers";

export interface Settings {
  readonly config: ServiceConfig.ServiceConfig;
  /** Where the shop listens; 0: a free port. */
  readonly port: number;
  /** Keeps a snapshot of an empty database, which makes the next start faster. */
  readonly snapshots: string;
}

/** Where it listens. */
export interface Addresses {
  readonly shopUrl: string;
  readonly providerUrl: string;
}

const HOST = "127.0.0.1";

/** What a process of its own would do besides HTTP. */
const BACKGROUND = ["relay", "consumer", "worker"] as const;

/** Starts everything; runs until the scope ends. */
export const start = Effect.fn("Embedded.start")(function* ({ config, port, snapshots }: Settings) {
  const instance = yield* PgliteInstance.open({ snapshots });
  const bus = yield* MemoryBus.make();
  yield* Effect.flatMap(MessageBus, (all) => all.ensureTopics(CheckoutMessages.catalogue.topics)).pipe(
    Effect.provide(MemoryBus.layerOf(bus)),
  );
  // Shop and provider have to know each other's address before they start.
  const shopPort = port === 0 ? yield* Effect.promise(freePort) : port;
  const providerPort = yield* Effect.promise(freePort);
  const addresses: Addresses = { shopUrl: `http://${HOST}:${shopPort}`, providerUrl: `http://${HOST}:${providerPort}` };
  yield* Layer.build(Layer.fresh(paymentProvider(instance, config, providerPort, addresses)));
  yield* Layer.build(Layer.fresh(services(instance, MemoryBus.layerOf(bus), config, shopPort, addresses)));
  return addresses;
});

const paymentProvider = (instance: PgliteInstance.PGlite, config: ServiceConfig.ServiceConfig, port: number, { shopUrl }: Addresses) =>
  ProviderService.layer({
    ...config,
    http: { host: HOST, ports: { ...config.http.ports, "payment-provider": port } },
    urls: { ...config.urls, webhook: `${shopUrl}${PaymentWebhook.PATH}` },
  }).pipe(Layer.provide(PgStores.layerPglite(instance, ProviderService.SCHEMA)));

const services = (
  instance: PgliteInstance.PGlite,
  bus: Layer.Layer<MessageBus>,
  config: ServiceConfig.ServiceConfig,
  port: number,
  { providerUrl }: Addresses,
) => {
  // The layers of stores and workers are values: without `fresh`, all services would share the first one's.
  const stores = (schema: string) => PgStores.layerPglite(instance, schema);
  const { callTimeoutMillis, deadlineMillis } = config.payment;
  const options = CheckoutTopology.optionsOf(config);
  const all = { ...config, roles: new Set(BACKGROUND) };
  const order = Layer.fresh(
    OrderService.roles(BACKGROUND, config.concurrency).pipe(
      Layer.provideMerge(OrderService.layer(options, config.concurrency.mailbox, config.topology)),
      Layer.provide(stores("order")),
      Layer.provide(bus),
    ),
  );
  const checkout = Layer.fresh(
    Layer.merge(CheckoutService.roles(BACKGROUND, config.concurrency), CheckoutTopology.reactions("payment", all)).pipe(
      Layer.provideMerge(
        CheckoutService.layer(
          { authorizeDeadlineMillis: deadlineMillis, captureDeadlineMillis: deadlineMillis },
          config.concurrency.mailbox,
        ),
      ),
      Layer.provide(HttpPaymentProvider.layer({ baseUrl: providerUrl, timeoutMillis: callTimeoutMillis })),
      Layer.provide(FetchHttpClient.layer),
      Layer.provide(stores("checkout")),
      Layer.provide(bus),
    ),
  );
  const stock = Product.products.map(({ sku, initialStock }) => ({ sku, quantity: initialStock }));
  const inventory = Layer.fresh(
    Layer.merge(InventoryService.roles(BACKGROUND, config.concurrency), CheckoutTopology.reactions("inventory", all)).pipe(
      Layer.provideMerge(InventoryService.layer(stock, config.concurrency.mailbox)),
      Layer.provideMerge(PgStock.layer),
      Layer.provide(stores("inventory")),
      Layer.provide(bus),
    ),
  );
  const fulfillment = Layer.fresh(
    Layer.merge(FulfillmentService.roles(BACKGROUND, config.concurrency), CheckoutTopology.reactions("fulfillment", all)).pipe(
      Layer.provide(FulfillmentService.layer({}, config.concurrency.mailbox)),
      Layer.provide(stores("fulfillment")),
      Layer.provide(bus),
    ),
  );
  const notification = Layer.fresh(
    NotificationService.roles(BACKGROUND, config.concurrency).pipe(
      Layer.provide(NotificationService.layerWith(config.concurrency.mailbox)),
      Layer.provideMerge(stores("notification")),
      Layer.provide(bus),
    ),
  );
  const web = Layer.mergeAll(
    OrderHttp.routes.pipe(Layer.provide(order), Layer.provide(Catalogue.layer)),
    PaymentWebhook.routes(config.webhookSecrets).pipe(Layer.provide(checkout)),
    InventoryHttp.endpoints.pipe(Layer.provide(inventory)),
    NotificationHttp.routes.pipe(Layer.provide(notification)),
    fulfillment,
  );
  const postgres = { name: "postgres", run: Effect.tryPromise(() => instance.query("select 1")) };
  return HttpService.serve(web, { host: HOST, port }, [postgres]);
};
