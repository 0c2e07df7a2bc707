/** What happened to stock, and how it changes the books. Total: an event is never refused. */
import type { OrderId } from "../order/OrderId.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { ReturnReason } from "./ReturnReason.ts";
import type { Sku } from "./Sku.ts";
import type { Book } from "./StockBook.ts";
import { type Adjustment, type Asked, buyerKey, buyerOf, type Counts, type Hold, shelfOf, type SkuBooks } from "./StockState.ts";
import type { TakenLine, Warehouse } from "./Warehouse.ts";

export type StockEvent =
  | {
      readonly _tag: "Held";
      readonly orderId: OrderId;
      readonly lines: ReadonlyArray<TakenLine>;
      readonly until: Timestamp;
      readonly at: Timestamp;
      readonly asked?: Asked;
    }
  | { readonly _tag: "Renewed"; readonly orderId: OrderId; readonly until: Timestamp; readonly at: Timestamp }
  /** From a hold, or from fresh stock when the hold had lapsed. */
  | { readonly _tag: "Committed"; readonly orderId: OrderId; readonly at: Timestamp }
  /** The hold ended without being asked to. */
  | { readonly _tag: "Lapsed"; readonly orderId: OrderId; readonly reason: Exclude<ReturnReason, "asked">; readonly at: Timestamp }
  /** Given back; a tombstone when nothing was held. */
  | { readonly _tag: "Released"; readonly orderId: OrderId; readonly at: Timestamp }
  | { readonly _tag: "Shipped"; readonly orderId: OrderId; readonly at: Timestamp }
  /** With the answer: what is on hand now, and the shortage that is left once newest holds were revoked. */
  | { readonly _tag: "Adjusted"; readonly adjustment: Adjustment };

/** Folds the event into the book, in place. */
export const apply = (book: Book, event: StockEvent): void => {
  if (event._tag === "Held") {
    const { orderId, lines, until, at, asked } = event;
    const hold: Hold = { orderId, status: "held", lines, until, reason: null, reservedAt: at, at };
    book.holds.set(orderId, asked === undefined ? hold : { ...hold, asked });
    if (asked !== undefined) count(book, { ...hold, asked }, 1);
    return move(book, lines, { onHand: 0, held: 1, committed: 0 }, at);
  }
  if (event._tag === "Adjusted") return adjust(book, event.adjustment);
  const hold = book.holds.get(event.orderId) ?? nothing(event.orderId, event.at);
  const { at } = event;
  switch (event._tag) {
    case "Renewed":
      book.holds.set(event.orderId, { ...hold, until: event.until, at });
      return;
    case "Committed":
      book.holds.set(event.orderId, { ...hold, status: "committed", reason: null, at });
      if (hold.status === "lapsed") count(book, hold, 1);
      return move(book, hold.lines, { onHand: 0, held: hold.status === "held" ? -1 : 0, committed: 1 }, at);
    case "Lapsed":
      book.holds.set(event.orderId, { ...hold, status: "lapsed", reason: event.reason, at });
      count(book, hold, -1);
      return move(book, hold.lines, { onHand: 0, held: -1, committed: 0 }, at);
    case "Released": {
      book.holds.set(event.orderId, { ...hold, status: "released", reason: hold.reason ?? "asked", at });
      if (hold.status === "held" || hold.status === "committed") count(book, hold, -1);
      if (hold.status === "held") move(book, hold.lines, { onHand: 0, held: -1, committed: 0 }, at);
      if (hold.status === "committed") move(book, hold.lines, { onHand: 0, held: 0, committed: -1 }, at);
      return;
    }
    case "Shipped":
      book.holds.set(event.orderId, { ...hold, status: "shipped", at });
      return move(book, hold.lines, { onHand: -1, held: 0, committed: -1 }, at);
  }
};

interface Signs {
  readonly onHand: -1 | 0;
  readonly held: -1 | 0 | 1;
  readonly committed: -1 | 0 | 1;
}

/** Every line's units, moved between the columns of its SKU's books. */
const move = (book: Book, lines: ReadonlyArray<TakenLine>, signs: Signs, at: Timestamp): void => {
  for (const { sku, quantity, warehouse } of lines) {
    const books = book.skus.get(sku) ?? blank(sku, at);
    const shelf = shelfOf(books, warehouse) ?? NOTHING;
    const onHand = shelf.onHand + signs.onHand * quantity;
    const held = shelf.held + signs.held * quantity;
    const committed = shelf.committed + signs.committed * quantity;
    // What came back first pays the shortage; it never grows here.
    const shortage = Math.min(shelf.shortage, Math.max(0, held + committed - onHand));
    book.skus.set(sku, put(books, warehouse, { onHand, held, committed, shortage }, at));
  }
};

/** The books with other numbers in one of their places. */
const put = (books: SkuBooks, warehouse: Warehouse | undefined, to: Counts, changedAt: Timestamp): SkuBooks => {
  const { sku, elsewhere } = books;
  const at = Math.max(books.at, changedAt);
  const { onHand, held, committed, shortage } = to;
  if (warehouse === undefined) {
    const here = { sku, onHand, held, committed, shortage, at };
    return elsewhere === undefined ? here : { ...here, elsewhere };
  }
  const others = (elsewhere ?? []).filter((shelf) => shelf.warehouse !== warehouse);
  const shelf = { warehouse, onHand, held, committed, shortage };
  return { ...books, at, elsewhere: [...others, shelf].toSorted((left, right) => (left.warehouse < right.warehouse ? -1 : 1)) };
};

/** Keeps what the order's buyer has. */
const count = (book: Book, hold: Hold, sign: -1 | 1): void => {
  const buyer = buyerOf(hold);
  if (buyer === undefined) return;
  for (const { sku, quantity } of hold.lines) {
    const key = buyerKey(sku, buyer);
    book.buyers.set(key, { sku, buyer, units: (book.buyers.get(key)?.units ?? 0) + sign * quantity });
  }
};

const adjust = (book: Book, adjustment: Adjustment): void => {
  const { id, sku, delta, warehouse, at } = adjustment;
  const books = book.skus.get(sku) ?? blank(sku, at);
  const shelf = shelfOf(books, warehouse) ?? NOTHING;
  const onHand = shelf.onHand + delta;
  // The `Lapsed` events of revoked holds follow and lower it to what the answer says.
  const shortage = Math.max(0, shelf.held + shelf.committed - onHand);
  book.skus.set(sku, put(books, warehouse, { onHand, held: shelf.held, committed: shelf.committed, shortage }, at));
  book.adjustments.set(id, adjustment);
};

const NOTHING: Counts = { onHand: 0, held: 0, committed: 0, shortage: 0 };

const blank = (sku: Sku, at: Timestamp): SkuBooks => ({ sku, onHand: 0, held: 0, committed: 0, shortage: 0, at });

/** Before an order was seen: what a tombstone is made of. */
const nothing = (orderId: OrderId, at: Timestamp): Hold => ({
  orderId,
  status: "released",
  lines: [],
  until: at,
  reason: null,
  reservedAt: at,
  at,
});
