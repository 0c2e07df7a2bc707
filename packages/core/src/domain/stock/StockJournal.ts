/**
 * What the durable ledger does with holds that a fast log has granted, and what the log has to hear of the ledger's own
 * decisions. Pure; engines of `StockBooks` call `decide` as others call `StockLedger.decideBatch`.
 *
 * 1. A hold is taken into the ledger as it was granted (lines, end), if there are the units (G1). If not, the log was stale:
 *    the hold is recorded as revoked, and nothing is promised.
 * 2. What the ledger knows of an order is never changed by its hold from the log: the ledger decided later, and knows more.
 * 3. `tell` is what changed the ledger: told to the log, however late and often, the log comes to the same, or says that it
 *    cannot. Holds taken are not told: the log granted them.
 */
import { Result, Schema } from "effect";
import { OrderId } from "../order/OrderId.ts";
import { Timestamp } from "../Timestamp.ts";
import { Quantity, Sku, type StockLine } from "./Sku.ts";
import * as StockBook from "./StockBook.ts";
import type { StockAccepted, StockCommand } from "./StockCommand.ts";
import * as Decision from "./StockDecision.ts";
import { apply } from "./StockEvent.ts";
import type { Answer } from "./StockLedger.ts";
import { availableOf, type Hold, shelfOf, type StockView, type StockWrites, sumLines } from "./StockState.ts";
import { Warehouse } from "./Warehouse.ts";

const about = { orderId: OrderId };

/** What a log is told, as notes keep it. */
export const Told = Schema.Union([
  Schema.TaggedStruct("Commit", about),
  Schema.TaggedStruct("Release", about),
  Schema.TaggedStruct("Ship", about),
  Schema.TaggedStruct("Expire", { ...about, decided: Schema.optionalKey(Schema.Literal(true)) }),
  Schema.TaggedStruct("Renew", { ...about, ttlMillis: Schema.Int, until: Schema.optionalKey(Timestamp) }),
  Schema.TaggedStruct("Adjust", {
    id: Schema.String,
    sku: Sku,
    delta: Schema.Int,
    kind: Schema.optionalKey(Schema.Literals(["receive", "correct", "return"])),
    warehouse: Schema.optionalKey(Warehouse),
    decided: Schema.optionalKey(Schema.Literal(true)),
  }),
]);
export type Told = typeof Told.Type;

/** Holds are taken first, so that the commands find them. */
export interface Work {
  /** Granted by a log, at most one per order. */
  readonly holds: ReadonlyArray<Hold>;
  readonly commands: ReadonlyArray<StockCommand>;
}

/**
 * - `Kept`: it is in the ledger, or was; what became of it there since, the log is told.
 * - `Refused`: the units are not there; recorded as revoked.
 * - `Ended`: the order had another hold, or was released, before the log granted this one; the log has to take it back.
 */
export type Keeping = "Kept" | "Refused" | "Ended";

export interface Journaled {
  /** One per hold. */
  readonly keepings: ReadonlyArray<Keeping>;
  /** One per command. */
  readonly answers: ReadonlyArray<Answer>;
  readonly writes: StockWrites;
  /** The commands that changed something, for the log; and what it has to take back. */
  readonly tell: ReadonlyArray<Told>;
  /** False: holds were revoked. No command makes a log revoke the same ones: it is told none, and has to begin anew. */
  readonly isTellable: boolean;
}

export const decide = (state: StockView, { holds, commands }: Work, now: Timestamp): Journaled => {
  const book = StockBook.over(state);
  const keepings = holds.map((hold) => keep(book, hold));
  const tell = holds.flatMap(({ orderId }, index): ReadonlyArray<Told> =>
    keepings[index] === "Ended" ? [{ _tag: "Release", orderId }] : [],
  );
  let isTellable = !keepings.includes("Refused");
  const answers = commands.map((command): Answer => {
    const decided = Decision.decide(book, command, now);
    if (Result.isFailure(decided)) return Result.fail(decided.failure);
    const { events, answer } = decided.success;
    for (const event of events) {
      apply(book, event);
      if (event._tag === "Lapsed" && event.reason === "revoked") isTellable = false;
    }
    // Reserves are the ledger's own only while no log serves.
    if (events.length > 0 && command._tag !== "Reserve") tell.push(toldOf(command, answer));
    return Result.succeed(answer);
  });
  return { keepings, answers, writes: StockBook.writesOf(book), tell: isTellable ? tell : [], isTellable };
};

/**
 * The log's clock is another one: it is told until when, and what is over. It may have promised what the ledger does not know of yet:
 * goods that are counted out end no hold there, or it would be one that the ledger keeps.
 */
const toldOf = (command: Told, answer: StockAccepted): Told => {
  if (command._tag === "Renew" && answer._tag === "Reserved") return { ...command, until: answer.until };
  return command._tag === "Adjust" || command._tag === "Expire" ? { ...command, decided: true } : command;
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
  if (known !== undefined) return again(known, hold);
  const isThere = lines.every(({ sku, quantity, warehouse }) => quantity <= unitsOf(book, sku, warehouse));
  if (!isThere && !lines.every(({ sku }) => book.skus.has(sku))) return "Refused";
  // Refused: it ended when it began. That is how it is known if it comes again.
  const held = { _tag: "Held", orderId, lines, until: isThere ? until : hold.reservedAt, at: hold.reservedAt } as const;
  apply(book, asked === undefined ? held : { ...held, asked });
  if (isThere) return "Kept";
  apply(book, { _tag: "Lapsed", orderId, reason: "revoked", at: hold.reservedAt });
  return "Refused";
};

/** The ledger knows the order: this very hold, which it took before, or another one that the log knows nothing of. */
const again = (known: Hold, hold: Hold): Keeping => {
  if (known.status === "held" || known.status === "committed") return "Kept";
  if (known.reservedAt !== hold.reservedAt || known.lines.length === 0) return "Ended";
  return known.until === known.reservedAt ? "Refused" : "Kept";
};

const unitsOf = (book: StockBook.Book, sku: Sku, warehouse: Hold["lines"][number]["warehouse"]): number => {
  const books = book.skus.get(sku);
  const shelf = books === undefined ? undefined : shelfOf(books, warehouse);
  return shelf === undefined ? 0 : availableOf(shelf);
};
