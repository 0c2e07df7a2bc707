/**
 * The contract of `StockReservation`: every sentence of the port and of `StockCommand`, for every engine.
 * What an order may wish beyond the ordinary is in `StockWishes`, counting in `StockCounting`, what many clients do at once
 * in `StockContention`.
 */
import { Effect, Result } from "effect";
import { HOLD_TTL_MAX_MS, ORDER_LINES_MAX, QUANTITY_MAX } from "../../domain/Limits.ts";
import type { OrderId } from "../../domain/order/OrderId.ts";
import type { StockReservation } from "../../ports/StockReservation.ts";
import * as Contract from "../Contract.ts";
import { alive, expire, line, no, same, sentence, word, yes } from "./StockShop.ts";
import { contention } from "./StockContention.ts";
import { counting } from "./StockCounting.ts";
import { wishes } from "./StockWishes.ts";

const reserving: ReadonlyArray<Contract.Case<StockReservation>> = [
  sentence("reserves all lines of an order and says until when", (shop) =>
    Effect.gen(function* () {
      const [apple, pear] = [yield* shop.sku(5), yield* shop.sku(5)];
      const answer = yield* shop.reserve("o", [line(apple, 2), line(pear, 3)]);
      yield* Contract.isTrue(
        Result.isSuccess(answer) && answer.success._tag === "Reserved" && answer.success.until > 0,
        "reserved, with its end",
      );
      yield* same(yield* shop.books(apple), { onHand: 5, held: 2, committed: 0, available: 3, shortage: 0 });
      yield* same(yield* shop.books(pear), { onHand: 5, held: 3, committed: 0, available: 2, shortage: 0 });
    }),
  ),
  sentence("reserves none of the lines when one cannot be had, and names the SKUs that are short", (shop) =>
    Effect.gen(function* () {
      const [apple, pear] = [yield* shop.sku(5), yield* shop.sku(1)];
      const answer = yield* shop.reserve("o", [line(apple, 2), line(pear, 2)]);
      yield* same(answer, no({ _tag: "OutOfStock", orderId: shop.order("o"), skus: [pear] }));
      yield* same((yield* shop.books(apple)).held, 0, "held of the SKU that was not short");
      yield* same(alive(yield* shop.reserve("o", [line(apple, 2)])), true, "a refused order may ask again");
    }),
  ),
  sentence("sums lines of the same SKU", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      yield* same(word(yield* shop.reserve("a", [line(apple, 3), line(apple, 3)])), "OutOfStock", "3 + 3 of 5");
      yield* shop.reserve("b", [line(apple, 2), line(apple, 3)]);
      const released = yield* shop.ask({ _tag: "Release", orderId: shop.order("b") });
      yield* same(released, yes({ _tag: "Released", orderId: shop.order("b"), lines: [line(apple, 5)], reason: "asked" }));
    }),
  ),
  sentence("answers a repeated reserve the same, with the original end, and takes nothing more", (shop) =>
    Effect.gen(function* () {
      const [apple, pear] = [yield* shop.sku(5), yield* shop.sku(5)];
      const first = yield* shop.reserve("o", [line(apple, 2), line(pear, 1)]);
      yield* Contract.wait(5);
      yield* same(yield* shop.reserve("o", [line(pear, 1), line(apple, 1), line(apple, 1)]), first);
      yield* same((yield* shop.books(apple)).held, 2);
      yield* shop.ask({ _tag: "Commit", orderId: shop.order("o") });
      yield* same(yield* shop.reserve("o", [line(apple, 2), line(pear, 1)]), first, "after the commit");
    }),
  ),
  sentence("refuses other lines of an order that has a hold", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      yield* shop.reserve("o", [line(apple, 2)]);
      yield* same(yield* shop.reserve("o", [line(apple, 1)]), no({ _tag: "ReservationMismatch", orderId: shop.order("o") }));
      yield* same((yield* shop.books(apple)).held, 2);
    }),
  ),
  sentence("refuses a SKU that it does not know", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      const ghost = shop.unknownSku("ghost");
      yield* same(yield* shop.reserve("o", [line(apple, 1), line(ghost, 1)]), no({ _tag: "UnknownSku", sku: ghost }));
      yield* same((yield* shop.books(apple)).held, 0);
    }),
  ),
  sentence("refuses no lines, too many lines, absurd sums and absurd times", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      const refused = [
        yield* shop.reserve("a", []),
        yield* shop.reserve(
          "b",
          Array.from({ length: ORDER_LINES_MAX + 1 }, () => line(apple, 1)),
        ),
        yield* shop.reserve("c", [line(apple, QUANTITY_MAX), line(apple, 1)]),
        yield* shop.reserve("d", [line(apple, 1)], 0),
        yield* shop.reserve("e", [line(apple, 1)], 0.5),
        yield* shop.reserve("f", [line(apple, 1)], HOLD_TTL_MAX_MS + 1),
        yield* shop.ask({ _tag: "Renew", orderId: shop.order("g"), ttlMillis: -1 }),
        yield* shop.adjust("h", apple, 1.5),
        yield* shop.adjust("i", apple, Number.POSITIVE_INFINITY),
        yield* shop.adjust("j", apple, -6),
      ];
      for (const answer of refused) yield* same(word(answer), "InvalidQuantity");
      yield* same(yield* shop.books(apple), { onHand: 5, held: 0, committed: 0, available: 5, shortage: 0 });
    }),
  ),
];

const ending: ReadonlyArray<Contract.Case<StockReservation>> = [
  sentence("commits a hold, once, and the promise does not expire", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      yield* shop.reserve("o", [line(apple, 2)], 1);
      const orderId = shop.order("o");
      const committed = yes({ _tag: "Committed", orderId, lines: [line(apple, 2)] });
      yield* same(yield* shop.ask({ _tag: "Commit", orderId }), committed);
      yield* same(yield* shop.ask({ _tag: "Commit", orderId }), committed, "again");
      yield* Contract.wait(5);
      yield* same((yield* shop.expired).includes(orderId), false, "listed as expired");
      yield* same(word(yield* shop.ask({ _tag: "Expire", orderId })), "HoldAlive", "expired");
      yield* same(yield* shop.ask({ _tag: "Renew", orderId, ttlMillis: 1000 }), committed, "nothing to renew");
      yield* same(yield* shop.books(apple), { onHand: 5, held: 0, committed: 2, available: 3, shortage: 0 });
    }),
  ),
  sentence("gives a hold back once, and says so each time", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      const orderId = shop.order("o");
      yield* shop.reserve("o", [line(apple, 2)]);
      const released = yes({ _tag: "Released", orderId, lines: [line(apple, 2)], reason: "asked" });
      yield* same(yield* shop.ask({ _tag: "Release", orderId }), released);
      yield* same(yield* shop.ask({ _tag: "Release", orderId }), released, "again");
      yield* same((yield* shop.books(apple)).available, 5);
      const late = no({ _tag: "AlreadyReleased", orderId });
      yield* same(yield* shop.ask({ _tag: "Commit", orderId }), late, "commit");
      yield* same(yield* shop.reserve("o", [line(apple, 2)]), late, "reserve");
      yield* same(yield* shop.ask({ _tag: "Ship", orderId }), late, "ship");
      yield* same(yield* shop.ask({ _tag: "Renew", orderId, ttlMillis: 1000 }), late, "renew");
      yield* same(yield* shop.ask({ _tag: "Expire", orderId }), released, "expire");
    }),
  ),
  sentence("gives an unshipped commitment back", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      const orderId = shop.order("o");
      yield* shop.reserve("o", [line(apple, 2)]);
      yield* shop.ask({ _tag: "Commit", orderId });
      yield* shop.ask({ _tag: "Release", orderId });
      yield* same(yield* shop.books(apple), { onHand: 5, held: 0, committed: 0, available: 5, shortage: 0 });
    }),
  ),
  sentence("leaves a tombstone of an order never seen: the reserve that was overtaken is refused", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      const orderId = shop.order("o");
      yield* same(yield* shop.ask({ _tag: "Release", orderId }), yes({ _tag: "Released", orderId, lines: [], reason: "asked" }));
      yield* same(yield* shop.reserve("o", [line(apple, 2)]), no({ _tag: "AlreadyReleased", orderId }));
      yield* same((yield* shop.books(apple)).available, 5);
    }),
  ),
  sentence("ships what is committed, once; what is shipped is not given back", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      const orderId = shop.order("o");
      yield* shop.reserve("o", [line(apple, 2)]);
      yield* same(yield* shop.ask({ _tag: "Ship", orderId }), no({ _tag: "NotCommitted", orderId }));
      yield* shop.ask({ _tag: "Commit", orderId });
      const shipped = yes({ _tag: "Shipped", orderId, lines: [line(apple, 2)] });
      yield* same(yield* shop.ask({ _tag: "Ship", orderId }), shipped);
      yield* same(yield* shop.ask({ _tag: "Ship", orderId }), shipped, "again");
      yield* same(yield* shop.books(apple), { onHand: 3, held: 0, committed: 0, available: 3, shortage: 0 });
      const late = no({ _tag: "AlreadyShipped", orderId });
      yield* same(yield* shop.ask({ _tag: "Release", orderId }), late);
      yield* same(yield* shop.ask({ _tag: "Expire", orderId }), late);
      yield* same(yield* shop.ask({ _tag: "Renew", orderId, ttlMillis: 1000 }), late);
      yield* same(
        yield* shop.ask({ _tag: "Commit", orderId }),
        yes({ _tag: "Committed", orderId, lines: [line(apple, 2)] }),
        "a late duplicate",
      );
    }),
  ),
  sentence("knows nothing of an order never seen", (shop) =>
    Effect.gen(function* () {
      const orderId = shop.order("ghost");
      const unknown = no({ _tag: "HoldNotFound", orderId });
      yield* same(yield* shop.ask({ _tag: "Commit", orderId }), unknown);
      yield* same(yield* shop.ask({ _tag: "Ship", orderId }), unknown);
      yield* same(yield* shop.ask({ _tag: "Expire", orderId }), unknown);
      yield* same(yield* shop.ask({ _tag: "Renew", orderId, ttlMillis: 1000 }), unknown);
    }),
  ),
];

const time: ReadonlyArray<Contract.Case<StockReservation>> = [
  sentence("lists a hold whose time is over, and returns its stock once", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      const orderId = shop.order("o");
      yield* shop.reserve("o", [line(apple, 2)], 1);
      yield* Contract.wait(5);
      yield* same((yield* shop.expired).includes(orderId), true, "listed");
      const released = yes({ _tag: "Released", orderId, lines: [line(apple, 2)], reason: "expired" });
      yield* same(yield* shop.ask({ _tag: "Expire", orderId }), released);
      yield* same(yield* shop.ask({ _tag: "Expire", orderId }), released, "again");
      yield* same((yield* shop.expired).includes(orderId), false, "listed afterwards");
      yield* same((yield* shop.books(apple)).available, 5);
      yield* same(yield* shop.reserve("o", [line(apple, 2)]), no({ _tag: "HoldExpired", orderId }), "its reserve, repeated");
      yield* same(yield* shop.reserve("o", [line(apple, 1)]), no({ _tag: "ReservationMismatch", orderId }), "other lines");
      yield* same(yield* shop.ask({ _tag: "Renew", orderId, ttlMillis: 1000 }), no({ _tag: "HoldExpired", orderId }));
      yield* same(yield* shop.ask({ _tag: "Ship", orderId }), no({ _tag: "NotCommitted", orderId }));
    }),
  ),
  sentence("leaves a live hold alone when asked to expire it", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      yield* shop.reserve("o", [line(apple, 2)]);
      const answer = yield* shop.ask({ _tag: "Expire", orderId: shop.order("o") });
      yield* same(word(answer), "HoldAlive");
      yield* same((yield* shop.expired).includes(shop.order("o")), false, "listed");
    }),
  ),
  sentence("lists expired holds oldest first, at most so many", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      const ends = { late: 9, soon: 1, next: 5 };
      yield* shop.askAll(
        Object.entries(ends).map(([name, ttlMillis]) => ({
          _tag: "Reserve",
          orderId: shop.order(name),
          lines: [line(apple, 1)],
          ttlMillis,
        })),
      );
      yield* Contract.wait(20);
      const mine: ReadonlyArray<OrderId> = (yield* shop.expired).filter((id) => id.startsWith(shop.tag));
      yield* same(mine, ["soon", "next", "late"].map(shop.order));
      yield* same((yield* shop.expiredUpTo(1)).length, 1);
      for (const id of mine) yield* shop.ask({ _tag: "Expire", orderId: id });
    }),
  ),
  sentence("lets a late commit take fresh stock while there is some", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(2);
      const orderId = shop.order("o");
      yield* shop.reserve("o", [line(apple, 2)], 1);
      yield* expire(shop, "o");
      yield* same((yield* shop.books(apple)).available, 2);
      yield* same(yield* shop.ask({ _tag: "Commit", orderId }), yes({ _tag: "Committed", orderId, lines: [line(apple, 2)] }));
      yield* same(yield* shop.books(apple), { onHand: 2, held: 0, committed: 2, available: 0, shortage: 0 });
    }),
  ),
  sentence("refuses a late commit when the stock went to someone else", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(2);
      const orderId = shop.order("o");
      yield* shop.reserve("o", [line(apple, 2)], 1);
      yield* expire(shop, "o");
      yield* shop.reserve("other", [line(apple, 1)]);
      yield* same(yield* shop.ask({ _tag: "Commit", orderId }), no({ _tag: "HoldExpired", orderId }));
      yield* same(yield* shop.books(apple), { onHand: 2, held: 1, committed: 0, available: 1, shortage: 0 });
      yield* same(
        yield* shop.ask({ _tag: "Release", orderId }),
        yes({ _tag: "Released", orderId, lines: [line(apple, 2)], reason: "expired" }),
      );
      yield* shop.ask({ _tag: "Release", orderId: shop.order("other") });
      yield* same(yield* shop.ask({ _tag: "Commit", orderId }), no({ _tag: "AlreadyReleased", orderId }), "after it was asked to release");
    }),
  ),
  sentence("renews a live hold from now on", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(2);
      const orderId = shop.order("o");
      const first = yield* shop.reserve("o", [line(apple, 1)], 10_000);
      const renewed = yield* shop.ask({ _tag: "Renew", orderId, ttlMillis: 60_000 });
      const until = (answer: typeof first): number =>
        Result.isSuccess(answer) && answer.success._tag === "Reserved" ? answer.success.until : Number.NaN;
      yield* Contract.isTrue(until(renewed) - until(first) >= 50_000, "50 seconds longer");
      yield* same((yield* shop.books(apple)).held, 1);
    }),
  ),
];

export const cases: ReadonlyArray<Contract.Case<StockReservation>> = [
  ...reserving,
  ...ending,
  ...time,
  ...counting,
  ...wishes,
  ...contention,
];
