/**
 * The whole of a shard's stock, folded in memory: what an engine decides on that keeps its state in a log.
 *
 * - `apply` costs what was written, `expired` what is due; neither depends on how much is held.
 * - Bounded: of what has ended it remembers the latest (`ENDED_MAX`, `ENDED_FOR_MS`, `ADJUSTMENTS_MAX`). A late repetition of
 *   something older is taken for new, except where its durable ledger knows better. What is held or promised, and the books,
 *   are never forgotten: no unit depends on what is.
 * - Mutable, of one owner: whoever is given it as a view reads what it needs before it lets others run.
 */
import type { OrderId } from "../order/OrderId.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { Sku } from "./Sku.ts";
import {
  type Adjustment,
  type BuyerKey,
  buyerKey,
  type BuyerUnits,
  type Hold,
  type SkuBooks,
  type StockView,
  type StockWrites,
} from "./StockState.ts";

/** Ended holds that are remembered, at most: some 40 MB. */
export const ENDED_MAX = 100_000;

/** How long ended holds are remembered, in milliseconds: a day, longer than messages are retried. */
export const ENDED_FOR_MS = 86_400_000;

/** Adjustments that are remembered: goods come by the delivery, not by the order. */
export const ADJUSTMENTS_MAX = 100_000;

/** Forgetting is done about so many at a time: removing a map's first key again and again would search for it each time. */
const FORGET_BATCH = 4_096;

export class Fold implements StockView {
  readonly skus = new Map<Sku, SkuBooks>();
  readonly holds = new Map<OrderId, Hold>();
  readonly adjustments = new Map<string, Adjustment>();
  readonly buyers = new Map<BuyerKey, BuyerUnits>();
  /** The latest time that something was dated; no later decision is dated before. */
  last: Timestamp = 0;
  /** A heap by their end. One that is no longer what `holds` has is stale, and passed over. */
  #ends: Array<Hold> = [];
  /** Not in the heap yet: most processes are never asked what has expired, and many holds end before anybody is. */
  #fresh: Array<Hold> = [];
  #held = 0;
  /** Orders whose holds have ended, in the order they did. */
  readonly #ended = new Set<OrderId>();
  /** How many since it was last looked what may be forgotten. */
  #endedSince = 0;

  static of(view: StockView): Fold {
    const fold = new Fold();
    const { skus, holds, adjustments, buyers } = view;
    fold.apply(
      { skus: [...skus.values()], holds: [...holds.values()], adjustments: [...adjustments.values()], buyers: [...buyers.values()] },
      0,
    );
    return fold;
  }

  apply(writes: StockWrites, at: Timestamp): void {
    this.last = Math.max(this.last, at);
    for (const books of writes.skus) this.skus.set(books.sku, books);
    for (const hold of writes.holds) this.#put(hold);
    for (const adjustment of writes.adjustments) this.adjustments.set(adjustment.id, adjustment);
    for (const units of writes.buyers) {
      const key = buyerKey(units.sku, units.buyer);
      if (units.units > 0) this.buyers.set(key, units);
      else this.buyers.delete(key);
    }
    if (this.adjustments.size >= ADJUSTMENTS_MAX + FORGET_BATCH) forget(this.adjustments, FORGET_BATCH);
    if (this.#endedSince >= FORGET_BATCH) this.#forget();
  }

  /** Orders of the holds whose time is over at `now`, oldest first, at most `max`. */
  expired(now: Timestamp, max: number): ReadonlyArray<OrderId> {
    const due: Array<Hold> = [];
    for (const hold of this.#fresh) if (this.holds.get(hold.orderId) === hold) push(this.#ends, hold);
    this.#fresh = [];
    while (due.length < max) {
      const first = this.#ends[0];
      if (first === undefined || first.until > now) break;
      pop(this.#ends);
      if (this.holds.get(first.orderId) === first) due.push(first);
    }
    // Until somebody expires them they are due.
    for (const hold of due) push(this.#ends, hold);
    return due.map((hold) => hold.orderId);
  }

  #put(hold: Hold): void {
    const before = this.holds.get(hold.orderId);
    this.holds.set(hold.orderId, hold);
    if (before?.status === "held") this.#held -= 1;
    if (hold.status === "held") {
      this.#held += 1;
      this.#fresh.push(hold);
      if (this.#ends.length + this.#fresh.length > 2 * this.#held + FORGET_BATCH) this.#sweep();
    }
    if (before !== undefined && isEnded(before)) this.#ended.delete(hold.orderId);
    if (!isEnded(hold)) return;
    this.#ended.add(hold.orderId);
    this.#endedSince += 1;
  }

  /** Removes what is stale. A sorted list is a heap. */
  #sweep(): void {
    const isAlive = (hold: Hold): boolean => this.holds.get(hold.orderId) === hold;
    this.#ends = this.#ends.filter(isAlive).toSorted((left, right) => (isBefore(left, right) ? -1 : 1));
    this.#fresh = this.#fresh.filter(isAlive);
  }

  #forget(): void {
    this.#endedSince = 0;
    let surplus = this.#ended.size - ENDED_MAX;
    for (const orderId of this.#ended) {
      const at = this.holds.get(orderId)?.at ?? 0;
      if (surplus <= 0 && at >= this.last - ENDED_FOR_MS) return;
      this.holds.delete(orderId);
      this.#ended.delete(orderId);
      surplus -= 1;
    }
  }
}

const isEnded = (hold: Hold): boolean => hold.status !== "held" && hold.status !== "committed";

const isBefore = (left: Hold, right: Hold): boolean =>
  left.until < right.until || (left.until === right.until && left.orderId < right.orderId);

const push = (heap: Array<Hold>, hold: Hold): void => {
  let at = heap.length;
  while (at > 0) {
    const above = (at - 1) >> 1;
    const parent = heap[above];
    if (parent === undefined || !isBefore(hold, parent)) break;
    heap[at] = parent;
    at = above;
  }
  heap[at] = hold;
};

/** Removes the first. */
const pop = (heap: Array<Hold>): void => {
  const moved = heap.pop();
  if (moved === undefined || heap.length === 0) return;
  let at = 0;
  for (;;) {
    const left = heap[2 * at + 1];
    const right = heap[2 * at + 2];
    const [smaller, below] = right !== undefined && left !== undefined && isBefore(right, left) ? [right, 2 * at + 2] : [left, 2 * at + 1];
    if (smaller === undefined || !isBefore(smaller, moved)) break;
    heap[at] = smaller;
    at = below;
  }
  heap[at] = moved;
};

const forget = (from: Map<string, unknown>, count: number): void => {
  let left = count;
  for (const key of from.keys()) {
    if (left === 0) return;
    from.delete(key);
    left -= 1;
  }
};
