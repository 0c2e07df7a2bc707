/**
 * `StockReservation` on PostgreSQL: the durable ledger.
 *
 * Whatever waits in this process is one batch. One that only reserves, what nobody reserved before and nobody wishes from
 * certain warehouses, is one statement that grants all of it or nothing (`PgStockAtOnce`); every other batch, and one that
 * failed so, is a transaction that locks, decides in the pure ledger, and writes (`PgStockLocked`). Both answer as the ledger
 * does, with any number of processes.
 *
 * `CHECK (held + committed <= on_hand + shortage)` holds at every commit (G1), whatever this code does. A lost answer is not
 * guessed: the batch is run again, for every command is idempotent.
 *
 * It has transactions of its own: inside another one of the same database it refuses with `Misuse`, because waiting there
 * for a second connection could wait for ever.
 */
import { OrderId, type StockCommand, StockLedger, StockMailbox, StockReservation, type StoreError, UnitOfWork } from "@org/saga-core";
import { Effect, Layer, Schema, type Scope } from "effect";
import { PgClient } from "./PgClient.ts";
import type { PgValue } from "./PgDriver.ts";
import * as PgStockAtOnce from "./PgStockAtOnce.ts";
import * as PgStockLocked from "./PgStockLocked.ts";
import { statements } from "./PgStockSql.ts";
import * as PgTransaction from "./PgTransaction.ts";
import * as PgUnitOfWork from "./PgUnitOfWork.ts";

/** Batches in flight: while the server works on one, the next one is made. More would be smaller ones of the same load. */
const IN_FLIGHT_MAX = 2;

export const make: Effect.Effect<StockReservation["Service"], never, PgClient | UnitOfWork | Scope.Scope> = Effect.gen(function* () {
  const client = yield* PgClient;
  const unitOfWork = yield* UnitOfWork;
  const sql = statements(client.tables);
  const ledger: PgStockLocked.Ledger = { client, sql, last: 0 };
  const atOnce = PgStockAtOnce.make(client, sql);
  const locked = (commands: ReadonlyArray<StockCommand>) =>
    Effect.map(unitOfWork.commit(PgStockLocked.decide(ledger, commands)), (answers) => atOnce.learn(commands, answers));
  const submit = yield* StockMailbox.make(
    "PgStock",
    (commands) => {
      const batch = atOnce.batchOf(commands);
      return batch === null ? locked(commands) : Effect.catchIf(atOnce.run(batch), PgStockAtOnce.isRefused, () => locked(commands));
    },
    { inFlightMax: IN_FLIGHT_MAX, kind: atOnce.kindOf },
  );

  const read = <A, E>(operation: string, codec: Schema.Codec<A, E>, text: string, values: ReadonlyArray<PgValue> = []) =>
    Effect.flatMap(client.query<PgStockLocked.Row>(operation, text, values), ({ rows }) => PgStockLocked.decoded(operation, codec, rows));

  /** Ids that somebody has damaged take no room: more are read for them. */
  const expired = Effect.fnUntraced(function* (max: number, limit = max): Effect.fn.Return<ReadonlyArray<OrderId>, StoreError> {
    const found = yield* read("StockReservation.expired", Ids, sql.expired, [limit]);
    const orders = found.filter(isOrderId);
    const damaged = found.length - orders.length;
    if (orders.length < max && found.length === limit) return yield* expired(max, max + damaged);
    if (damaged > 0) yield* Effect.logWarning(`${damaged} holds do not expire, because their order's id is none: reconcile the stock`);
    return orders.slice(0, max);
  });

  return {
    execute: Effect.fnUntraced(function* (commands) {
      const open = yield* PgTransaction.open;
      if (open !== null && open.driver === client.driver) {
        return yield* PgTransaction.failure(
          "Misuse",
          PgStockLocked.EXECUTE,
          "stock is not executed inside a transaction of its own database",
        );
      }
      return yield* submit(commands);
    }),
    balances: Effect.fn("StockReservation.balances")(function* (skus) {
      const found = yield* read("StockReservation.balances", PgStockLocked.AllBooks, sql.balances, [skus]);
      return new Map(found.map((books) => [books.sku, StockLedger.balanceOf(books)]));
    }),
    allBalances: read("StockReservation.allBalances", PgStockLocked.AllBooks, sql.allBalances).pipe(
      Effect.map((found) => found.map(StockLedger.balanceOf)),
      Effect.withSpan("StockReservation.allBalances"),
    ),
    expired: Effect.fn("StockReservation.expired")((max) => expired(max)),
  };
});

export const layer: Layer.Layer<StockReservation, never, PgClient> = Layer.effect(StockReservation, make).pipe(
  Layer.provide(PgUnitOfWork.layer),
);

const Ids = Schema.Array(Schema.String);
const isOrderId = Schema.is(OrderId);
