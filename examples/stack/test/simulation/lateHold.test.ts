import { Clock, Effect, Logger } from "effect";
import { describe, expect, it } from "vitest";
import { CustomerId, Money, Order, OrderId, Quantity, Sku, type StockLedger } from "@org/saga-core";
import { Invariants, Simulator } from "@org/saga-core/testing";
import * as Shop from "./Shop.ts";

const mug = Sku.make("mug");
const lines = (quantity: number) => [{ sku: mug, quantity: Quantity.make(quantity) }];
const late = OrderId.make("late");
const rival = OrderId.make("rival");

/** Virtual milliseconds between two looks: shorter than any message takes. */
const LOOK_MS = 1;

const until = Effect.fnUntraced(function* <A>(look: () => A | undefined) {
  for (let looks = 0; looks < 100_000; looks++) {
    const found = look();
    if (found !== undefined) return found;
    yield* Effect.sleep(LOOK_MS);
  }
  return yield* Effect.die("it never came to this");
});

/** An order whose hold ends while its payment is pending; its goods are taken by a rival, or left. */
const scenario = (goods: "taken" | "left") =>
  Effect.gen(function* () {
    const shop = yield* Shop.make(yield* Clock.currentTimeMillis);
    yield* Shop.open(shop, 1);
    const order = {
      id: late,
      customerId: CustomerId.make("customer"),
      lines: [{ sku: mug, name: "A mug", quantity: Quantity.make(2), unitPrice: Money.of(1_000, "EUR") }],
      paymentMethod: "pm_success",
      cancelPolicy: "compensating" as const,
    };
    yield* Shop.insist(shop.orders, (orders) => orders.place(order, { scope: "customer", key: late, fingerprint: "f" }));
    const hold = yield* until(() => shop.stock.live.get(late));
    const now = yield* Clock.currentTimeMillis;
    // As if the payment had taken as long as the hold lives.
    const over: StockLedger.Hold = { ...hold, until: now };
    shop.stock.apply({ skus: [], holds: [over], adjustments: [], buyers: [] });
    shop.stock.execute([{ _tag: "Expire", orderId: late }], now);
    if (goods === "taken") shop.stock.execute([{ _tag: "Reserve", orderId: rival, lines: lines(9), ttlMillis: 60_000 }], now);
    const ended = yield* until(() => [...shop.databases.order.orders.committed.values()].find(Order.isTerminal));
    yield* Effect.sleep("1 minute");
    const money = new Map((yield* Shop.moneyLedger(shop, [late])).map((entry) => [String(entry.orderId), entry]));
    return { ended, violations: Invariants.moneyAtRest([ended], money), hold: shop.stock.holds.get(late) };
  });

const run = (goods: "taken" | "left") => {
  const { exit } = Simulator.run({ seed: 1 }, Effect.scoped(scenario(goods)).pipe(Effect.provide(Logger.layer([]))));
  if (exit._tag === "Failure") throw new Error(Simulator.explain(exit));
  return exit.value;
};

describe("an order whose hold ended while its payment was pending", () => {
  it("is canceled and its payment voided, when its goods went to somebody else", () => {
    const { ended, violations, hold } = run("taken");
    expect(ended).toMatchObject({ status: "canceled", reason: "holdExpired", paid: false });
    expect(violations).toEqual([]);
    expect(hold?.status).toBe("released");
  });

  it("takes fresh stock and goes on, while there is some", () => {
    const { ended, violations, hold } = run("left");
    expect(ended).toMatchObject({ status: "finished", paid: true });
    expect(violations).toEqual([]);
    expect(hold?.status).toBe("shipped");
  });
});
