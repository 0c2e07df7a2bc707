/**
 * The whole shop in a simulated world: every service exactly as it runs, over memory adapters that outlive its processes.
 * Processes crash at fault points and come back; the broker delivers twice, goes back, and lets partitions overtake each other; the way to the payment provider loses requests,
 * answers and webhooks; buyers repeat and cancel. All of it drawn from the seed.
 */
import { Clock, Context, Duration, Effect, Layer, Random } from "effect";
import { CheckoutService, PaymentWebhook } from "@example/checkout";
import { CheckoutTopology, PaymentProvider, ProviderTimeout, ProviderUnavailable, type Webhook } from "@example/contracts";
import { FulfillmentService } from "@example/fulfillment";
import { InventoryService } from "@example/inventory";
import { NotificationService } from "@example/notification";
import { OrderService } from "@example/order";
import { Intents, MemoryPaymentProvider } from "@example/payment-provider";
import {
  CheckoutMessages,
  ChoreographyService,
  MemoryBus,
  MemoryDatabase,
  MemoryStock,
  MemoryStores,
  type MessageBus,
  Sku,
} from "@org/saga-core";
import { Simulator } from "@org/saga-core/testing";

/** What there is to buy: one thing runs out. */
export const STOCK = [
  { sku: Sku.make("mug"), quantity: 9 },
  { sku: Sku.make("poster"), quantity: 1_000 },
  { sku: Sku.make("unshippable"), quantity: 1_000 },
];

/** How likely the way to the provider loses a request, an answer or a webhook. */
const LOSS = 0.1;

const CHECKOUT = { cancelWindowMillis: 500, paymentTimeoutMillis: 60_000, holdTtlMillis: 600_000 };

export interface Shop {
  readonly databases: Readonly<
    Record<"order" | "checkout" | "inventory" | "fulfillment" | "notification" | "provider", MemoryDatabase.Database>
  >;
  readonly broker: MemoryBus.Broker;
  readonly stock: MemoryStock.Stock;
  /** Living order services, to be asked like any of several replicas. */
  readonly orders: Set<Context.Service.Shape<typeof OrderService.Orders>>;
  readonly payments: Set<Context.Service.Shape<typeof CheckoutService.Payments>>;
  readonly crashes: Array<Simulator.Crash>;
  readonly faultsUntil: number;
  readonly topology: CheckoutTopology.Topology;
}

export const make = (faultsUntil: number, topology: CheckoutTopology.Topology = "orchestrated") =>
  Effect.gen(function* (): Effect.fn.Return<Shop> {
    const broker = yield* MemoryBus.make({
      keepsPublished: true,
      duplicate: 0.1,
      rewind: 0.1,
      delay: 0.1,
      delayMaxMillis: 2_000,
      shuffle: 0.3,
      until: faultsUntil,
    });
    for (const topic of CheckoutMessages.catalogue.topics) broker.ensure(topic);
    return {
      databases: {
        order: yield* MemoryDatabase.make,
        checkout: yield* MemoryDatabase.make,
        inventory: yield* MemoryDatabase.make,
        fulfillment: yield* MemoryDatabase.make,
        notification: yield* MemoryDatabase.make,
        provider: yield* MemoryDatabase.make,
      },
      broker,
      stock: yield* MemoryStock.make,
      orders: new Set(),
      payments: new Set(),
      crashes: [],
      faultsUntil,
      topology,
    };
  });

/** Every process of the shop, `replicas` of each, until interrupted. */
export const open = Effect.fnUntraced(function* (shop: Shop, replicas: number) {
  const intents = yield* provider(shop);
  const processes = {
    order: order(shop),
    checkout: checkout(shop, intents),
    inventory: inventory(shop),
    fulfillment: fulfillment(shop),
    notification: notification(shop),
  };
  const faults: Simulator.Faults = { crash: 0.0015, delay: 0.02, delayMaxMillis: 2_000, downMaxMillis: 5_000, until: shop.faultsUntil };
  for (const [name, layer] of Object.entries(processes)) {
    for (let replica = 1; replica <= replicas; replica++) {
      yield* Effect.forkScoped(Simulator.process(`${name}-${replica}`, layer, faults, (crash) => shop.crashes.push(crash)));
    }
  }
});

type Roles = MemoryStores.Ports | MessageBus;

const connect = <E, R>(shop: Shop, database: MemoryDatabase.Database, service: Layer.Layer<never, E, R | Roles>) =>
  service.pipe(Layer.provide(Layer.merge(MemoryStores.layerOf(database), MemoryBus.layerOf(shop.broker))));

/** Makes a service of a process reachable for as long as the process lives. */
const reachable = <I, S>(tag: Context.Key<I, S>, among: Set<S>): Layer.Layer<never, never, I> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const service = yield* tag;
      yield* Effect.acquireRelease(
        Effect.sync(() => among.add(service)),
        () => Effect.sync(() => among.delete(service)),
      );
    }),
  );

const reactions = (shop: Shop, participant: CheckoutTopology.Participant) =>
  shop.topology === "orchestrated"
    ? Layer.empty
    : ChoreographyService.layer(CheckoutTopology.choreographyOf(CHECKOUT).of(participant), { roles: ["consumer", "worker"] });

const order = (shop: Shop) =>
  connect(
    shop,
    shop.databases.order,
    Layer.merge(OrderService.roles(["relay", "consumer", "worker"]), reachable(OrderService.Orders, shop.orders)).pipe(
      Layer.provide(OrderService.layer(CHECKOUT, {}, shop.topology)),
    ),
  );

const checkout = (shop: Shop, intents: PaymentProvider["Service"]) =>
  connect(
    shop,
    shop.databases.checkout,
    Layer.mergeAll(
      CheckoutService.roles(["relay", "consumer", "worker"]),
      reachable(CheckoutService.Payments, shop.payments),
      reactions(shop, "payment"),
    ).pipe(
      Layer.provide(CheckoutService.layer({ authorizeDeadlineMillis: 20_000, captureDeadlineMillis: 20_000, callLeaseMillis: 8_000 })),
      Layer.provide(Layer.succeed(PaymentProvider, lossy(shop, intents))),
    ),
  );

const inventory = (shop: Shop) =>
  connect(
    shop,
    shop.databases.inventory,
    Layer.merge(InventoryService.roles(["relay", "consumer", "worker"]), reactions(shop, "inventory")).pipe(
      Layer.provide(InventoryService.layer(STOCK)),
      Layer.provide(MemoryStock.layerOf(shop.stock)),
    ),
  );

const fulfillment = (shop: Shop) =>
  connect(
    shop,
    shop.databases.fulfillment,
    Layer.merge(FulfillmentService.roles(["relay", "consumer", "worker"]), reactions(shop, "fulfillment")).pipe(
      Layer.provide(FulfillmentService.layer()),
    ),
  );

const notification = (shop: Shop) =>
  connect(
    shop,
    shop.databases.notification,
    NotificationService.roles(["relay", "consumer", "worker"]).pipe(Layer.provide(NotificationService.layer)),
  );

/** The provider belongs to somebody else: it does not crash with the shop. Its webhooks reach a living checkout, or nobody. */
const provider = Effect.fnUntraced(function* (shop: Shop) {
  const deliver = (event: Webhook.Event) =>
    Effect.gen(function* () {
      const payments = yield* living(shop.payments);
      if (payments === undefined || (yield* isLost(shop))) return yield* Effect.fail("not delivered" as const);
      const received = PaymentWebhook.receive(event).pipe(
        Effect.provideService(CheckoutService.Payments, payments),
        Effect.timeout("5 seconds"),
      );
      yield* received;
      if (yield* isLost(shop)) return yield* Effect.fail("answer lost" as const);
    });
  const layer = MemoryPaymentProvider.layer({ onWebhook: deliver, timeoutMillis: 2_000 });
  const context = yield* Layer.build(Layer.provide(layer, MemoryStores.layerOf(shop.databases.provider)));
  return Context.get(context, PaymentProvider);
});

/** What the provider has booked for the orders. */
export const moneyLedger = Effect.fnUntraced(function* (shop: Shop, ids: Parameters<Intents.Intents["Service"]["ledger"]>[0]) {
  const intents = yield* Intents.make().pipe(Effect.provide(MemoryStores.layerOf(shop.databases.provider)));
  return yield* intents.ledger(ids);
});

/** The way to the provider: a request may be lost before it arrives, an answer on its way back. */
const lossy = (shop: Shop, intents: PaymentProvider["Service"]): PaymentProvider["Service"] => {
  const over = <A, E>(operation: string, call: Effect.Effect<A, E>) =>
    Effect.gen(function* () {
      if (yield* isLost(shop)) return yield* new ProviderUnavailable({ operation, message: "the request was lost" });
      const answer = yield* call;
      if (yield* isLost(shop)) return yield* new ProviderTimeout({ operation, timeoutMillis: 2_000 });
      return answer;
    });
  return {
    authorize: (call) => over("authorize", intents.authorize(call)),
    capture: (call) => over("capture", intents.capture(call)),
    cancel: (call) => over("cancel", intents.cancel(call)),
    refund: (call) => over("refund", intents.refund(call)),
    probe: (reference) => over("probe", intents.probe(reference)),
    balance: (customerId) => over("balance", intents.balance(customerId)),
  };
};

const isLost = Effect.fnUntraced(function* (shop: Shop) {
  return (yield* Clock.currentTimeMillis) < shop.faultsUntil && (yield* Random.next) < LOSS;
});

/** One of the living replicas. */
export const living = Effect.fnUntraced(function* <S>(among: Set<S>) {
  const all = [...among];
  return all[Math.floor((yield* Random.next) * all.length)];
});

/** Asks any living replica until one answers, as a caller with an idempotency key may. */
export const insist = <S, A, E>(among: Set<S>, ask: (service: S) => Effect.Effect<A, E>): Effect.Effect<A> =>
  Effect.gen(function* () {
    const service = yield* living(among);
    if (service === undefined) return yield* Effect.fail("nobody is there" as const);
    return yield* Effect.timeout(ask(service), "5 seconds");
  }).pipe(
    Effect.catchCause(() =>
      Effect.andThen(
        Effect.sleep(Duration.millis(500)),
        Effect.suspend(() => insist(among, ask)),
      ),
    ),
  );
