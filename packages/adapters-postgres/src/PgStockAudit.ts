/**
 * `StockAudit` on PostgreSQL: one statement is one moment. A correction holds the SKU's books, which every change of a hold of
 * these goods has to have, and keeps a new generation from beginning meanwhile.
 */
import { Sku, StockAudit, StockDrift, StockLedger, type StoreError, UnitOfWork, Warehouse } from "@org/saga-core";
import { Effect, Layer, Schema } from "effect";
import { PgClient } from "./PgClient.ts";
import type { PgValue } from "./PgDriver.ts";
import * as PgStockLocked from "./PgStockLocked.ts";
import { BOOKS, HOLD, statements } from "./PgStockSql.ts";
import * as PgUnitOfWork from "./PgUnitOfWork.ts";

export const make: Effect.Effect<StockAudit["Service"], never, PgClient | UnitOfWork> = Effect.gen(function* () {
  const client = yield* PgClient;
  const unitOfWork = yield* UnitOfWork;
  const sql = auditStatements(client.tables);
  const ledger: PgStockLocked.Ledger = { client, sql: statements(client.tables), last: 0 };

  const read = <A, E>(operation: string, codec: Schema.Codec<A, E>, text: string, values: ReadonlyArray<PgValue>) =>
    Effect.flatMap(client.query<PgStockLocked.Row>(operation, text, values), ({ rows }) => PgStockLocked.decoded(operation, codec, rows));
  /** Null: all SKUs. */
  const take = (operation: string, sku: Sku | null): Effect.Effect<StockDrift.Stocktake, StoreError> =>
    read(operation, Stocktake, sql.take, [sku]);

  return {
    take: Effect.withSpan(take("StockAudit.take", null), "StockAudit.take"),
    holds: Effect.fn("StockAudit.holds")(function* (also) {
      const found = yield* read("StockAudit.holds", PgStockLocked.Holds, sql.holds, [also]);
      return new Map(found.map((hold) => [hold.orderId, hold]));
    }),
    correct: Effect.fn("StockAudit.correct")((sku) =>
      unitOfWork.commit(
        Effect.gen(function* () {
          const operation = "StockAudit.correct";
          yield* client.within(operation, sql.stay);
          yield* client.within(operation, ledger.sql.lockSkus, [[sku]]);
          const found = yield* take(operation, sku);
          const now = yield* PgStockLocked.clock(ledger);
          const writes = StockDrift.correction(found, sku, now);
          if (writes === null) return "Fitting";
          yield* PgStockLocked.write(ledger, StockLedger.view(found.skus, [], [], found.buyers), writes);
          return "Corrected";
        }),
      ),
    ),
  };
});

export const layer: Layer.Layer<StockAudit, never, PgClient> = Layer.effect(StockAudit, make).pipe(Layer.provide(PgUnitOfWork.layer));

const Stocktake = Schema.Struct({
  skus: PgStockLocked.AllBooks,
  tallies: Schema.Array(
    Schema.Struct({
      sku: Sku,
      warehouse: Warehouse,
      adjusted: Schema.Int,
      shipped: Schema.Int,
      held: Schema.Int,
      committed: Schema.Int,
    }),
  ),
  buyers: Schema.Array(StockLedger.BuyerUnits),
  buyerTallies: Schema.Array(StockLedger.BuyerUnits),
});

const auditStatements = (tables: string) => ({
  /** Waits for nobody but a change of who serves, and keeps that waiting. */
  stay: `select 1 from ${tables}stock_shards for share`,

  /** One pass over all holds that count and all adjustments. */
  take: `
with lines as (
  select line ->> 'sku' as sku, coalesce(line ->> 'warehouse', 'main') as warehouse, (line ->> 'quantity')::bigint as quantity,
    status, asked #>> '{limit,buyer}' as buyer
  from ${tables}stock_holds, jsonb_array_elements(lines) as line
  where status in ('held', 'committed', 'shipped') and ($1::text is null or line ->> 'sku' = $1)
),
tallies as (
  select sku, warehouse, sum(adjusted) as adjusted, sum(shipped) as shipped, sum(held) as held, sum(committed) as committed
  from (
    select sku, warehouse, 0 as adjusted, sum(quantity) filter (where status = 'shipped') as shipped,
      sum(quantity) filter (where status = 'held') as held, sum(quantity) filter (where status = 'committed') as committed
    from lines group by sku, warehouse
    union all
    select sku, coalesce(warehouse, 'main'), sum(delta), 0, 0, 0 from ${tables}stock_adjustments
    where $1::text is null or sku = $1 group by 1, 2
  ) as parts group by sku, warehouse
),
buyers as (select sku, buyer, sum(quantity) as units from lines where buyer is not null group by sku, buyer)
select jsonb_build_object(
  'skus', (select coalesce(jsonb_agg(${BOOKS}), '[]') from ${tables}stock_skus where $1::text is null or sku = $1),
  'tallies', (select coalesce(jsonb_agg(jsonb_build_object('sku', sku, 'warehouse', warehouse, 'adjusted', coalesce(adjusted, 0),
    'shipped', coalesce(shipped, 0), 'held', coalesce(held, 0), 'committed', coalesce(committed, 0))), '[]') from tallies),
  'buyers', (select coalesce(jsonb_agg(jsonb_build_object('sku', sku, 'buyer', buyer, 'units', units)), '[]')
    from ${tables}stock_buyers where $1::text is null or sku = $1),
  'buyerTallies', (select coalesce(jsonb_agg(jsonb_build_object('sku', sku, 'buyer', buyer, 'units', units)), '[]') from buyers)
) as value`,

  holds: `
select coalesce(jsonb_agg(${HOLD}), '[]') as value from ${tables}stock_holds
where status = 'held' or status = 'committed' or order_id = any($1::text[])`,
});
