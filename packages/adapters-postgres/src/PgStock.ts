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
import { type StockCommand, StockMailbox, StockReservation, UnitOfWork } from "@org/saga-core";
import { Effect, Layer, type Scope } from "effect";
import { PgClient } from "./PgClient.ts";
import * as PgStockAtOnce from "./PgStockAtOnce.ts";
import * as PgStockLocked from "./PgStockLocked.ts";
import * as PgStockReads from "./PgStockReads.ts";
import { statements } from "./PgStockSql.ts";
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

  return {
    execute: Effect.fnUntraced(function* (commands) {
      yield* PgStockLocked.outside(client);
      return yield* submit(commands);
    }),
    ...PgStockReads.make(client, sql),
  };
});

export const layer: Layer.Layer<StockReservation, never, PgClient> = Layer.effect(StockReservation, make).pipe(
  Layer.provide(PgUnitOfWork.layer),
);
