/** The part of the stock contract about counting: adjustments, shortages, lists of commands, books. */
import { Effect, Result } from "effect";
import { CustomerId, OrderId } from "../../domain/order/OrderId.ts";
import { Sku } from "../../domain/stock/Sku.ts";
import { Warehouse } from "../../domain/stock/Warehouse.ts";
import type { StockReservation } from "../../ports/StockReservation.ts";
import * as Contract from "../Contract.ts";
import { line, no, same, sentence, word, yes } from "./StockShop.ts";

/** As from a caller without types. */
const UNCHECKED = { disableChecks: true };

export const counting: ReadonlyArray<Contract.Case<StockReservation>> = [
  sentence("counts an adjustment once per id", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      const counted = yes({ _tag: "Adjusted", sku: apple, onHand: 8, shortage: 0 });
      yield* same(yield* shop.adjust("delivery", apple, 3), counted);
      yield* shop.adjust("another", apple, 1);
      yield* same(yield* shop.adjust("delivery", apple, 3), counted, "again, the answer of then");
      yield* same((yield* shop.books(apple)).onHand, 9);
      const reused = yield* shop.adjust("delivery", apple, 4);
      yield* same(word(reused), "AdjustmentMismatch", "the id for something else");
      const ghost = shop.unknownSku("ghost");
      yield* same(yield* shop.adjust("out", ghost, -1), no({ _tag: "UnknownSku", sku: ghost }));
    }),
  ),
  sentence("refuses an adjustment whose id no database keeps, and counts one in any script", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      for (const name of ["nul\u0000", "half\ud83d", "\udc4b-half", "two\nlines", "\u0085"])
        yield* same(word(yield* shop.adjust(name, apple, 1)), "InvalidQuantity", JSON.stringify(name));
      yield* same((yield* shop.books(apple)).onHand, 5);
      const counted = yes({ _tag: "Adjusted", sku: apple, onHand: 6, shortage: 0 });
      for (const _ of [1, 2]) yield* same(yield* shop.adjust("Lieferung Ä 7/世界 👋", apple, 1), counted);
    }),
  ),
  sentence("refuses names that no record can keep, whoever brings them, and keeps nothing of it", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      for (const name of ["", "two words", "München", "nul\u0000", "half\ud83d", "x@y", "x".repeat(129)]) {
        const orderId = OrderId.make(name, UNCHECKED);
        const sku = Sku.make(name, UNCHECKED);
        const warehouse = Warehouse.make(name, UNCHECKED);
        const buyer = CustomerId.make(name, UNCHECKED);
        const lines = [line(apple, 1)];
        const answers = [
          yield* shop.ask({ _tag: "Reserve", orderId, lines, ttlMillis: 60_000 }),
          yield* shop.ask({ _tag: "Reserve", orderId, lines, ttlMillis: 60_000, policy: "partial" }),
          yield* shop.ask({ _tag: "Commit", orderId }),
          yield* shop.ask({ _tag: "Release", orderId }),
          yield* shop.request("a", lines, { warehouses: [warehouse] }),
          yield* shop.request("b", lines, { limit: { buyer, perSku: 1 } }),
          yield* shop.adjust("c", sku, 1),
          yield* shop.adjust("d", apple, 1, { warehouse }),
        ];
        const said = JSON.stringify(name);
        yield* same(answers.map(word), Array<string>(answers.length).fill("InvalidQuantity"), said);
        yield* same(word(yield* shop.request("e", [line(sku, 1)], {})), "UnknownSku", said);
      }
      yield* same(yield* shop.books(apple), { onHand: 5, held: 0, committed: 0, available: 5, shortage: 0 });
    }),
  ),
  sentence("keeps why goods were counted: what was received or returned is not negative", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(5);
      const counted = yes({ _tag: "Adjusted", sku: apple, onHand: 7, shortage: 0 });
      yield* same(yield* shop.adjust("back", apple, 2, { kind: "return" }), counted);
      yield* same(yield* shop.adjust("back", apple, 2, { kind: "return" }), counted, "again");
      yield* same(word(yield* shop.adjust("back", apple, 2, { kind: "receive" })), "AdjustmentMismatch", "the id for something else");
      yield* same(word(yield* shop.adjust("in", apple, -2, { kind: "receive" })), "InvalidQuantity");
      yield* same(word(yield* shop.adjust("out", apple, -2, { kind: "return" })), "InvalidQuantity");
      yield* same((yield* shop.books(apple)).onHand, 7);
    }),
  ),
  sentence("revokes the newest holds when less is counted than was promised, and shows the rest as a shortage", (shop) =>
    Effect.gen(function* () {
      const [apple, pear] = [yield* shop.sku(6), yield* shop.sku(6)];
      yield* shop.reserve("sold", [line(apple, 2)]);
      yield* shop.ask({ _tag: "Commit", orderId: shop.order("sold") });
      yield* shop.reserve("old", [line(apple, 2)]);
      yield* Contract.wait(3);
      yield* shop.reserve("new", [line(apple, 1), line(pear, 4)]);
      const counted = yes({ _tag: "Adjusted", sku: apple, onHand: 4, shortage: 0, revoked: [shop.order("new")] });
      yield* same(yield* shop.adjust("count", apple, -2), counted, "one revoked, and named");
      yield* same((yield* shop.books(pear)).held, 0, "all lines of a revoked hold come back");
      yield* same((yield* shop.books(apple)).held, 2, "the old one stays");
      const short = yes({ _tag: "Adjusted", sku: apple, onHand: 1, shortage: 1, revoked: [shop.order("old")] });
      yield* same(yield* shop.adjust("fire", apple, -3), short, "shortage");
      yield* same(yield* shop.books(apple), { onHand: 1, held: 0, committed: 2, available: 0, shortage: 1 });
      const orderId = shop.order("sold");
      yield* same(yield* shop.ask({ _tag: "Ship", orderId }), no({ _tag: "OutOfStock", orderId, skus: [apple] }), "what is not there");
      yield* same(yield* shop.ask({ _tag: "Commit", orderId: shop.order("new") }), no({ _tag: "HoldExpired", orderId: shop.order("new") }));
      for (const [id, delta, answer] of [
        ["count", -2, counted],
        ["fire", -3, short],
      ] as const)
        yield* same(yield* shop.adjust(id, apple, delta), answer, "again, the same orders are named");
      const told = yield* shop.ask({ _tag: "Release", orderId: shop.order("old") });
      yield* same(Result.isSuccess(told) && told.success._tag === "Released" ? told.success.reason : null, "revoked", "why it had ended");
      yield* shop.adjust("delivery", apple, 1);
      yield* same(yield* shop.books(apple), { onHand: 2, held: 0, committed: 2, available: 0, shortage: 0 });
      yield* same(word(yield* shop.ask({ _tag: "Ship", orderId })), "Shipped", "resolved");
    }),
  ),
  sentence("decides a list in order, each command seeing those before it, none failing its neighbours", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(3);
      const [a, b] = [shop.order("a"), shop.order("b")];
      const reserve = (orderId: OrderId) => ({ _tag: "Reserve", orderId, lines: [line(apple, 2)], ttlMillis: 60_000 }) as const;
      const answers = yield* shop.askAll([
        reserve(a),
        reserve(b),
        { _tag: "Release", orderId: a },
        reserve(b),
        { _tag: "Commit", orderId: b },
        { _tag: "Adjust", id: `${shop.tag}-in`, sku: apple, delta: 2 },
      ]);
      yield* same(answers.map(word), ["Reserved", "OutOfStock", "Released", "Reserved", "Committed", "Adjusted"]);
      yield* same(yield* shop.books(apple), { onHand: 5, held: 0, committed: 2, available: 3, shortage: 0 });
      yield* same(yield* shop.askAll([]), []);
    }),
  ),
  sentence("shows the books of what it knows", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(0);
      yield* same((yield* shop.balances([apple, shop.unknownSku("ghost")])).size, 1);
      yield* same((yield* shop.allBalances).find((balance) => balance.sku === apple)?.onHand, 0);
      yield* same((yield* shop.balances([])).size, 0);
    }),
  ),
];
