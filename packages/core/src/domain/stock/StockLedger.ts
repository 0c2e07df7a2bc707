/**
 * The stock ledger: a decider over `StockState`, and `decideBatch`, the one function that every engine calls.
 *
 * Invariants (checked by properties, by every engine's contract suite and by the simulator):
 * 1. Per SKU, held + committed ≤ onHand + shortage; only an `Adjust` makes a shortage grow (G1).
 * 2. Per SKU, held and committed are the sums of the lines of the held and the committed holds; onHand is the sum of the
 *    adjustments less what was shipped (G2).
 * 3. Every command is idempotent per order (`Adjust`: per id): repeated, it changes nothing and answers the same.
 * 4. A rejected command changes nothing.
 * 5. A batch decides as its commands would one after the other.
 * 6. Nothing is dated before the last change of what it touches, whatever the clock says.
 *
 * It is not an engine: it reads the part of the ledger that it is given (`touches` says which) and says what to write.
 */
import { Result } from "effect";
import type { Decider } from "../Decider.ts";
import type { OrderId } from "../order/OrderId.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { Sku } from "./Sku.ts";
import type { StockAccepted, StockCommand, StockRejection } from "./StockCommand.ts";
import * as Decision from "./StockDecision.ts";
import * as StockBook from "./StockBook.ts";
import { isAdjustmentId } from "./StockAdjusting.ts";
import { apply, type StockEvent } from "./StockEvent.ts";
import * as StockNames from "./StockNames.ts";
import {
  availableOf,
  buyerKey,
  type BuyerKey,
  buyerOf,
  empty,
  patch,
  type Hold,
  shelfOf,
  type StockView,
  type StockWrites,
} from "./StockState.ts";
import { tagOf, type TakenLine, type Warehouse } from "./Warehouse.ts";

export type { StockEvent } from "./StockEvent.ts";
export { isAdjustmentId } from "./StockAdjusting.ts";
export { ReturnReason } from "./ReturnReason.ts";
export { ordinaryLines } from "./StockReserving.ts";
export {
  Adjustment,
  Asked,
  availableOf,
  balanceOf,
  type BuyerKey,
  buyerKey,
  BuyerUnits,
  empty,
  Hold,
  HoldStatus,
  patch,
  Shelf,
  SkuBooks,
  view,
  type StockView,
  type StockWrites,
} from "./StockState.ts";

/** A command with the engine's time. */
export interface Timed {
  readonly command: StockCommand;
  readonly now: Timestamp;
}

export type Answer = Result.Result<StockAccepted, StockRejection>;

export interface Batch {
  /** One per command, in order. */
  readonly answers: ReadonlyArray<Answer>;
  readonly writes: StockWrites;
  /** Everything that happened, in order. */
  readonly events: ReadonlyArray<StockEvent>;
}

export const initial: StockView = empty;

export const decide = (state: StockView, timed: Timed): Result.Result<ReadonlyArray<StockEvent>, StockRejection> =>
  Result.map(Decision.decide(state, timed.command, timed.now), (decided) => decided.events);

export const evolve = (state: StockView, event: StockEvent): StockView => {
  const book = StockBook.over(state);
  apply(book, event);
  return patch(state, StockBook.writesOf(book));
};

export const decider: Decider<StockView, Timed, StockEvent, StockRejection> = { initial, decide, evolve };

/** Decides a list of commands: each sees the effects of those before it. Costs what they touch; `state` stays as it is. */
export const decideBatch = (state: StockView, commands: ReadonlyArray<StockCommand>, now: Timestamp): Batch => {
  const book = StockBook.over(state);
  const events: Array<StockEvent> = [];
  const answers = commands.map((command): Answer => {
    const decided = Decision.decide(book, command, now);
    if (Result.isFailure(decided)) return Result.fail(decided.failure);
    for (const event of decided.success.events) {
      apply(book, event);
      events.push(event);
    }
    return Result.succeed(decided.success.answer);
  });
  return { answers, events, writes: StockBook.writesOf(book) };
};

export interface Touched {
  readonly orders: ReadonlyArray<OrderId>;
  readonly adjustments: ReadonlyArray<string>;
  /** SKUs that the commands name. Those of the orders' holds come on top (`skusOf`). */
  readonly skus: ReadonlyArray<Sku>;
  /** Counts that the commands name. Those of the orders' holds come on top (`buyersOf`). */
  readonly buyers: ReadonlyArray<BuyerKey>;
}

/**
 * What the commands touch by name, each once, in key order (the order in which engines lock). What is no name was never there, and a
 * database may not even look for it.
 */
export const touches = (commands: ReadonlyArray<StockCommand>): Touched => {
  const orders = new Set<OrderId>();
  const adjustments = new Set<string>();
  const skus = new Set<Sku>();
  const buyers = new Set<BuyerKey>();
  for (const command of commands) {
    if (command._tag === "Adjust") {
      if (isAdjustmentId(command.id)) adjustments.add(command.id);
      if (StockNames.isShortName(command.sku)) skus.add(command.sku);
    } else {
      if (StockNames.isIdentifier(command.orderId)) orders.add(command.orderId);
      if (command._tag !== "Reserve") continue;
      const buyer = command.limit?.buyer;
      for (const { sku } of command.lines) {
        if (!StockNames.isShortName(sku)) continue;
        skus.add(sku);
        if (buyer !== undefined && StockNames.isIdentifier(buyer)) buyers.add(buyerKey(sku, buyer));
      }
    }
  }
  return { orders: sorted(orders), adjustments: sorted(adjustments), skus: sorted(skus), buyers: sorted(buyers) };
};

/** The SKUs of these holds, each once, in key order. */
export const skusOf = (holds: Iterable<Hold>): ReadonlyArray<Sku> => {
  const skus = new Set<Sku>();
  for (const hold of holds) for (const line of hold.lines) skus.add(line.sku);
  return sorted(skus);
};

/** What these holds count for, each once, in key order. */
export const buyersOf = (holds: Iterable<Hold>): ReadonlyArray<BuyerKey> => {
  const buyers = new Set<BuyerKey>();
  for (const hold of holds) {
    const buyer = buyerOf(hold);
    if (buyer !== undefined) for (const line of hold.lines) buyers.add(buyerKey(line.sku, buyer));
  }
  return sorted(buyers);
};

/**
 * SKUs of which an `Adjust` among the commands may find less than is promised: a superset, cheap to compute, nearly always
 * empty. For each of them the view must hold every `held` hold with such a line (with the books of its other SKUs and its
 * buyer's counts), because newest ones may be revoked.
 */
export const mayRevoke = (state: StockView, commands: ReadonlyArray<StockCommand>): ReadonlyArray<Sku> => {
  const taken = new Map<Sku, number>();
  const shrinking = new Map<Sku, Set<Warehouse | undefined>>();
  const take = (sku: Sku, units: number): void => void taken.set(sku, (taken.get(sku) ?? 0) + units);
  const takeAll = (lines: ReadonlyArray<TakenLine>): void => lines.forEach((line) => take(line.sku, line.quantity));
  for (const command of commands) {
    if (command._tag === "Adjust" && command.delta < 0) {
      const places = shrinking.get(command.sku) ?? new Set();
      shrinking.set(command.sku, places.add(tagOf(command.warehouse)));
      take(command.sku, -command.delta);
    }
    if (command._tag === "Reserve") takeAll(command.lines);
    if (command._tag === "Commit") takeAll(state.holds.get(command.orderId)?.lines ?? []);
  }
  return sorted(shrinking.keys()).filter((sku) => {
    const books = state.skus.get(sku);
    return [...(shrinking.get(sku) ?? [])].some((warehouse) => {
      const shelf = books === undefined ? undefined : shelfOf(books, warehouse);
      return shelf === undefined || shelf.shortage > 0 || availableOf(shelf) < (taken.get(sku) ?? 0);
    });
  });
};

/**
 * The part of a whole ledger that `commands` touch, read in the steps that every engine takes: the orders' holds, the books
 * of their SKUs and of those named, and the live holds that an `Adjust` may revoke.
 */
export const part = (whole: StockView, commands: ReadonlyArray<StockCommand>, liveHoldsOf: (sku: Sku) => Iterable<Hold>): StockView => {
  const touched = touches(commands);
  const holds = pick(whole.holds, touched.orders);
  const adjustments = pick(whole.adjustments, touched.adjustments);
  const read = (): StockView => ({
    skus: pick(whole.skus, [...touched.skus, ...skusOf(holds.values())]),
    holds,
    adjustments,
    buyers: pick(whole.buyers, [...touched.buyers, ...buyersOf(holds.values())]),
  });
  const first = read();
  const revocable = mayRevoke(first, commands);
  if (revocable.length === 0) return first;
  for (const sku of revocable) for (const hold of liveHoldsOf(sku)) holds.set(hold.orderId, hold);
  return read();
};

const pick = <K, V>(from: ReadonlyMap<K, V>, keys: ReadonlyArray<K>): Map<K, V> => {
  const picked = new Map<K, V>();
  for (const key of keys) {
    const value = from.get(key);
    if (value !== undefined) picked.set(key, value);
  }
  return picked;
};

/** By code unit: the same order in every process, whatever its locale. */
const sorted = <K extends string>(keys: Iterable<K>): ReadonlyArray<K> => [...keys].toSorted();
