/**
 * What the records of stock say about each other: the books of a SKU should be the sums of its adjustments and holds, a log
 * should know what the ledger knows. Pure: it is told what there is, names what differs with the cause, and says how the books
 * have to be written to fit again.
 *
 * Records are believed, not books: every decision about an order rests on its hold. Only where goods on hand are in doubt,
 * the smaller number is kept: nothing is sold that one of the two does not know of.
 */
import type { CustomerId, OrderId } from "../order/OrderId.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { Sku } from "./Sku.ts";
import {
  type Adjustment,
  buyerKey,
  buyerOf,
  type BuyerUnits,
  type Counts,
  type Hold,
  type HoldStatus,
  type Shelf,
  type SkuBooks,
  type StockView,
  type StockWrites,
} from "./StockState.ts";
import { DEFAULT_WAREHOUSE, tagOf, type Warehouse } from "./Warehouse.ts";

/** Units of a SKU in one warehouse, as adjustments and holds have them. */
export interface Tally {
  readonly sku: Sku;
  readonly warehouse: Warehouse;
  /** All adjustments, summed. */
  readonly adjusted: number;
  readonly shipped: number;
  readonly held: number;
  readonly committed: number;
}

/** A hold whose record somebody has damaged: nobody can say what goods it has, nor that its order's id is one. */
export interface Unreadable {
  readonly orderId: string;
  readonly status: HoldStatus;
}

/** Books and records of one moment. */
export interface Stocktake {
  readonly skus: ReadonlyArray<SkuBooks>;
  readonly tallies: ReadonlyArray<Tally>;
  /** What is counted per buyer, */
  readonly buyers: ReadonlyArray<BuyerUnits>;
  /** and what their orders with a limit have. */
  readonly buyerTallies: ReadonlyArray<BuyerUnits>;
  /** Holds that the tallies are without. */
  readonly unreadable: ReadonlyArray<Unreadable>;
}

export type Column = keyof Counts;

/** In the ledger itself. */
export type LedgerDrift =
  | ({ readonly _tag: "Unreadable" } & Unreadable)
  | {
      readonly _tag: "Books";
      readonly sku: Sku;
      readonly warehouse: Warehouse;
      readonly column: Column;
      readonly booked: number;
      readonly recorded: number;
    }
  | { readonly _tag: "Buyer"; readonly sku: Sku; readonly buyer: CustomerId; readonly booked: number; readonly recorded: number };

/** Between the ledger and the log that serves in front of it. */
export type LogDrift =
  /** The log that should serve is not there. */
  | { readonly _tag: "LogLost"; readonly generation: number }
  /** The log granted it, the ledger never heard of it. */
  | { readonly _tag: "Unjournaled"; readonly hold: Hold }
  /** The ledger has it as `ledger`, the log as `log`; null: not at all. */
  | { readonly _tag: "LogHold"; readonly orderId: OrderId; readonly ledger: HoldStatus; readonly log: HoldStatus | null }
  | {
      readonly _tag: "LogBooks";
      readonly sku: Sku;
      readonly warehouse: Warehouse;
      readonly column: Column;
      readonly ledger: number;
      readonly log: number;
    };

/** Where a difference is, in words, and how it may have come about. */
export const causeOf = (drift: LedgerDrift | LogDrift): string => {
  switch (drift._tag) {
    case "Unreadable":
      return `the hold of order ${drift.orderId} is ${drift.status}, and its record cannot be read: its lines, or what was asked for, were changed alone`;
    case "Books":
      return booksCause(drift);
    case "Buyer": {
      const { sku, buyer, booked, recorded } = drift;
      return `buyer ${buyer} is counted with ${booked} of SKU ${sku}, the buyer's orders with a limit have ${recorded}: the count was changed alone, or a hold was`;
    }
    case "LogLost":
      return `the log of generation ${drift.generation} should serve and is not there: its server was restarted, wiped or replaced, and no process has begun anew`;
    case "Unjournaled":
      return `the log holds goods for order ${drift.hold.orderId} that the ledger does not know of: its process died before it wrote them down, or the ledger lost the hold`;
    case "LogHold": {
      const { orderId, ledger, log } = drift;
      return `the hold of order ${orderId} is ${ledger} in the ledger and ${log ?? "not known"} in the log: the log was not told, or is of an older state`;
    }
    case "LogBooks": {
      const { sku, warehouse, column, ledger, log } = drift;
      return `the log has ${log} ${WORDS[column]} of SKU ${sku} in ${warehouse}, the ledger ${ledger}: the log was changed alone, or missed a change of the ledger`;
    }
  }
};

const WORDS: Record<Column, string> = { onHand: "on hand", held: "held", committed: "committed", shortage: "short" };

const booksCause = ({ sku, warehouse, column, booked, recorded }: Extract<LedgerDrift, { _tag: "Books" }>): string => {
  const books = `the books of SKU ${sku} in ${warehouse} say ${booked} ${WORDS[column]}`;
  switch (column) {
    case "onHand":
      return `${books}, its adjustments less what was shipped sum to ${recorded}: ${booked > recorded ? "an adjustment is missing, or the books were raised alone" : "goods were counted in or given back without the books, or the books were lowered alone"}`;
    case "held":
    case "committed":
      return `${books}, its ${column} holds sum to ${recorded}: ${booked > recorded ? "a hold is missing, or its status was changed alone" : "a hold was added or made live again alone, or the books were lowered"}`;
    case "shortage":
      return `${books}, what is promised beyond what is on hand is ${recorded}: the books were changed alone`;
  }
};

/** What the records of a part of the ledger sum to. */
export const talliesOf = (
  holds: Iterable<Hold>,
  adjustments: Iterable<Adjustment>,
): { readonly tallies: ReadonlyArray<Tally>; readonly buyerTallies: ReadonlyArray<BuyerUnits> } => {
  const tallies = new Map<string, Tally>();
  const buyers = new Map<string, BuyerUnits>();
  const add = (sku: Sku, of: Warehouse | undefined, column: Exclude<keyof Tally, "sku" | "warehouse">, units: number): void => {
    const warehouse = of ?? DEFAULT_WAREHOUSE;
    const key = placeKey(sku, warehouse);
    const known = tallies.get(key) ?? { sku, warehouse, adjusted: 0, shipped: 0, held: 0, committed: 0 };
    tallies.set(key, { ...known, [column]: known[column] + units });
  };
  for (const { sku, warehouse, delta } of adjustments) add(sku, warehouse, "adjusted", delta);
  for (const hold of holds) {
    const { status, lines } = hold;
    if (status === "lapsed" || status === "released") continue;
    const buyer = buyerOf(hold);
    for (const { sku, warehouse, quantity } of lines) {
      add(sku, warehouse, status, quantity);
      if (buyer === undefined) continue;
      const key = buyerKey(sku, buyer);
      buyers.set(key, { sku, buyer, units: (buyers.get(key)?.units ?? 0) + quantity });
    }
  }
  return { tallies: [...tallies.values()], buyerTallies: [...buyers.values()] };
};

/** Where the books are not what the records sum to. One moment, so nothing is in flight: each is a fault. */
export const ofLedger = (take: Stocktake): ReadonlyArray<LedgerDrift> => {
  const books = shelvesOf(take.skus);
  const tallies = new Map(take.tallies.map((tally) => [placeKey(tally.sku, tally.warehouse), tally]));
  const drifts: Array<LedgerDrift> = [];
  for (const key of new Set([...books.keys(), ...tallies.keys()])) {
    const shelf = books.get(key);
    const tally = tallies.get(key);
    const place = shelf ?? tally;
    if (place === undefined) continue;
    const { sku, warehouse } = place;
    const recorded = countsOf(tally);
    for (const column of COLUMNS) {
      const booked = shelf?.[column] ?? 0;
      // What is short follows from the other books, right or wrong.
      const should = column === "shortage" ? shortageOf(shelf ?? NOTHING) : recorded[column];
      if (booked !== should) drifts.push({ _tag: "Books", sku, warehouse, column, booked, recorded: should });
    }
  }
  return [...take.unreadable.map((hold) => ({ _tag: "Unreadable", ...hold }) as const), ...drifts, ...ofBuyers(take)];
};

const ofBuyers = ({ buyers, buyerTallies }: Stocktake): ReadonlyArray<LedgerDrift> => {
  const booked = new Map(buyers.map((each) => [buyerKey(each.sku, each.buyer), each]));
  const recorded = new Map(buyerTallies.map((each) => [buyerKey(each.sku, each.buyer), each]));
  return [...new Map([...booked, ...recorded]).entries()].flatMap(([key, { sku, buyer }]) => {
    const difference = { booked: booked.get(key)?.units ?? 0, recorded: recorded.get(key)?.units ?? 0 };
    return difference.booked === difference.recorded ? [] : [{ _tag: "Buyer", sku, buyer, ...difference } as const];
  });
};

/**
 * What makes the books of one SKU fit its records, with an adjustment for each place that records it. `take` is of this SKU alone
 * (and of all that cannot be read), and nothing of it changes meanwhile. `Doubtful`: what the books have more may be the goods of
 * a hold that cannot be read; nobody may sell them.
 */
export const correction = (take: Stocktake, sku: Sku, now: Timestamp): StockWrites | "Fitting" | "Doubtful" => {
  const drifts = ofLedger({ ...take, unreadable: [] });
  if (drifts.length === 0) return "Fitting";
  if (drifts.some((drift) => take.unreadable.some(({ status }) => mayExplain(status, drift)))) return "Doubtful";
  const known = take.skus.find((books) => books.sku === sku);
  const before = shelvesOf(take.skus);
  const tallies = new Map(take.tallies.map((tally) => [placeKey(sku, tally.warehouse), tally]));
  const changed = new Set(drifts.flatMap((drift) => (drift._tag === "Books" ? [drift.warehouse] : [])));
  const at = Math.max(now, known?.at ?? 0);
  const adjustments: Array<Adjustment> = [];
  const shelves: Array<Shelf> = [];
  for (const warehouse of new Set([...before.values(), ...take.tallies].map((place) => place.warehouse))) {
    const shelf = before.get(placeKey(sku, warehouse));
    const recorded = countsOf(tallies.get(placeKey(sku, warehouse)));
    const onHand = Math.max(0, shelf === undefined ? recorded.onHand : Math.min(shelf.onHand, recorded.onHand));
    const { held, committed } = recorded;
    const shortage = shortageOf({ onHand, held, committed });
    shelves.push({ warehouse, onHand, held, committed, shortage });
    if (!changed.has(warehouse)) continue;
    const tag = tagOf(warehouse);
    const record = { id: `${RECONCILED}:${at}:${warehouse}:${sku}`, sku, delta: onHand - recorded.onHand, onHand, shortage, at };
    adjustments.push(tag === undefined ? record : { ...record, warehouse: tag });
  }
  return { skus: changed.size === 0 ? [] : [booksOf(sku, shelves, at)], holds: [], adjustments, buyers: buyersAfter(take) };
};

/** Whether a hold that the tallies are without may be what they differ from the books by. */
const mayExplain = (status: HoldStatus, drift: LedgerDrift): boolean => {
  if (drift._tag === "Unreadable" || status === "lapsed" || status === "released") return false;
  if (status === "shipped" && drift._tag === "Books") return drift.column === "onHand" && drift.booked < drift.recorded;
  return (drift._tag === "Buyer" || drift.column === status) && drift.booked > drift.recorded;
};

/** Begins the id of an adjustment that records a correction. Its delta is what the adjustments had to be changed by, often 0. */
export const RECONCILED = "reconcile";

/**
 * Where the log is not what the ledger is. Both move on while they are looked at: what is different twice, some seconds apart,
 * is no longer in flight. The numbers of a SKU are compared where no hold explains them.
 */
export const ofLog = (
  ledger: { readonly skus: ReadonlyArray<SkuBooks>; readonly holds: ReadonlyMap<OrderId, Hold> },
  log: Pick<StockView, "skus" | "holds">,
): ReadonlyArray<LogDrift> => {
  const drifts: Array<LogDrift> = [];
  const suspects = new Set<Sku>();
  const found = (hold: Hold, drift: LogDrift): void => {
    drifts.push(drift);
    for (const { sku } of hold.lines) suspects.add(sku);
  };
  for (const hold of log.holds.values()) {
    if (isLive(hold) && !ledger.holds.has(hold.orderId)) found(hold, { _tag: "Unjournaled", hold });
  }
  for (const hold of ledger.holds.values()) {
    const known = log.holds.get(hold.orderId);
    // Of what has ended a log remembers some.
    if (isLive(hold) ? known?.status !== hold.status : known !== undefined && isLive(known))
      found(hold, { _tag: "LogHold", orderId: hold.orderId, ledger: hold.status, log: known?.status ?? null });
  }
  const logged = shelvesOf(log.skus.values());
  for (const [key, shelf] of shelvesOf(ledger.skus)) {
    if (suspects.has(shelf.sku)) continue;
    const { sku, warehouse } = shelf;
    for (const column of COLUMNS) {
      const other = logged.get(key)?.[column] ?? 0;
      if (other !== shelf[column]) drifts.push({ _tag: "LogBooks", sku, warehouse, column, ledger: shelf[column], log: other });
    }
  }
  return drifts;
};

export const isLive = ({ status }: Hold): boolean => status === "held" || status === "committed";

const COLUMNS: ReadonlyArray<Column> = ["onHand", "held", "committed", "shortage"];

const NOTHING: Counts = { onHand: 0, held: 0, committed: 0, shortage: 0 };

const placeKey = (sku: Sku, warehouse: Warehouse): string => `${sku}@${warehouse}`;

const shortageOf = ({ onHand, held, committed }: Omit<Counts, "shortage">): number => Math.max(0, held + committed - onHand);

const countsOf = (tally: Tally | undefined): Omit<Counts, "shortage"> => ({
  onHand: (tally?.adjusted ?? 0) - (tally?.shipped ?? 0),
  held: tally?.held ?? 0,
  committed: tally?.committed ?? 0,
});

const shelvesOf = (skus: Iterable<SkuBooks>): ReadonlyMap<string, Shelf & { readonly sku: Sku }> =>
  new Map(
    Array.from(skus, (books) =>
      [{ ...books, warehouse: DEFAULT_WAREHOUSE }, ...(books.elsewhere ?? [])].map((shelf) => ({ ...shelf, sku: books.sku })),
    )
      .flat()
      .map((shelf) => [placeKey(shelf.sku, shelf.warehouse), shelf]),
  );

const booksOf = (sku: Sku, shelves: ReadonlyArray<Shelf>, at: Timestamp): SkuBooks => {
  const { onHand, held, committed, shortage } = shelves.find(({ warehouse }) => warehouse === DEFAULT_WAREHOUSE) ?? NOTHING;
  const elsewhere = shelves
    .filter(({ warehouse }) => warehouse !== DEFAULT_WAREHOUSE)
    .toSorted((left, right) => (left.warehouse < right.warehouse ? -1 : 1));
  const books = { sku, onHand, held, committed, shortage, at };
  return elsewhere.length === 0 ? books : { ...books, elsewhere };
};

/** The counts that are wrong, as they have to be. */
const buyersAfter = (take: Stocktake): ReadonlyArray<BuyerUnits> =>
  ofBuyers(take).flatMap((drift) => (drift._tag === "Buyer" ? [{ sku: drift.sku, buyer: drift.buyer, units: drift.recorded }] : []));
