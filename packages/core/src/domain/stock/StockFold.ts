/**
 * The whole of a shard's stock, folded in memory: what an engine decides on that keeps its state in a log.
 *
 * - `apply` costs what was written, `expired` what is due; neither depends on how much is held (`StockEnds`).
 * - Bounded: of what has ended it remembers the latest (`ENDED_MAX`, `ENDED_FOR_MS`, `ADJUSTMENTS_MAX`). A late repetition of
 *   something older is taken for new, except where its durable ledger knows better. What is held or promised, and the books,
 *   are never forgotten: no unit depends on what is.
 * - Mutable, of one owner: whoever is given it as a view reads what it needs before it lets others run.
 */
import type { OrderId } from "../order/OrderId.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { Sku } from "./Sku.ts";
import { Ends } from "./StockEnds.ts";
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
  readonly #ends = new Ends((hold) => this.holds.get(hold.orderId) === hold);
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
    return this.#ends.due(now, max).map((hold) => hold.orderId);
  }

  #put(hold: Hold): void {
    const before = this.holds.get(hold.orderId);
    this.holds.set(hold.orderId, hold);
    if (before?.status === "held") this.#ends.remove(before);
    if (hold.status === "held") this.#ends.add(hold);
    if (before !== undefined && isEnded(before)) this.#ended.delete(hold.orderId);
    if (!isEnded(hold)) return;
    this.#ended.add(hold.orderId);
    this.#endedSince += 1;
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

const forget = (from: Map<string, unknown>, count: number): void => {
  let left = count;
  for (const key of from.keys()) {
    if (left === 0) return;
    from.delete(key);
    left -= 1;
  }
};
