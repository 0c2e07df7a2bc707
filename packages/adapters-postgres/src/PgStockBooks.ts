/**
 * `StockBooks` on PostgreSQL: the ledger behind a fast log (`HybridStock`), and the row that says who serves.
 *
 * Every write holds that row from before it reads until its commit, and `change` takes it for itself: so what a new log begins
 * with is what all writes of the generation before have left. Generations follow the server's clock in
 * milliseconds, so that one that was taken back with a restored backup is never given again.
 *
 * Processes that use `PgStock` on the same schema do not ask who serves: use one of the two.
 */
import {
  type BooksVerdict,
  ENDED_INHERITED_MAX,
  StockBooks,
  StockJournal,
  StockLedger,
  type StockNote,
  type StockServing,
  type StoreError,
  type Transaction,
  UnitOfWork,
} from "@org/saga-core";
import { Effect, Layer, Schema } from "effect";
import { PgClient } from "./PgClient.ts";
import { booksStatements } from "./PgStockBooksSql.ts";
import * as PgStockLocked from "./PgStockLocked.ts";
import * as PgStockReads from "./PgStockReads.ts";
import { statements } from "./PgStockSql.ts";
import * as PgUnitOfWork from "./PgUnitOfWork.ts";

/** The books of one shard have all SKUs. */
const SHARD = 0;

export const make: Effect.Effect<StockBooks["Service"], never, PgClient | UnitOfWork> = Effect.gen(function* () {
  const client = yield* PgClient;
  const unitOfWork = yield* UnitOfWork;
  const ledger = { client, sql: statements(client.tables), last: 0 };
  const desk: Desk = { client, sql: booksStatements(client.tables), ledger };
  return {
    ...PgStockReads.make(client, ledger.sql),
    outside: PgStockLocked.outside(client),
    serving: Effect.gen(function* () {
      const operation = "StockBooks.serving";
      const [known] = (yield* client.query<ServingRow>(operation, desk.sql.serving, [SHARD])).rows;
      if (known !== undefined) return servingOf(known);
      yield* client.query(operation, desk.sql.first, [SHARD]);
      const [first] = (yield* client.query<ServingRow>(operation, desk.sql.serving, [SHARD])).rows;
      return first === undefined ? yield* Effect.die(new Error("the row of who serves was removed")) : servingOf(first);
    }),
    change: Effect.fn("StockBooks.change")((generation, server) =>
      unitOfWork.commit(
        Effect.gen(function* () {
          const operation = "StockBooks.change";
          yield* client.within(operation, desk.sql.stop);
          const values = [SHARD, generation, server?.runId ?? null, server?.replicationId ?? null];
          const [won] = (yield* client.within<ServingRow>(operation, desk.sql.change, values)).rows;
          if (won === undefined) return null;
          yield* client.within(operation, desk.sql.endNotes, [SHARD, won.generation]);
          return { serving: servingOf(won), view: yield* inheritance(desk, operation) };
        }),
      ),
    ),
    execute: Effect.fn("StockBooks.execute")((generation, work) => unitOfWork.commit(execute(desk, generation, work))),
    untold: Effect.fn("StockBooks.untold")(function* (generation, millis, max) {
      const operation = "StockBooks.untold";
      const { rows } = yield* client.query<PgStockLocked.Row>(operation, desk.sql.untold, [SHARD, generation, millis, max]);
      return yield* PgStockLocked.decoded(operation, Notes, rows);
    }),
    forget: Effect.fn("StockBooks.forget")((ids) =>
      ids.length === 0 ? Effect.void : Effect.asVoid(client.query("StockBooks.forget", desk.sql.forget, [ids])),
    ),
  };
});

export const layer: Layer.Layer<StockBooks, never, PgClient> = Layer.effect(StockBooks, make).pipe(Layer.provide(PgUnitOfWork.layer));

interface Desk {
  readonly client: PgClient["Service"];
  readonly sql: ReturnType<typeof booksStatements>;
  readonly ledger: PgStockLocked.Ledger;
}

interface ServingRow {
  readonly generation: number;
  readonly runId: string | null;
  readonly replicationId: string | null;
}

const servingOf = ({ generation, runId, replicationId }: ServingRow): StockServing => ({
  generation,
  server: runId === null || replicationId === null ? null : { runId, replicationId },
});

const Notes = Schema.Array(Schema.Struct({ id: Schema.String, commands: Schema.Array(StockJournal.Told) }));
const AllBuyers = Schema.Array(StockLedger.BuyerUnits);

/** One batch, inside its transaction. */
const execute = Effect.fnUntraced(function* (
  { client, sql, ledger }: Desk,
  generation: number,
  work: StockJournal.Work,
): Effect.fn.Return<BooksVerdict, StoreError, Transaction> {
  const operation = "StockBooks.execute";
  const [serves] = (yield* client.within<ServingRow>(operation, sql.hold, [SHARD, generation])).rows;
  if (serves === undefined) return { _tag: "Ended" };
  const { answers, keepings, isTellable, tell } = yield* PgStockLocked.transact(
    ledger,
    StockJournal.touching(work),
    work.commands,
    (view, now) => StockJournal.decide(view, work, now),
  );
  const isSilent = serves.runId === null || (isTellable && tell.length === 0);
  const note = isSilent ? null : yield* noted({ client, sql, ledger }, generation, tell);
  return { _tag: "Decided", answers, keepings, isTellable, note };
});

const noted = Effect.fnUntraced(function* (
  { client, sql }: Desk,
  generation: number,
  commands: ReadonlyArray<StockJournal.Told>,
): Effect.fn.Return<StockNote | null, StoreError, Transaction> {
  const values = [SHARD, generation, JSON.stringify(commands)];
  const [row] = (yield* client.within<{ readonly id: string }>("StockBooks.execute", sql.note, values)).rows;
  return row === undefined ? null : { id: row.id, commands };
});

const inheritance = Effect.fnUntraced(function* (
  { client, sql, ledger }: Desk,
  operation: string,
): Effect.fn.Return<StockLedger.StockView, StoreError, Transaction> {
  const read = <A, E>(codec: Schema.Codec<A, E>, text: string, values: ReadonlyArray<number> = []) =>
    Effect.flatMap(client.within<PgStockLocked.Row>(operation, text, values), ({ rows }) => PgStockLocked.decoded(operation, codec, rows));
  const readable = Effect.fnUntraced(function* (text: string, values: ReadonlyArray<number> = []) {
    const { rows } = yield* client.within<PgStockLocked.Row>(operation, text, values);
    const found = yield* PgStockLocked.readable(operation, rows);
    if (found.unreadable.length > 0)
      yield* Effect.logError(`${found.unreadable.length} holds cannot be read, and the new log is without them: reconcile the stock`);
    return found.holds;
  });
  const skus = yield* read(PgStockLocked.AllBooks, ledger.sql.allBalances);
  const holds = yield* readable(sql.openHolds);
  const ended = yield* readable(sql.endedHolds, [ENDED_INHERITED_MAX]);
  const buyers = yield* read(AllBuyers, sql.allBuyers);
  return StockLedger.view(skus, [...holds, ...ended], [], buyers);
});
