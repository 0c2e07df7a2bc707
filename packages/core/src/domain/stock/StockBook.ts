/**
 * What a batch is decided on: a view that is not copied, and above it what the batch has changed so far. To decide costs
 * what the batch touches, however much the view holds; the view itself is never changed, so a batch that could not be
 * written is forgotten by letting go of its book.
 */
import type { OrderId } from "../order/OrderId.ts";
import type { Sku } from "./Sku.ts";
import type { Adjustment, BuyerKey, BuyerUnits, Hold, SkuBooks, StockView, StockWrites } from "./StockState.ts";

/** A view whose changes stay above what is below. */
export interface Book extends StockView {
  readonly skus: Overlay<Sku, SkuBooks>;
  readonly holds: Overlay<OrderId, Hold>;
  readonly adjustments: Overlay<string, Adjustment>;
  readonly buyers: Overlay<BuyerKey, BuyerUnits>;
}

export const over = (view: StockView): Book => ({
  skus: new Overlay(view.skus),
  holds: new Overlay(view.holds),
  adjustments: new Overlay(view.adjustments),
  buyers: new Overlay(view.buyers),
});

export const writesOf = (book: Book): StockWrites => ({
  skus: book.skus.written(),
  holds: book.holds.written(),
  adjustments: book.adjustments.written(),
  buyers: book.buyers.written(),
});

/** New values above a map that stays as it is. Nothing is ever removed. */
export class Overlay<K extends string, V extends object> implements ReadonlyMap<K, V> {
  readonly #base: ReadonlyMap<K, V>;
  readonly #own = new Map<K, V>();

  constructor(base: ReadonlyMap<K, V>) {
    this.#base = base;
  }

  get(key: K): V | undefined {
    return this.#own.get(key) ?? this.#base.get(key);
  }

  has(key: K): boolean {
    return this.#own.has(key) || this.#base.has(key);
  }

  set(key: K, value: V): void {
    this.#own.set(key, value);
  }

  /** What was set, in key order (code units), so that writers of the same rows meet in the same order. */
  written(): ReadonlyArray<V> {
    if (this.#own.size < 2) return [...this.#own.values()];
    return [...this.#own].toSorted(([left], [right]) => (left < right ? -1 : 1)).map(([, value]) => value);
  }

  get size(): number {
    let added = 0;
    for (const key of this.#own.keys()) if (!this.#base.has(key)) added += 1;
    return this.#base.size + added;
  }

  *entries(): MapIterator<[K, V]> {
    for (const [key, value] of this.#base) yield [key, this.#own.get(key) ?? value];
    for (const [key, value] of this.#own) if (!this.#base.has(key)) yield [key, value];
  }

  *keys(): MapIterator<K> {
    for (const [key] of this.entries()) yield key;
  }

  *values(): MapIterator<V> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries();
  }

  forEach(each: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this.entries()) each(value, key, this);
  }
}
