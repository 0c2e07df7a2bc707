/**
 * `StockAudit` on PostgreSQL: one statement is one moment. A correction holds the SKU's books, which every change of a hold of
 * these goods has to have, and keeps a new generation from beginning meanwhile.
 */
import { Limits, Sku, StockAudit, StockDrift, StockLedger, type StoreError, UnitOfWork, Warehouse } from "@org/saga-core";
import { Effect, Layer, Schema } from "effect";
import { PgClient } from "./PgClient.ts";
import type { PgValue } from "./PgDriver.ts";
import * as PgStockLocked from "./PgStockLocked.ts";
import { BOOKS, HOLD_READABLE, IS_JSONB, NAME, statements } from "./PgStockSql.ts";
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
      const operation = "StockAudit.holds";
      const { rows } = yield* client.query<PgStockLocked.Row>(operation, sql.holds, [also]);
      const { holds, unreadable } = yield* PgStockLocked.readable(operation, rows);
      return { holds: new Map(holds.map((hold) => [hold.orderId, hold])), unreadable };
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
          if (typeof writes === "string") return writes;
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
  unreadable: Schema.Array(Schema.Struct({ orderId: Schema.String, status: StockLedger.HoldStatus })),
});

/** A line that is none. Types first: what cannot be compared is neither true nor false. */
const DAMAGED = `? (!(@.type() == "object" && @.sku.type() == "string" && @.sku like_regex "${NAME}" && @.quantity.type() == "number"
  && @.quantity >= 1 && @.quantity <= ${Limits.QUANTITY_MAX} && @.quantity % 1 == 0
  && (!exists(@.warehouse) || (@.warehouse.type() == "string" && @.warehouse like_regex "${NAME}"))))`;

/** A name that is too long. */
const isLong = (key: string): string => `coalesce(length(line ->> '${key}'), 0) > ${Limits.SHORT_NAME_MAX}`;

/** Wishes as they should be. */
const ASKED = `$ ? (@.type() == "object" && @.lines.type() == "array" && !exists(@.lines[*] ${DAMAGED})
  && (@.policy == "all" || @.policy == "partial") && (@.split == "never" || @.split == "allowed")
  && (@.warehouses == null || (@.warehouses.type() == "array"
    && !exists(@.warehouses[*] ? (!(@.type() == "string" && @ like_regex "${NAME}")))))
  && (@.limit == null || (@.limit.type() == "object" && @.limit.buyer.type() == "string" && @.limit.buyer like_regex "${NAME}"
    && @.limit.perSku >= 1 && @.limit.perSku <= ${Limits.QUANTITY_MAX} && @.limit.perSku % 1 == 0)))`;

/** What `StockLedger.Hold` reads: no error here, and none there. Most of what it costs is for the names. */
const IS_SOUND = `case when ${IS_JSONB} then
    json_typeof(lines) = 'array' and not jsonb_path_exists(lines::jsonb, '$[*] ${DAMAGED}')
    and not jsonb_path_exists(lines::jsonb, 'strict $[*] ? (@.type() == "array")')
    and (asked is null or (jsonb_path_exists(asked, '${ASKED}') and coalesce(length(asked #>> '{limit,buyer}'), 0) <= ${Limits.IDENTIFIER_MAX}))
    and order_id ~ '${NAME}' and length(order_id) <= ${Limits.IDENTIFIER_MAX}
    and isfinite(until) and isfinite(reserved_at) and isfinite(changed_at)
  else false end`;

const auditStatements = (tables: string) => ({
  /** Waits for nobody but a change of who serves, and keeps that waiting. */
  stay: `select 1 from ${tables}stock_shards for share`,

  /** One pass over all holds and all adjustments. A hold that cannot be read is one line, null. */
  take: `
with lines as (
  select line ->> 'sku' as sku, coalesce(line ->> 'warehouse', 'main') as warehouse, (line -> 'quantity')::bigint as quantity,
    status, asked #>> '{limit,buyer}' as buyer,
    case when line = 'null' or ${isLong("sku")} or ${isLong("warehouse")} then order_id end as damaged
  from ${tables}stock_holds, jsonb_array_elements(case
    when not (${IS_SOUND}) then '[null]'
    when status in ('held', 'committed', 'shipped') then lines::jsonb
    else '[]' end) as line
  where $1::text is null or line = 'null' or line ->> 'sku' = $1
),
tallies as (
  select sku, warehouse, sum(adjusted) as adjusted, sum(shipped) as shipped, sum(held) as held, sum(committed) as committed
  from (
    select sku, warehouse, 0 as adjusted, sum(quantity) filter (where status = 'shipped') as shipped,
      sum(quantity) filter (where status = 'held') as held, sum(quantity) filter (where status = 'committed') as committed
    from lines where damaged is null group by sku, warehouse
    union all
    select sku, coalesce(warehouse, 'main'), sum(delta), 0, 0, 0 from ${tables}stock_adjustments
    where $1::text is null or sku = $1 group by 1, 2
  ) as parts group by sku, warehouse
),
buyers as (select sku, buyer, sum(quantity) as units from lines where buyer is not null and damaged is null group by sku, buyer)
select jsonb_build_object(
  'skus', (select coalesce(jsonb_agg(${BOOKS}), '[]') from ${tables}stock_skus where $1::text is null or sku = $1),
  'tallies', (select coalesce(jsonb_agg(jsonb_build_object('sku', sku, 'warehouse', warehouse, 'adjusted', coalesce(adjusted, 0),
    'shipped', coalesce(shipped, 0), 'held', coalesce(held, 0), 'committed', coalesce(committed, 0))), '[]') from tallies),
  'buyers', (select coalesce(jsonb_agg(jsonb_build_object('sku', sku, 'buyer', buyer, 'units', units)), '[]')
    from ${tables}stock_buyers where $1::text is null or sku = $1),
  'buyerTallies', (select coalesce(jsonb_agg(jsonb_build_object('sku', sku, 'buyer', buyer, 'units', units)), '[]') from buyers),
  'unreadable', (select coalesce(jsonb_agg(jsonb_build_object('orderId', damaged, 'status', status) order by damaged), '[]')
    from lines where damaged is not null)
) as value`,

  holds: `
select coalesce(jsonb_agg(${HOLD_READABLE}), '[]') as value from ${tables}stock_holds
where status = 'held' or status = 'committed' or order_id = any($1::text[])`,
});
