/**
 * What the durable ledger does with holds that a fast log has granted, and what the log has to hear of the ledger's own
 * decisions. Pure; engines of `StockBooks` call `decide` as others call `StockLedger.decideBatch`.
 *
 * 1. A hold is taken into the ledger as it was granted (lines, end), if there are the units (G1). If not, the log was stale:
 *    the hold is recorded as revoked, and nothing is promised.
 * 2. What the ledger knows of an order is never changed by its hold from the log: the ledger decided later, and knows more.
 * 3. `tell` is what changed the ledger: told to a log in any order and any number of times, the log comes to the same, or
 *    says that it cannot. Holds taken are not told: the log granted them.
 */
import { Result } from "effect";
import type { OrderId } from "../order/OrderId.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { Sku, StockLine } from "./Sku.ts";
import * as StockBook from "./StockBook.ts";
import type { StockCommand } from "./StockCommand.ts";
import * as Decision from "./StockDecision.ts";
import { apply } from "./StockEvent.ts";
import type { Answer } from "./StockLedger.ts";
import { availableOf, type Hold, shelfOf, type StockView, type StockWrites, sumLines } from "./StockState.ts";
import { Quantity } from "./Sku.ts";

/** Holds are taken first, so that the commands find them. */
export interface Work {
  /** Granted by a log, at most one per order. */
  readonly holds: ReadonlyArray<Hold>;
  readonly commands: ReadonlyArray<StockCommand>;
}

/**
 * - `Kept`: in the ledger, as long as it lasts.
 * - `Refused`: the units are not there; recorded as revoked.
 * - `Ended`: the ledger ended this order's hold before.
 */
export type Keeping = "Kept" | "Refused" | "Ended";

export interface Journaled {
  /** One per hold. */
  readonly keepings: ReadonlyArray<Keeping>;
  /** One per command. */
  readonly answers: ReadonlyArray<Answer>;
  readonly writes: StockWrites;
  /** For the log; empty: nothing changed that it does not know. */
  readonly tell: ReadonlyArray<StockCommand>;
  /** False: holds were revoked. No command makes a log revoke the same ones: it has to begin anew. */
  readonly isTellable: boolean;
}

export const decide = (state: StockView, { holds, commands }: Work, now: Timestamp): Journaled => {
  const book = StockBook.over(state);
  const keepings = holds.map((hold) => keep(book, hold));
  const taken = new Map(holds.map(({ orderId }) => [orderId, book.holds.get(orderId)]));
  const answers = commands.map((command): Answer => {
    const decided = Decision.decide(book, command, now);
    if (Result.isFailure(decided)) return Result.fail(decided.failure);
    for (const event of decided.success.events) apply(book, event);
    return Result.succeed(decided.success.answer);
  });
  const writes = StockBook.writesOf(book);
  const changed = new Map(
    writes.holds.flatMap((hold) => {
      const before = taken.has(hold.orderId) ? taken.get(hold.orderId) : state.holds.get(hold.orderId);
      return before === hold ? [] : [[hold.orderId, hold] as const];
    }),
  );
  const phantoms = holds.filter((hold, index) => keepings[index] === "Ended" && !changed.has(hold.orderId));
  return {
    keepings,
    answers,
    writes,
    tell: [...phantoms.map(({ orderId }): StockCommand => ({ _tag: "Release", orderId })), ...tellOf(changed, writes, commands)],
    isTellable:
      !keepings.includes("Refused") && ![...changed.values()].some((hold) => hold.reason === "revoked" && hold.status === "lapsed"),
  };
};

/** The same work as commands that touch what it touches: for whoever reads or locks before deciding. */
export const touching = ({ holds, commands }: Work): ReadonlyArray<StockCommand> => [
  ...holds.map((hold): StockCommand => reserveOf(hold, 1)),
  ...commands,
];

/** The request that a hold was granted for. */
export const reserveOf = (hold: Hold, ttlMillis: number): Extract<StockCommand, { _tag: "Reserve" }> => {
  const { orderId, asked } = hold;
  if (asked === undefined) return { _tag: "Reserve", orderId, lines: wholeLines(hold), ttlMillis };
  const { lines, policy, warehouses, split, limit } = asked;
  const ordinary = { _tag: "Reserve", orderId, lines, ttlMillis, policy, split } as const;
  return { ...ordinary, ...(warehouses === null ? {} : { warehouses }), ...(limit === null ? {} : { limit }) };
};

const wholeLines = (hold: Hold): ReadonlyArray<StockLine> =>
  sumLines(hold.lines).map(([sku, quantity]) => ({ sku, quantity: Quantity.make(quantity) }));

const keep = (book: StockBook.Book, hold: Hold): Keeping => {
  const { orderId, lines, until, asked } = hold;
  const known = book.holds.get(orderId);
  if (known !== undefined) return known.status === "held" || known.status === "committed" ? "Kept" : "Ended";
  const held = { _tag: "Held", orderId, lines, until, at: hold.reservedAt } as const;
  const isThere = lines.every(({ sku, quantity, warehouse }) => quantity <= unitsOf(book, sku, warehouse));
  if (!isThere && !lines.every(({ sku }) => book.skus.has(sku))) return "Refused";
  apply(book, asked === undefined ? held : { ...held, asked });
  if (isThere) return "Kept";
  apply(book, { _tag: "Lapsed", orderId, reason: "revoked", at: hold.reservedAt });
  return "Refused";
};

const unitsOf = (book: StockBook.Book, sku: Sku, warehouse: Hold["lines"][number]["warehouse"]): number => {
  const books = book.skus.get(sku);
  const shelf = books === undefined ? undefined : shelfOf(books, warehouse);
  return shelf === undefined ? 0 : availableOf(shelf);
};

/** What the orders came to, said as commands; each order once, with its last one. */
const tellOf = (
  changed: ReadonlyMap<OrderId, Hold>,
  writes: StockWrites,
  commands: ReadonlyArray<StockCommand>,
): ReadonlyArray<StockCommand> => {
  const adjusted = new Set(writes.adjustments.map(({ id }) => id));
  const told = new Set<string>();
  const tell: Array<StockCommand> = [];
  for (const command of commands.toReversed()) {
    if (command._tag === "Adjust") {
      if (adjusted.delete(command.id)) tell.unshift(command);
      continue;
    }
    const hold = changed.get(command.orderId);
    if (hold === undefined || told.has(command.orderId)) continue;
    // A renewal is told as itself: what ended says so by its status.
    if (hold.status === "held" && command._tag !== "Renew") continue;
    told.add(command.orderId);
    tell.unshift(...wordsOf(hold, command));
  }
  return tell;
};

const wordsOf = (hold: Hold, command: StockCommand): ReadonlyArray<StockCommand> => {
  const { orderId } = hold;
  switch (hold.status) {
    case "held":
      return [command];
    case "committed":
      return [{ _tag: "Commit", orderId }];
    case "shipped":
      return [
        { _tag: "Commit", orderId },
        { _tag: "Ship", orderId },
      ];
    case "released":
      return [{ _tag: "Release", orderId }];
    case "lapsed":
      return [{ _tag: "Expire", orderId }];
  }
};
