/**
 * A batch of any stock commands in one transaction: lock the orders' holds and the SKUs' books in key order, decide in the pure
 * ledger, write everything in one statement. Correct with any number of processes:
 *
 * 1. Every change of a hold changes the books of its SKUs in the same transaction, under their locks.
 * 2. Two batches that see the same order for the first time meet at its primary key; one of them decides again. What is
 *    refused writes nothing to meet at: such orders are looked for once more, under the locks of their SKUs.
 */
import {
  type Sku,
  type StockCommand,
  type StockDrift,
  StockLedger,
  type StoreError,
  type Timestamp,
  type Transaction,
} from "@org/saga-core";
import { Effect, Result, Schema } from "effect";
import type { PgClient } from "./PgClient.ts";
import type { PgValue } from "./PgDriver.ts";
import type { statements } from "./PgStockSql.ts";
import * as PgTransaction from "./PgTransaction.ts";

export interface Ledger {
  readonly client: PgClient["Service"];
  readonly sql: ReturnType<typeof statements>;
  /** The latest time this process has used. */
  last: number;
}

export interface Row {
  readonly value: unknown;
}

export const EXECUTE = "StockReservation.execute";

/** What decides has transactions of its own: inside another one it would wait for a second connection, maybe for ever. */
export const outside = ({ driver }: PgClient["Service"]): Effect.Effect<void, StoreError> =>
  Effect.flatMap(PgTransaction.open, (open) =>
    open?.driver === driver
      ? Effect.fail(PgTransaction.failure("Misuse", EXECUTE, "stock is not executed inside a transaction of its own database"))
      : Effect.void,
  );

export const AllBooks = Schema.Array(StockLedger.SkuBooks);
export const Holds = Schema.Array(StockLedger.Hold);
const Adjustments = Schema.Array(StockLedger.Adjustment);

/** One batch, inside its transaction. */
export const decide = (
  ledger: Ledger,
  commands: ReadonlyArray<StockCommand>,
): Effect.Effect<ReadonlyArray<StockLedger.Answer>, StoreError, Transaction> =>
  Effect.map(
    transact(ledger, commands, commands, (view, now) => StockLedger.decideBatch(view, commands, now)),
    ({ answers }) => answers,
  );

/** Locks what `touching` touches, decides, and writes. One answer per command. */
export const transact = Effect.fnUntraced(function* <A extends Pick<StockLedger.Batch, "answers" | "writes">>(
  ledger: Ledger,
  touching: ReadonlyArray<StockCommand>,
  commands: ReadonlyArray<StockCommand>,
  decision: (view: StockLedger.StockView, now: Timestamp) => A,
): Effect.fn.Return<A, StoreError, Transaction> {
  const view = yield* lock(ledger, touching);
  const decided = decision(view, yield* clock(ledger));
  yield* refusedRightly(ledger, view, commands, decided.answers);
  yield* write(ledger, view, decided.writes);
  return decided;
});

/** The server's, never below what this process has used. */
export const clock = Effect.fnUntraced(function* (ledger: Ledger): Effect.fn.Return<Timestamp, StoreError, Transaction> {
  const [now = 0] = yield* within(ledger, Schema.Array(Schema.Int), ledger.sql.clock);
  ledger.last = Math.max(ledger.last, now);
  return ledger.last;
});

/**
 * An order that was not there when its hold was looked for may be there since: another process reserved it, and took the very
 * goods that are missing now. Refusing, as never seen, would contradict what the batch has seen of that.
 */
const refusedRightly = Effect.fnUntraced(function* (
  ledger: Ledger,
  view: StockLedger.StockView,
  commands: ReadonlyArray<StockCommand>,
  answers: ReadonlyArray<StockLedger.Answer>,
): Effect.fn.Return<void, StoreError, Transaction> {
  const refused = commands.flatMap((command, index) => {
    const answer = answers[index];
    const isNew = command._tag !== "Adjust" && !view.holds.has(command.orderId);
    // What is not valid is so for whatever order there is.
    return isNew && answer !== undefined && Result.isFailure(answer) && answer.failure._tag !== "InvalidQuantity" ? [command.orderId] : [];
  });
  const seen = yield* some(ledger, Holds, ledger.sql.lockHolds, refused);
  if (seen.length > 0) return yield* PgTransaction.failure("Contention", EXECUTE, "an order was seen for the first time twice");
});

/** Everything that the commands touch, locked in key order: holds, then books. */
const lock = Effect.fnUntraced(function* (
  ledger: Ledger,
  commands: ReadonlyArray<StockCommand>,
): Effect.fn.Return<StockLedger.StockView, StoreError, Transaction> {
  const { sql } = ledger;
  const touched = StockLedger.touches(commands);
  const holds = yield* some(ledger, Holds, sql.lockHolds, touched.orders);
  const skus = yield* some(ledger, AllBooks, sql.lockSkus, [...new Set([...touched.skus, ...StockLedger.skusOf(holds)])].toSorted());
  // Under the locks of the books that they changed: who is refused because of an adjustment is not told that it never was.
  const adjustments = yield* some(ledger, Adjustments, sql.readAdjustments, touched.adjustments);
  const buyers = yield* readBuyers(ledger, [...touched.buyers, ...StockLedger.buyersOf(holds)]);
  const view = StockLedger.view(skus, holds, adjustments, buyers);
  const revocable = StockLedger.mayRevoke(view, commands);
  if (revocable.length === 0) return view;
  // Rare: goods were counted out. No hold of these SKUs can appear or end meanwhile: that takes the lock of their books.
  const found = yield* ledger.client.within<Row>(EXECUTE, sql.lockLiveHolds, [revocable]);
  // Those that somebody has damaged keep their units.
  const { holds: live } = yield* readable(EXECUTE, found.rows);
  const others = StockLedger.skusOf(live).filter((sku: Sku) => !view.skus.has(sku));
  const moreSkus = yield* some(ledger, AllBooks, sql.lockSkus, others);
  const moreBuyers = yield* readBuyers(ledger, StockLedger.buyersOf(live));
  return StockLedger.view([...skus, ...moreSkus], [...live, ...holds], adjustments, [...buyers, ...moreBuyers]);
});

const readBuyers = (ledger: Ledger, keys: ReadonlyArray<StockLedger.BuyerKey>) => {
  if (keys.length === 0) return Effect.succeed([]);
  const pairs = [...new Set(keys)].map((key) => key.split("@"));
  const columns = [pairs.map(([sku = ""]) => sku), pairs.map(([, buyer = ""]) => buyer)];
  return within(ledger, Schema.Array(StockLedger.BuyerUnits), ledger.sql.readBuyers, columns);
};

/** `view` says what is there already. */
export const write = Effect.fnUntraced(function* (
  ledger: Ledger,
  view: StockLedger.StockView,
  writes: StockLedger.StockWrites,
): Effect.fn.Return<void, StoreError, Transaction> {
  const { skus, holds, adjustments, buyers } = writes;
  if (skus.length + holds.length + adjustments.length + buyers.length === 0) return;
  const input = {
    adjustments,
    buyers,
    newHolds: holds.filter((hold) => !view.holds.has(hold.orderId)),
    oldHolds: holds.filter((hold) => view.holds.has(hold.orderId)),
    newSkus: skus.filter((books) => !view.skus.has(books.sku)),
    oldSkus: skus.filter((books) => view.skus.has(books.sku)),
  };
  yield* ledger.client.within(EXECUTE, ledger.sql.write, [JSON.stringify(input)]);
});

/** Nothing asked for, nothing asked. */
const some = <A, E>(ledger: Ledger, codec: Schema.Codec<ReadonlyArray<A>, E>, text: string, keys: ReadonlyArray<string>) =>
  keys.length === 0 ? Effect.succeed<ReadonlyArray<A>>([]) : within(ledger, codec, text, [keys]);

const within = <A, E>(ledger: Ledger, codec: Schema.Codec<A, E>, text: string, values: ReadonlyArray<PgValue> = []) =>
  Effect.flatMap(ledger.client.within<Row>(EXECUTE, text, values), ({ rows }) => decoded(EXECUTE, codec, rows));

/** Somebody may have damaged a hold: it does not keep us from the others. */
const AnyHolds = Schema.Array(
  Schema.StructWithRest(Schema.Struct({ orderId: Schema.String, status: StockLedger.HoldStatus }), [
    Schema.Record(Schema.String, Schema.Unknown),
  ]),
);
const toHold = Schema.decodeUnknownResult(StockLedger.Hold);
const toHolds = Schema.decodeUnknownResult(Holds);

/** The holds that can be read, and the names of those that cannot. */
export const readable = Effect.fnUntraced(function* (
  operation: string,
  rows: ReadonlyArray<Row>,
): Effect.fn.Return<
  { readonly holds: ReadonlyArray<StockLedger.Hold>; readonly unreadable: ReadonlyArray<StockDrift.Unreadable> },
  StoreError
> {
  const all = toHolds(rows[0]?.value);
  if (Result.isSuccess(all)) return { holds: all.success, unreadable: [] };
  const holds: Array<StockLedger.Hold> = [];
  const unreadable: Array<StockDrift.Unreadable> = [];
  for (const row of yield* decoded(operation, AnyHolds, rows)) {
    const hold = toHold(row);
    if (Result.isSuccess(hold)) holds.push(hold.success);
    else unreadable.push({ orderId: row.orderId, status: row.status });
  }
  return { holds, unreadable };
});

/** Rows that somebody else wrote may be anything: they are refused without being shown. */
export const decoded = <A, E>(operation: string, codec: Schema.Codec<A, E>, rows: ReadonlyArray<Row>): Effect.Effect<A, StoreError> => {
  const result = Schema.decodeUnknownResult(codec)(rows[0]?.value);
  return Result.isSuccess(result)
    ? Effect.succeed(result.success)
    : Effect.fail(PgTransaction.failure("Refused", operation, "a stored stock record cannot be read"));
};
