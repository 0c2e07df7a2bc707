/** The part of the stock contract about what a `Reserve` may wish: less than all, certain warehouses, a limit per buyer. */
import { Effect } from "effect";
import { CustomerId } from "../../domain/order/OrderId.ts";
import { DEFAULT_WAREHOUSE, Warehouse } from "../../domain/stock/Warehouse.ts";
import type { StockReservation } from "../../ports/StockReservation.ts";
import * as Contract from "../Contract.ts";
import { expire, granted, line, lineOf, no, same, sentence, word, yes } from "./StockShop.ts";

const east = Warehouse.make("east");
const west = Warehouse.make("west");

const partly: ReadonlyArray<Contract.Case<StockReservation>> = [
  sentence("takes of each line what there is, if asked to, and says what is missing, the same each time", (shop) =>
    Effect.gen(function* () {
      const [apple, pear, plum] = [yield* shop.sku(2), yield* shop.sku(5), yield* shop.sku(0)];
      const lines = [line(apple, 3), line(pear, 5), line(plum, 1)];
      const first = yield* shop.request("o", lines, { policy: "partial" });
      yield* same(granted(first), [line(apple, 2), line(pear, 5)], "granted");
      const missing = [line(apple, 1), line(plum, 1)];
      yield* Contract.isTrue(first._tag === "Success" && "missing" in first.success, "says that something is missing");
      if (first._tag === "Success" && first.success._tag === "Reserved") yield* same(first.success.missing, missing, "missing");
      yield* shop.adjust("more", apple, 9);
      yield* same(yield* shop.request("o", lines, { policy: "partial" }), first, "again, although there is more now");
      yield* same(yield* shop.reserve("o", lines), no({ _tag: "ReservationMismatch", orderId: shop.order("o") }), "all or nothing");
      const orderId = shop.order("o");
      yield* same(yield* shop.ask({ _tag: "Commit", orderId }), yes({ _tag: "Committed", orderId, lines: granted(first) }));
      yield* same(yield* shop.books(pear), { onHand: 5, held: 0, committed: 5, available: 0, shortage: 0 });
    }),
  ),
  sentence("refuses even a part when there is nothing at all", (shop) =>
    Effect.gen(function* () {
      const [apple, pear] = [yield* shop.sku(0), yield* shop.sku(0)];
      const answer = yield* shop.request("o", [line(apple, 1), line(pear, 2)], { policy: "partial" });
      yield* same(answer, no({ _tag: "OutOfStock", orderId: shop.order("o"), skus: [apple, pear] }));
    }),
  ),
  sentence("says nothing of missing goods when it could grant all", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(2);
      const answer = yield* shop.request("o", [line(apple, 2)], { policy: "partial" });
      yield* Contract.isTrue(answer._tag === "Success" && !("missing" in answer.success), "nothing is missing");
      yield* same(granted(answer), [line(apple, 2)]);
    }),
  ),
];

const somewhere: ReadonlyArray<Contract.Case<StockReservation>> = [
  sentence("keeps books of each warehouse, and shows their sum", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(3);
      const counted = yield* shop.adjust("east", apple, 4, { warehouse: east });
      yield* same(counted, yes({ _tag: "Adjusted", sku: apple, warehouse: east, onHand: 4, shortage: 0 }));
      yield* shop.request("o", [line(apple, 2)], { warehouses: [east] });
      const units = { onHand: 3, held: 0, committed: 0, available: 3, shortage: 0 };
      yield* same(yield* shop.books(apple), {
        ...{ onHand: 7, held: 2, committed: 0, available: 5, shortage: 0 },
        warehouses: [
          { warehouse: DEFAULT_WAREHOUSE, ...units },
          { warehouse: east, ...units, onHand: 4, held: 2, available: 2 },
        ],
      });
      const out = yield* shop.adjust("out", apple, -1, { warehouse: west });
      yield* same(out, no({ _tag: "UnknownSku", sku: apple }), "of a warehouse that never had any");
    }),
  ),
  sentence("serves an order from the first warehouse of its list that has all of it", (shop) =>
    Effect.gen(function* () {
      const [apple, pear] = [yield* shop.sku(9), yield* shop.sku(9)];
      yield* shop.adjust("a", apple, 5, { warehouse: east });
      yield* shop.adjust("b", apple, 5, { warehouse: west });
      yield* shop.adjust("c", pear, 5, { warehouse: west });
      const answer = yield* shop.request("o", [line(apple, 2), line(pear, 1)], { warehouses: [east, west, DEFAULT_WAREHOUSE] });
      yield* same(granted(answer), [lineOf(apple, 2, west), lineOf(pear, 1, west)], "west has both");
      yield* same(word(yield* shop.request("p", [line(apple, 6)], { warehouses: [east, west] })), "OutOfStock", "not from two");
      const changed = yield* shop.request("o", [line(apple, 2), line(pear, 1)], { warehouses: [west, east, DEFAULT_WAREHOUSE] });
      yield* same(changed, no({ _tag: "ReservationMismatch", orderId: shop.order("o") }), "another preference");
      yield* same(word(yield* shop.request("q", [line(apple, 1)], { warehouses: [] })), "InvalidQuantity");
      yield* same(word(yield* shop.request("r", [line(apple, 1)], { warehouses: [east, east] })), "InvalidQuantity");
    }),
  ),
  sentence("takes from several warehouses only if that is allowed, and gives back where it took", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(1);
      yield* shop.adjust("a", apple, 2, { warehouse: east });
      yield* shop.adjust("b", apple, 2, { warehouse: west });
      const before = yield* shop.books(apple);
      yield* same(word(yield* shop.reserve("no", [line(apple, 3)])), "OutOfStock");
      const answer = yield* shop.request("o", [line(apple, 4)], { split: "allowed", warehouses: [west, DEFAULT_WAREHOUSE, east] });
      yield* same(granted(answer), [lineOf(apple, 2, west), line(apple, 1), lineOf(apple, 1, east)]);
      yield* same((yield* shop.books(apple)).available, 1);
      const rest = yield* shop.request("rest", [line(apple, 4)], { split: "allowed", policy: "partial" });
      yield* same(granted(rest), [lineOf(apple, 1, east)], "what there is, wherever it is");
      for (const name of ["o", "rest"]) yield* shop.ask({ _tag: "Release", orderId: shop.order(name) });
      yield* same(yield* shop.books(apple), before);
      const over = yield* shop.request("over", [line(apple, 6)], { split: "allowed" });
      yield* same(over, no({ _tag: "OutOfStock", orderId: shop.order("over"), skus: [apple] }), "5 in all");
    }),
  ),
  sentence("without a list serves from the default warehouse, else from the others by name", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(1);
      yield* shop.adjust("a", apple, 2, { warehouse: west });
      yield* shop.adjust("b", apple, 2, { warehouse: east });
      yield* same(granted(yield* shop.reserve("a", [line(apple, 1)])), [line(apple, 1)]);
      const second = yield* shop.reserve("b", [line(apple, 1)]);
      yield* same(granted(second), [lineOf(apple, 1, east)]);
      yield* same(yield* shop.reserve("b", [line(apple, 1)]), second, "again");
      const orderId = shop.order("b");
      yield* same(yield* shop.ask({ _tag: "Commit", orderId }), yes({ _tag: "Committed", orderId, lines: [lineOf(apple, 1, east)] }));
      yield* same(word(yield* shop.ask({ _tag: "Ship", orderId })), "Shipped");
      yield* same((yield* shop.books(apple)).warehouses?.[1], {
        ...{ warehouse: east, onHand: 1, held: 0, committed: 0, available: 1, shortage: 0 },
      });
    }),
  ),
  sentence("revokes only holds that took from the warehouse where goods are missing", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(2);
      yield* shop.adjust("a", apple, 2, { warehouse: east });
      yield* shop.request("east", [line(apple, 2)], { warehouses: [east] });
      yield* shop.reserve("here", [line(apple, 2)]);
      const fire = yield* shop.adjust("fire", apple, -1, { warehouse: east });
      yield* same(fire, yes({ _tag: "Adjusted", sku: apple, warehouse: east, onHand: 1, shortage: 0, revoked: [shop.order("east")] }));
      yield* same(word(yield* shop.ask({ _tag: "Expire", orderId: shop.order("here") })), "HoldAlive");
      const late = yield* shop.ask({ _tag: "Commit", orderId: shop.order("east") });
      yield* same(late, no({ _tag: "HoldExpired", orderId: shop.order("east") }));
    }),
  ),
];

const limited: ReadonlyArray<Contract.Case<StockReservation>> = [
  sentence("gives a buyer no more of a SKU than the limit, over all orders, until some come back", (shop) =>
    Effect.gen(function* () {
      const [apple, pear] = [yield* shop.sku(9), yield* shop.sku(9)];
      const limit = { buyer: CustomerId.make(`${shop.tag}-ann`), perSku: 2 };
      const first = yield* shop.request("a", [line(apple, 1)], { limit });
      yield* same(granted(first), [line(apple, 1)]);
      yield* same(yield* shop.request("a", [line(apple, 1)], { limit }), first, "again: counted once");
      yield* shop.ask({ _tag: "Commit", orderId: shop.order("a") });
      yield* shop.ask({ _tag: "Ship", orderId: shop.order("a") });
      const over = yield* shop.request("b", [line(apple, 2), line(pear, 2)], { limit });
      yield* same(over, no({ _tag: "LimitExceeded", orderId: shop.order("b"), skus: [apple] }), "1 shipped + 2");
      yield* same((yield* shop.books(pear)).held, 0);
      yield* same(word(yield* shop.request("c", [line(apple, 1), line(pear, 2)], { limit })), "Reserved", "1 shipped + 1");
      const other = { buyer: CustomerId.make(`${shop.tag}-bob`), perSku: 2 };
      yield* same(word(yield* shop.request("d", [line(apple, 2)], { limit: other })), "Reserved", "another buyer");
      yield* shop.ask({ _tag: "Release", orderId: shop.order("c") });
      yield* same(word(yield* shop.request("e", [line(apple, 1), line(pear, 1)], { limit })), "Reserved", "some came back");
      yield* same(word(yield* shop.request("f", [line(apple, 1)], { limit: { ...limit, perSku: 0 } })), "InvalidQuantity");
    }),
  ),
  sentence("keeps to a buyer's limit when a late commit takes fresh stock", (shop) =>
    Effect.gen(function* () {
      const apple = yield* shop.sku(9);
      const limit = { buyer: CustomerId.make(`${shop.tag}-ann`), perSku: 2 };
      const [orderId, other] = [shop.order("late"), shop.order("other")];
      yield* shop.ask({ _tag: "Reserve", orderId, lines: [line(apple, 2)], ttlMillis: 1, limit });
      yield* expire(shop, "late");
      yield* same(word(yield* shop.request("other", [line(apple, 1)], { limit })), "Reserved");
      yield* same(yield* shop.ask({ _tag: "Commit", orderId }), no({ _tag: "HoldExpired", orderId }), "2 + 1");
      yield* shop.ask({ _tag: "Release", orderId: other });
      yield* same(yield* shop.ask({ _tag: "Commit", orderId }), yes({ _tag: "Committed", orderId, lines: [line(apple, 2)] }));
      yield* same(word(yield* shop.request("more", [line(apple, 1)], { limit })), "LimitExceeded", "it counts again");
    }),
  ),
];

export const wishes: ReadonlyArray<Contract.Case<StockReservation>> = [...partly, ...somewhere, ...limited];
