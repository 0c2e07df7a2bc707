/**
 * `StockReservation` on PostgreSQL: the durable ledger.
 *
 * Whatever waits in this process is one batch and one transaction: lock the orders' holds and the SKUs' books in key order,
 * decide in the pure ledger, write everything in one statement. Correct with any number of processes:
 *
 * 1. Every change of a hold changes the books of its SKUs in the same transaction, under their locks.
 * 2. Two batches that see the same order for the first time meet at its primary key; one of them decides again. What is
 *    refused writes nothing to meet at: such orders are looked for once more, under the locks of their SKUs.
 * 3. `CHECK (held + committed <= on_hand + shortage)` holds at every commit (G1), whatever this code does.
 *
 * It has transactions of its own: inside another one of the same database it refuses with `Misuse`, because waiting there
 * for a second connection could wait for ever.
 */
import {
  type Sku,
  type StockCommand,
  StockLedger,
  StockMailbox,
  StockReservation,
  type StoreError,
  type Transaction,
  UnitOfWork,
} from "@org/saga-core";
import { OrderId } from "@org/saga-core";
import { Effect, Layer, Result, Schema, type Scope } from "effect";
import { PgClient } from "./PgClient.ts";
import type { PgValue } from "./PgDriver.ts";
import { statements } from "./PgStockSql.ts";
import * as PgTransaction from "./PgTransaction.ts";
import * as PgUnitOfWork from "./PgUnitOfWork.ts";

export const make: Effect.Effect<StockReservation["Service"], never, PgClient | UnitOfWork | Scope.Scope> = Effect.gen(function* () {
  const client = yield* PgClient;
  const unitOfWork = yield* UnitOfWork;
  const sql = statements(client.tables);
  const ledger: Ledger = { client, sql, last: 0 };
  const submit = yield* StockMailbox.make("PgStock", (commands) => unitOfWork.commit(decide(ledger, commands)));

  const read = <A, E>(operation: string, codec: Schema.Codec<A, E>, text: string, values: ReadonlyArray<PgValue> = []) =>
    Effect.flatMap(client.query<Row>(operation, text, values), ({ rows }) => decoded(operation, codec, rows));

  return {
    execute: Effect.fnUntraced(function* (commands) {
      const open = yield* PgTransaction.open;
      if (open !== null && open.driver === client.driver) {
        return yield* PgTransaction.failure("Misuse", EXECUTE, "stock is not executed inside a transaction of its own database");
      }
      return yield* submit(commands);
    }),
    balances: Effect.fn("StockReservation.balances")(function* (skus) {
      const found = yield* read("StockReservation.balances", AllBooks, sql.balances, [skus]);
      return new Map(found.map((books) => [books.sku, StockLedger.balanceOf(books)]));
    }),
    allBalances: read("StockReservation.allBalances", AllBooks, sql.allBalances).pipe(
      Effect.map((found) => found.map(StockLedger.balanceOf)),
      Effect.withSpan("StockReservation.allBalances"),
    ),
    expired: Effect.fn("StockReservation.expired")((max) => read("StockReservation.expired", OrderIds, sql.expired, [max])),
  };
});

export const layer: Layer.Layer<StockReservation, never, PgClient> = Layer.effect(StockReservation, make).pipe(
  Layer.provide(PgUnitOfWork.layer),
);

interface Ledger {
  readonly client: PgClient["Service"];
  readonly sql: ReturnType<typeof statements>;
  /** The latest time this process has used. */
  last: number;
}

interface Row {
  readonly value: unknown;
}

const EXECUTE = "StockReservation.execute";

const AllBooks = Schema.Array(StockLedger.SkuBooks);
const Holds = Schema.Array(StockLedger.Hold);
const Adjustments = Schema.Array(StockLedger.Adjustment);
const OrderIds = Schema.Array(OrderId);

/** One batch, inside its transaction. */
const decide = Effect.fnUntraced(function* (
  ledger: Ledger,
  commands: ReadonlyArray<StockCommand>,
): Effect.fn.Return<ReadonlyArray<StockLedger.Answer>, StoreError, Transaction> {
  const view = yield* lock(ledger, commands);
  const [clock = 0] = yield* within(ledger, Schema.Array(Schema.Int), ledger.sql.clock);
  ledger.last = Math.max(ledger.last, clock);
  const { answers, writes } = StockLedger.decideBatch(view, commands, ledger.last);
  yield* refusedRightly(ledger, view, commands, answers);
  yield* write(ledger, view, writes);
  return answers;
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
    return isNew && answer !== undefined && Result.isFailure(answer) ? [command.orderId] : [];
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
  const live = yield* some(ledger, Holds, sql.lockLiveHolds, revocable);
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

const write = Effect.fnUntraced(function* (
  ledger: Ledger,
  view: StockLedger.StockView,
  writes: StockLedger.StockWrites,
): Effect.fn.Return<void, StoreError, Transaction> {
  const { skus, holds, adjustments, buyers } = writes;
  if (skus.length + holds.length + adjustments.length === 0) return;
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

/** Rows that somebody else wrote may be anything: they are refused without being shown. */
const decoded = <A, E>(operation: string, codec: Schema.Codec<A, E>, rows: ReadonlyArray<Row>): Effect.Effect<A, StoreError> => {
  const result = Schema.decodeUnknownResult(codec)(rows[0]?.value);
  return Result.isSuccess(result)
    ? Effect.succeed(result.success)
    : Effect.fail(PgTransaction.failure("Refused", operation, "a stored stock record cannot be read"));
};
