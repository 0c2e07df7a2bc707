/** What holds when many clients, and several engines on the same data, reserve at once. */
import { Context, Effect, Random, Result } from "effect";
import { OrderId } from "../../domain/order/OrderId.ts";
import type { Sku, StockLine } from "../../domain/stock/Sku.ts";
import type { StockCommand } from "../../domain/stock/StockCommand.ts";
import { StockReservation } from "../../ports/StockReservation.ts";
import type { StoreError } from "../../ports/StoreError.ts";
import * as Contract from "../Contract.ts";
import { history } from "./StockHistory.ts";
import { alive, at, line, same, shopsOf, word, type Shop } from "./StockShop.ts";

type Engine = StockReservation["Service"];

const BUYERS = 200;
const UNITS = 50;
const CLIENTS = 8;
const STEPS = 25;
const ORDERS = 12;

/** Buyers at once, on whichever engine: exactly as many win as there are units. */
export const rush = Effect.fnUntraced(function* (engines: ReadonlyArray<Engine>): Effect.fn.Return<void, StoreError | Contract.Violation> {
  const shops = yield* shopsOf(engines);
  const apple = yield* shops[0].sku(UNITS);
  const answers = yield* Effect.forEach(
    Array.from({ length: BUYERS }, (_, buyer) => buyer),
    (buyer) => at(shops, buyer).reserve(`b${buyer}`, [line(apple, 1)]),
    { concurrency: "unbounded" },
  );
  yield* same(answers.filter(alive).length, UNITS, "winners");
  yield* same(answers.filter((answer) => word(answer) === "OutOfStock").length, BUYERS - UNITS, "losers");
  yield* same(yield* shops[0].books(apple), { onHand: UNITS, held: UNITS, committed: 0, available: 0, shortage: 0 });
});

/**
 * Clients at once, with random commands about the same few orders and SKUs. Then all is given back: what is left on hand is
 * what was counted in less what was shipped, and nobody holds anything (G1, G2).
 */
export const mess = Effect.fnUntraced(function* (engines: ReadonlyArray<Engine>): Effect.fn.Return<void, StoreError | Contract.Violation> {
  const shops = yield* shopsOf(engines);
  const skus = [yield* shops[0].sku(9), yield* shops[0].sku(7), yield* shops[0].sku(5)];
  const counted = new Map<Sku, number>();
  for (const sku of skus) counted.set(sku, (yield* shops[0].books(sku)).onHand);
  const orders = Array.from({ length: ORDERS }, (_, index) => cart(shops[0], skus, index));
  yield* Effect.forEach(
    Array.from({ length: CLIENTS }, (_, client) => client),
    Effect.fnUntraced(function* (client) {
      for (let step = 0; step < STEPS; step++) {
        const command = yield* randomCommand(shops[0].tag, orders, skus, `${client}.${step}`);
        const answer = yield* at(shops, client).ask(command);
        if (command._tag === "Adjust" && Result.isSuccess(answer))
          counted.set(command.sku, (counted.get(command.sku) ?? 0) + command.delta);
        const balances = yield* at(shops, client + 1).balances(skus);
        for (const balance of balances.values()) {
          yield* Contract.isTrue(balance.held + balance.committed <= balance.onHand + balance.shortage, "promised at most what is on hand");
          yield* same(balance.onHand, balance.available + balance.held + balance.committed - balance.shortage, "balance");
        }
      }
    }),
    { concurrency: "unbounded" },
  );
  for (const order of orders) {
    const answer = yield* shops[0].ask({ _tag: "Release", orderId: order.orderId });
    if (Result.isSuccess(answer)) continue;
    yield* same(answer.failure._tag, "AlreadyShipped");
    for (const each of order.lines) counted.set(each.sku, (counted.get(each.sku) ?? 0) - each.quantity);
  }
  for (const sku of skus) {
    const onHand = counted.get(sku) ?? 0;
    yield* same(yield* shops[0].books(sku), { onHand, held: 0, committed: 0, available: onHand, shortage: 0 }, "books at the end");
  }
});

/** Sweepers at once over the same expired holds: their stock returns once. */
export const sweep = Effect.fnUntraced(function* (engines: ReadonlyArray<Engine>): Effect.fn.Return<void, StoreError | Contract.Violation> {
  const shops = yield* shopsOf(engines);
  const apple = yield* shops[0].sku(UNITS);
  const names = Array.from({ length: 20 }, (_, index) => `s${index}`);
  yield* Effect.forEach(names, (name) => shops[0].reserve(name, [line(apple, 2)], 1), { concurrency: "unbounded" });
  yield* Contract.wait(10);
  yield* Effect.forEach(
    Array.from({ length: 6 }, (_, sweeper) => at(shops, sweeper)),
    (shop) => shop.askAll(names.map((name) => ({ _tag: "Expire", orderId: shop.order(name) }))),
    { concurrency: "unbounded" },
  );
  yield* same(yield* shops[0].books(apple), { onHand: UNITS, held: 0, committed: 0, available: UNITS, shortage: 0 });
});

const alone = (name: string, run: (engines: ReadonlyArray<Engine>) => Effect.Effect<void, unknown>): Contract.Case<StockReservation> =>
  Contract.check(
    name,
    Effect.flatMap(StockReservation, (engine) => run([engine])),
  );

export const contention: ReadonlyArray<Contract.Case<StockReservation>> = [
  alone(`lets exactly ${UNITS} of ${BUYERS} concurrent buyers win ${UNITS} units`, rush),
  alone("conserves every unit under random concurrent clients", mess),
  alone("returns the stock of an expired hold once, however many sweep", sweep),
  alone("answers concurrent clients as the ledger would one after the other", history),
];

/** Several engines (processes) on the same data. */
export class Rivals extends Context.Service<Rivals, ReadonlyArray<Engine>>()("@org/saga-core/testing/StockContention/Rivals") {}

const together = (name: string, run: (engines: ReadonlyArray<Engine>) => Effect.Effect<void, unknown>): Contract.Case<Rivals> =>
  Contract.check(name, Effect.flatMap(Rivals, run));

export const rivalry: ReadonlyArray<Contract.Case<Rivals>> = [
  together(`rivals on the same data let exactly ${UNITS} of ${BUYERS} concurrent buyers win ${UNITS} units`, rush),
  together("rivals on the same data conserve every unit under random concurrent clients", mess),
  together("rivals on the same data return the stock of an expired hold once", sweep),
  together("rivals on the same data answer concurrent clients as the ledger would one after the other", history),
];

interface Cart {
  readonly orderId: OrderId;
  readonly lines: ReadonlyArray<StockLine>;
}

/** Lines follow from the order's number, so that a repeated reserve is the same. */
const cart = (shop: Shop, skus: ReadonlyArray<Sku>, index: number): Cart => ({
  orderId: shop.order(`o${index}`),
  lines: skus.filter((_, at) => (index + at) % 3 !== 0).map((sku) => line(sku, 1 + (index % 2))),
});

const TAGS = ["Reserve", "Reserve", "Reserve", "Commit", "Commit", "Release", "Ship", "Expire", "Renew", "Adjust"] as const;

const randomCommand = Effect.fnUntraced(function* (
  tag: string,
  orders: ReadonlyArray<Cart>,
  skus: ReadonlyArray<Sku>,
  step: string,
): Effect.fn.Return<StockCommand> {
  const order = orders[yield* Random.nextIntBetween(0, orders.length - 1)];
  const sku = skus[yield* Random.nextIntBetween(0, skus.length - 1)];
  const kind = TAGS[yield* Random.nextIntBetween(0, TAGS.length - 1)];
  if (order === undefined || sku === undefined || kind === undefined) return yield* Effect.die(new Error("an index out of its array"));
  const { orderId, lines } = order;
  const millis = yield* Random.nextIntBetween(1, 20);
  switch (kind) {
    case "Reserve":
      return { _tag: kind, orderId, lines, ttlMillis: millis };
    case "Renew":
      return { _tag: kind, orderId, ttlMillis: millis };
    case "Adjust":
      return { _tag: kind, id: `${tag}-${step}`, sku, delta: (millis % 7) - 3 };
    case "Commit":
    case "Release":
    case "Ship":
    case "Expire":
      return { _tag: kind, orderId };
  }
});
