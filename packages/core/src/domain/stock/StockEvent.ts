/** What happened to stock, and how it changes the books. Total: an event is never refused. */
import type { OrderId } from "../order/OrderId.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { Sku, StockLine } from "./Sku.ts";
import type { Book } from "./StockBook.ts";
import type { Hold, ReturnReason, SkuBooks } from "./StockState.ts";

export type StockEvent =
  | {
      readonly _tag: "Held";
      readonly orderId: OrderId;
      readonly lines: ReadonlyArray<StockLine>;
      readonly until: Timestamp;
      readonly at: Timestamp;
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
  | {
      readonly _tag: "Adjusted";
      readonly id: string;
      readonly sku: Sku;
      readonly delta: number;
      readonly onHand: number;
      readonly shortage: number;
      readonly at: Timestamp;
    };

/** Folds the event into the book, in place. */
export const apply = (book: Book, event: StockEvent): void => {
  if (event._tag === "Held") {
    const { orderId, lines, until, at } = event;
    book.holds.set(orderId, { orderId, status: "held", lines, until, reason: null, reservedAt: at, at });
    return move(book, lines, { onHand: 0, held: 1, committed: 0 }, at);
  }
  if (event._tag === "Adjusted") return adjust(book, event);
  const hold = book.holds.get(event.orderId) ?? nothing(event.orderId, event.at);
  const { at } = event;
  switch (event._tag) {
    case "Renewed":
      book.holds.set(event.orderId, { ...hold, until: event.until, at });
      return;
    case "Committed":
      book.holds.set(event.orderId, { ...hold, status: "committed", reason: null, at });
      return move(book, hold.lines, { onHand: 0, held: hold.status === "held" ? -1 : 0, committed: 1 }, at);
    case "Lapsed":
      book.holds.set(event.orderId, { ...hold, status: "lapsed", reason: event.reason, at });
      return move(book, hold.lines, { onHand: 0, held: -1, committed: 0 }, at);
    case "Released": {
      book.holds.set(event.orderId, { ...hold, status: "released", reason: hold.reason ?? "asked", at });
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
const move = (book: Book, lines: ReadonlyArray<StockLine>, signs: Signs, at: Timestamp): void => {
  for (const { sku, quantity } of lines) {
    const books = book.skus.get(sku) ?? blank(sku, at);
    const onHand = books.onHand + signs.onHand * quantity;
    const held = books.held + signs.held * quantity;
    const committed = books.committed + signs.committed * quantity;
    // What came back first pays the shortage; it never grows here.
    const shortage = Math.min(books.shortage, Math.max(0, held + committed - onHand));
    book.skus.set(sku, { sku, onHand, held, committed, shortage, at: Math.max(books.at, at) });
  }
};

const adjust = (book: Book, event: Extract<StockEvent, { readonly _tag: "Adjusted" }>): void => {
  const { id, sku, delta, at } = event;
  const books = book.skus.get(sku) ?? blank(sku, at);
  const onHand = books.onHand + delta;
  // The `Lapsed` events of revoked holds follow and lower it to what the answer says.
  const shortage = Math.max(0, books.held + books.committed - onHand);
  book.skus.set(sku, { ...books, onHand, shortage, at: Math.max(books.at, at) });
  book.adjustments.set(id, { id, sku, delta, onHand: event.onHand, shortage: event.shortage, at });
};

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
