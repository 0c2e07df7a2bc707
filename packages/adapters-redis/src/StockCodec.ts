/** Stock records as Redis strings: legible, and checked when they are read. */
import { OrderId, Sku, StockLedger } from "@org/saga-core";
import { Result, Schema } from "effect";

/** A stored value that is not what it must be: somebody else wrote under our keys. Without the value. */
export interface Corrupt {
  readonly _tag: "Corrupt";
  readonly what: string;
}

export type Decoded<A> = Result.Result<A, Corrupt>;

/** `onHand held committed shortage at`. */
export const encodeBooks = (books: StockLedger.SkuBooks): string =>
  `${books.onHand} ${books.held} ${books.committed} ${books.shortage} ${books.at}`;

export const decodeBooks = (sku: Sku, text: string): Decoded<StockLedger.SkuBooks> => {
  const [onHand, held, committed, shortage, at] = text.split(" ").map(Number);
  return checked("books", toBooks({ sku, onHand, held, committed, shortage, at }));
};

export const encodeHold = (hold: StockLedger.Hold): string => JSON.stringify(hold);

export const decodeHold = (_: OrderId, text: string): Decoded<StockLedger.Hold> => checked("hold", toHold(text));

export const encodeAdjustment = (adjustment: StockLedger.Adjustment): string => JSON.stringify(adjustment);

export const decodeAdjustment = (_: string, text: string): Decoded<StockLedger.Adjustment> => checked("adjustment", toAdjustment(text));

export const decodeSkus = (names: ReadonlyArray<string>): Decoded<ReadonlyArray<Sku>> => checked("SKU", toSkus(names));

export const decodeOrderIds = (ids: ReadonlyArray<string>): Decoded<ReadonlyArray<OrderId>> => checked("order id", toOrderIds(ids));

const toBooks = Schema.decodeUnknownResult(StockLedger.SkuBooks);
const toHold = Schema.decodeUnknownResult(Schema.fromJsonString(StockLedger.Hold));
const toAdjustment = Schema.decodeUnknownResult(Schema.fromJsonString(StockLedger.Adjustment));
const toSkus = Schema.decodeUnknownResult(Schema.Array(Sku));
const toOrderIds = Schema.decodeUnknownResult(Schema.Array(OrderId));

const checked = <A>(what: string, result: Result.Result<A, unknown>): Decoded<A> =>
  Result.mapError(result, (): Corrupt => ({ _tag: "Corrupt", what }));
