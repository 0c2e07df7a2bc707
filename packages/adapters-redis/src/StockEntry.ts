/**
 * What a shard's log holds: entries, each one flat JSON array, checked when it is read.
 *
 * ```
 * [kind, id, previous, at, ...]           previous: the id of the entry before it, "" of the first one
 *   0 a batch     ..., writes
 *   1 an opening  ..., snapshot or ""      the state that the generation begins with
 *   2 a snapshot  ..., snapshot, generation-n, id      the state after that entry
 * writes: books, then holds, then the few others
 *   count, (sku, onHand, held, committed, shortage, at', elsewhere | 0)…
 *   count, (orderId, status, until', reservedAt', at', more | 0, lines, (sku | index of the books above, quantity)…)…
 *   [adjustments, buyers] | 0
 * ```
 * Times with ' are distances from the entry's. `more` are the fields that few holds have. A snapshot's pages are `[at, writes]`.
 */
import { type OrderId, type Quantity, type Sku, StockLedger } from "@org/saga-core";
import { Result, Schema } from "effect";

export interface Link {
  readonly id: string;
  readonly previous: string;
  readonly at: number;
}

export type Entry =
  | (Link & { readonly _tag: "Batch"; readonly writes: StockLedger.StockWrites })
  | (Link & { readonly _tag: "Opening"; readonly snapshot: string })
  | (Link & { readonly _tag: "Snapshot"; readonly snapshot: string; readonly position: string; readonly last: string });

/** Characters of an entry's id that name the process, the same in all of its entries. */
const ORIGIN_LENGTH = 8;

/** Ids of one process: `random` is from 0 to 1. */
export const idsOf = (random: number): (() => string) => {
  const origin = random
    .toString(36)
    .slice(2, 2 + ORIGIN_LENGTH)
    .padEnd(ORIGIN_LENGTH, "0");
  let made = 0;
  return () => `${origin}${(made++).toString(36)}`;
};

export const originOf = (id: string): string => id.slice(0, ORIGIN_LENGTH);

export const encodeBatch = ({ id, previous, at }: Link, writes: StockLedger.StockWrites): string => {
  const out: Array<unknown> = [0, id, previous, at];
  putWrites(out, at, writes);
  return JSON.stringify(out);
};

export const encodeOpening = ({ id, previous, at }: Link, snapshot: string): string => JSON.stringify([1, id, previous, at, snapshot]);

export const encodeSnapshot = ({ id, previous, at }: Link, snapshot: string, position: string, last: string): string =>
  JSON.stringify([2, id, previous, at, snapshot, position, last]);

export const encodePage = (at: number, writes: StockLedger.StockWrites): string => {
  const out: Array<unknown> = [at];
  putWrites(out, at, writes);
  return JSON.stringify(out);
};

/** Null: somebody else wrote it. */
export const decode = (text: string): Entry | null =>
  reading(text, (from) => {
    const kind = from.units();
    const link = { id: from.text(), previous: from.text(), at: from.units() };
    if (kind === 0) return { ...link, _tag: "Batch", writes: takeWrites(from, link.at) };
    if (kind === 1) return { ...link, _tag: "Opening", snapshot: from.text() };
    if (kind === 2) return { ...link, _tag: "Snapshot", snapshot: from.text(), position: from.text(), last: from.text() };
    return from.fail();
  });

export const decodePage = (text: string): StockLedger.StockWrites | null => reading(text, (from) => takeWrites(from, from.units()));

const STATUSES: ReadonlyArray<StockLedger.HoldStatus> = ["held", "committed", "lapsed", "released", "shipped"];
const REASONS: ReadonlyArray<StockLedger.ReturnReason | null> = [null, "asked", "expired", "revoked"];

const putWrites = (out: Array<unknown>, at: number, writes: StockLedger.StockWrites): void => {
  const places = new Map<Sku, number>();
  out.push(writes.skus.length);
  for (const books of writes.skus) {
    places.set(books.sku, places.size);
    out.push(books.sku, books.onHand, books.held, books.committed, books.shortage, at - books.at, books.elsewhere ?? 0);
  }
  out.push(writes.holds.length);
  for (const hold of writes.holds) putHold(out, at, hold, places);
  const { adjustments, buyers } = writes;
  out.push(adjustments.length + buyers.length === 0 ? 0 : { adjustments, buyers });
};

const putHold = (out: Array<unknown>, at: number, hold: StockLedger.Hold, places: ReadonlyMap<Sku, number>): void => {
  const code = STATUSES.indexOf(hold.status) * REASONS.length + REASONS.indexOf(hold.reason);
  const isPlain = hold.asked === undefined && hold.lines.every((line) => line.warehouse === undefined);
  out.push(hold.orderId, code, hold.until - at, at - hold.reservedAt, at - hold.at);
  if (!isPlain) return void out.push({ lines: hold.lines, asked: hold.asked }, 0);
  out.push(0, hold.lines.length);
  for (const line of hold.lines) out.push(places.get(line.sku) ?? line.sku, line.quantity);
};

const takeWrites = (from: Reader, at: number): StockLedger.StockWrites => {
  const skus: Array<StockLedger.SkuBooks> = [];
  for (let left = from.units(); left > 0; left--) {
    const books = {
      sku: from.sku(),
      onHand: from.units(),
      held: from.units(),
      committed: from.units(),
      shortage: from.units(),
      at: at - from.number(),
    };
    const elsewhere = from.any();
    skus.push(elsewhere === 0 ? books : { ...books, elsewhere: from.checked(toShelves(elsewhere)) });
  }
  const holds: Array<StockLedger.Hold> = [];
  for (let left = from.units(); left > 0; left--) holds.push(from.plainHold(at, skus) ?? takeHold(from, at, skus));
  const others = from.any();
  if (others === 0) return { skus, holds, adjustments: [], buyers: [] };
  return { skus, holds, ...from.checked(toOthers(others)) };
};

const takeHold = (from: Reader, at: number, skus: ReadonlyArray<StockLedger.SkuBooks>): StockLedger.Hold => {
  const orderId = from.orderId();
  const code = from.units();
  const status = STATUSES[Math.floor(code / REASONS.length)] ?? from.fail();
  const reason = REASONS[code % REASONS.length] ?? null;
  const until = at + from.number();
  const reservedAt = at - from.number();
  const changedAt = at - from.number();
  const more = from.any();
  const lines: Array<StockLedger.Hold["lines"][number]> = [];
  for (let left = from.units(); left > 0; left--) {
    const place = from.any();
    const sku = typeof place === "number" ? (skus[place]?.sku ?? from.fail()) : isSku(place) ? place : from.fail();
    lines.push({ sku, quantity: from.quantity() });
  }
  const hold = { orderId, status, lines, until, reason, reservedAt, at: changedAt };
  return more === 0 ? hold : { ...hold, ...from.checked(toMore(more)) };
};

/**
 * Names were checked when they were asked for; here only what would do harm is looked at. Every process does this for every hold
 * of every other one, and a schema takes longer for one name than all the rest of it.
 */
const isSku = (value: unknown): value is Sku => typeof value === "string" && value.length > 0;
const isOrderId = (value: unknown): value is OrderId => typeof value === "string" && value.length > 0;
const isQuantity = (value: unknown): value is Quantity => typeof value === "number" && Number.isSafeInteger(value) && value > 0;
const toShelves = Schema.decodeUnknownResult(Schema.Array(StockLedger.Shelf));
const toMore = Schema.decodeUnknownResult(
  Schema.Struct({ lines: StockLedger.Hold.fields.lines, asked: Schema.optionalKey(StockLedger.Asked) }),
);
const toOthers = Schema.decodeUnknownResult(
  Schema.Struct({ adjustments: Schema.Array(StockLedger.Adjustment), buyers: Schema.Array(StockLedger.BuyerUnits) }),
);

/** So many values has a hold of one line. */
const PLAIN_VALUES = 9;

/** Not what it must be; caught where reading began. */
class Corrupt extends Error {}

const reading = <A>(text: string, read: (from: Reader) => A): A | null => {
  try {
    const values: unknown = JSON.parse(text);
    return Array.isArray(values) ? read(new Reader(values)) : null;
  } catch (error) {
    if (error instanceof Corrupt || error instanceof SyntaxError) return null;
    throw error;
  }
};

/** Takes the values of a flat array one after the other. */
class Reader {
  readonly #values: ReadonlyArray<unknown>;
  #at = 0;

  constructor(values: ReadonlyArray<unknown>) {
    this.#values = values;
  }

  any(): unknown {
    if (this.#at >= this.#values.length) this.fail();
    return this.#values[this.#at++];
  }

  number(): number {
    const value = this.any();
    return typeof value === "number" && Number.isSafeInteger(value) ? value : this.fail();
  }

  units(): number {
    const value = this.number();
    return value >= 0 ? value : this.fail();
  }

  text(): string {
    const value = this.any();
    return typeof value === "string" ? value : this.fail();
  }

  sku(): Sku {
    const value = this.any();
    return isSku(value) ? value : this.fail();
  }

  orderId(): OrderId {
    const value = this.any();
    return isOrderId(value) ? value : this.fail();
  }

  quantity(): Quantity {
    const value = this.any();
    return isQuantity(value) ? value : this.fail();
  }

  checked<A>(result: Result.Result<A, unknown>): A {
    return Result.isSuccess(result) ? result.success : this.fail();
  }

  /**
   * What nearly every hold is, in one step: held, of one line, of a SKU whose books are in the same entry. Each process reads
   * those of all others: value by value it takes three times as long, and ten times before it is compiled. Null: it is not.
   */
  plainHold(at: number, skus: ReadonlyArray<StockLedger.SkuBooks>): StockLedger.Hold | null {
    const values = this.#values;
    const first = this.#at;
    const orderId = values[first];
    const until = values[first + 2];
    const reservedAt = values[first + 3];
    const changedAt = values[first + 4];
    const place = values[first + 7];
    const quantity = values[first + 8];
    if (values[first + 1] !== 0 || values[first + 5] !== 0 || values[first + 6] !== 1 || typeof place !== "number") return null;
    const sku = skus[place]?.sku;
    if (sku === undefined || !isOrderId(orderId) || !isQuantity(quantity)) return null;
    if (typeof until !== "number" || typeof reservedAt !== "number" || typeof changedAt !== "number") return null;
    this.#at = first + PLAIN_VALUES;
    return {
      orderId,
      status: "held",
      lines: [{ sku, quantity }],
      until: at + until,
      reason: null,
      reservedAt: at - reservedAt,
      at: at - changedAt,
    };
  }

  fail(): never {
    throw new Corrupt();
  }
}
