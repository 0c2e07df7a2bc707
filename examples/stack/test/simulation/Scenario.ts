/** What happens in the simulated shop: orders of all kinds, some canceled, until everything rests; then the books are compared. */
import { Clock, Duration, Effect, Logger, Random } from "effect";
import type { CheckoutTopology } from "@example/contracts";
import { CustomerId, Money, Order, OrderId, Quantity, Sku, StockLedger } from "@org/saga-core";
import { Invariants, Simulator } from "@org/saga-core/testing";
import * as Shop from "./Shop.ts";

const ORDERS = 14;

/** Faults end after this virtual time. */
const FAULTS_MS = 60_000;

/** Within this virtual time after the faults, everything has come to rest (G9). */
const REST_WITHIN_MS = 3_600_000;

const METHODS = ["pm_success", "pm_success", "pm_success", "pm_decline", "pm_timeout", "pm_capture_timeout", "pm_late_capture"];
const SKUS = ["mug", "mug", "poster", "unshippable"];

export interface Result {
  readonly violations: Invariants.Violations;
  readonly orders: ReadonlyArray<Order.Order>;
  readonly crashes: ReadonlyArray<Simulator.Crash>;
  readonly fingerprint: string;
  readonly steps: number;
}

export const run = (seed: number, topology: CheckoutTopology.Topology = "orchestrated"): Result => {
  const { exit, fingerprint, steps } = Simulator.run(
    { seed },
    Effect.scoped(scenario(seed, topology)).pipe(Effect.provide(Logger.layer([]))),
  );
  if (exit._tag === "Failure") throw new Error(`seed ${seed}: ${Simulator.explain(exit)}`);
  return { ...exit.value, fingerprint, steps };
};

const scenario = Effect.fnUntraced(function* (seed: number, topology: CheckoutTopology.Topology) {
  const faultsUntil = (yield* Clock.currentTimeMillis) + FAULTS_MS;
  const shop = yield* Shop.make(faultsUntil, topology);
  yield* Shop.open(shop, 1 + (seed % 2));
  const ids = Array.from({ length: ORDERS }, (_, n) => OrderId.make(`order-${seed}-${n}`));
  yield* Effect.forEach(ids, (id) => buy(shop, id), { concurrency: "unbounded", discard: true });
  yield* Effect.sleep(Duration.millis(Math.max(0, faultsUntil - (yield* Clock.currentTimeMillis))));
  yield* rest(shop, faultsUntil + REST_WITHIN_MS);
  return { violations: yield* violations(shop, ids), orders: ordersOf(shop), crashes: shop.crashes };
});

/** A buyer: places an order, sometimes twice under the same key, sometimes cancels. */
const buy = Effect.fnUntraced(function* (shop: Shop.Shop, id: OrderId) {
  yield* Effect.sleep(Duration.millis((yield* Random.next) * FAULTS_MS * 0.7));
  const order = {
    id,
    customerId: CustomerId.make("customer"),
    lines: [
      {
        sku: Sku.make(yield* pick(SKUS)),
        name: "A thing",
        quantity: Quantity.make(yield* Random.nextIntBetween(1, 3)),
        unitPrice: Money.of(1_000, "EUR"),
      },
    ],
    paymentMethod: yield* pick(METHODS),
    cancelPolicy: yield* pick<Order.CancelPolicy>(["createdOnly", "compensating"]),
  };
  const key = { scope: "customer", key: id, fingerprint: "f" };
  const placing = Shop.insist(shop.orders, (orders) => orders.place(order, key));
  yield* (yield* Random.next) < 0.3 ? Effect.all([placing, placing], { concurrency: 2, discard: true }) : placing;
  if ((yield* Random.next) < 0.3) {
    yield* Effect.sleep(Duration.millis((yield* Random.next) * 3_000));
    yield* Shop.insist(shop.orders, (orders) => orders.cancel(id, "user"));
  }
});

const pick = Effect.fnUntraced(function* <A>(values: ReadonlyArray<A>) {
  const value = values[Math.floor((yield* Random.next) * values.length)];
  return value ?? (yield* Effect.die("nothing to pick from"));
});

const ordersOf = (shop: Shop.Shop): ReadonlyArray<Order.Order> => [...shop.databases.order.orders.committed.values()];

const isAtRest = (shop: Shop.Shop): boolean =>
  ordersOf(shop).length === ORDERS &&
  ordersOf(shop).every(Order.isTerminal) &&
  Object.values(shop.databases).every(({ sagas }) =>
    [...sagas.committed.values()].every(({ status }) => status === "completed" || status === "compensated"),
  ) &&
  Object.values(shop.databases).every((database) => database.outboxPending.committed.size === 0) &&
  shop.databases.provider.timers.committed.size === 0;

/** Waits for rest, and a minute more for what may still be under way. */
const rest = Effect.fnUntraced(function* (shop: Shop.Shop, deadline: number) {
  while (!isAtRest(shop) && (yield* Clock.currentTimeMillis) < deadline) yield* Effect.sleep("1 second");
  yield* Effect.sleep("1 minute");
});

const violations = Effect.fnUntraced(function* (shop: Shop.Shop, ids: ReadonlyArray<OrderId>) {
  const orders = ordersOf(shop);
  const ledger = new Map((yield* Shop.moneyLedger(shop, ids)).map((entry) => [String(entry.orderId), entry]));
  const balances = [...shop.stock.skus.values()].map(StockLedger.balanceOf);
  const received = new Map(Shop.STOCK.map(({ sku, quantity }) => [String(sku), quantity]));
  const services = Object.values(shop.databases);
  const committed = services.flatMap((database) =>
    [...database.outboxSent.committed.values(), ...database.outboxPending.committed.values()]
      .toSorted((left, right) => left.seq - right.seq)
      .map(({ message }) => message),
  );
  return [
    ...(orders.length === ORDERS ? [] : [`G6: ${orders.length} orders of ${ORDERS}`]),
    ...Invariants.atRest(orders),
    ...Invariants.histories(orders),
    ...Invariants.moneyAtRest(orders, ledger),
    ...Invariants.stockBalances(balances),
    ...Invariants.stockAtRest(balances, received, orders),
    ...Invariants.publications(committed, shop.broker.published),
    ...told(shop, orders),
    ...services.flatMap((database) =>
      [...database.deadLetters.committed.values()].map(({ message, problem }) => `dead letter ${message.type}: ${problem}`),
    ),
  ];
});

/** G6: every status of every order was told once. */
const told = (shop: Shop.Shop, orders: ReadonlyArray<Order.Order>): Invariants.Violations =>
  orders.flatMap((order) => {
    const document = [...shop.databases.notification.documents.committed.values()].find(({ id }) => id === order.id);
    const text = document?.state ?? "";
    const missing = order.history.filter(({ status }) => text.split(`"${status}"`).length !== 2);
    return missing.map(({ status }) => `G6: ${order.id} was not told once to be ${status}`);
  });
