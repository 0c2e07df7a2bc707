/**
 * The statements of `PgStock`. A batch is two or three reads, which lock what they find in key order, and one write.
 *
 * Each takes and gives JSON: numbers stay numbers with every driver, and a batch of any size is one value.
 */
import { Limits } from "@org/saga-core";
import * as PgText from "./PgText.ts";
import { millis, moment } from "./PgTime.ts";

/** A moment that JSON carries in milliseconds. */
const at = (column: string): string => moment(`row."${column}"`);

/** A key that is absent where the column is null. */
const unlessNull = (column: string): string => `case when ${column} is null then '{}' else jsonb_build_object('${column}', ${column}) end`;

/** A hold as JSON. `lines`: what to read them by. */
const holdBy = (
  lines: string,
): string => `jsonb_build_object('orderId', order_id, 'status', status, 'lines', ${lines}, 'until', ${millis("until")}, 'reason', reason,
  'reservedAt', ${millis("reserved_at")}, 'at', ${millis("changed_at")}) || ${unlessNull("asked")}`;

const HOLD = holdBy("lines");

/**
 * `json` may hold what `jsonb` cannot: NUL, and numbers without bounds. Lines as they should be have neither; whatever has them, or
 * looks like it, is none.
 */
export const IS_JSONB = `(lines::text ~ '^[][{}",:[:space:]A-Za-z0-9._-]*$' and lines::text !~ '[:,[][[:space:]]*-?([0-9.]+[eE]|[0-9.]{20})')`;

/** Of holds that somebody may have damaged: lines that are none are null. */
export const HOLD_READABLE = holdBy(`case when ${IS_JSONB} then lines end`);

/** Of `Sku`, `Warehouse`, `OrderId` and `CustomerId`. Lengths are looked at apart: in a pattern they take ten times as long. */
export const NAME = Limits.IDENTIFIER_PATTERN.source;

export const BOOKS = `jsonb_build_object('sku', sku, 'onHand', on_hand, 'held', held, 'committed', committed, 'shortage', shortage,
  'at', ${millis("changed_at")}) || ${unlessNull("elsewhere")}`;

const BOOKS_ROW = `row(sku text, "onHand" bigint, held bigint, committed bigint, shortage bigint, at float8, elsewhere jsonb)`;

export const statements = (tables: string) => ({
  /**
   * A batch of reserves in one statement: it grants all of them, or fails and changes nothing. Measured against locking, reading,
   * deciding and writing: docs/decisions/0005-stock-engines.md.
   *
   * Given: SKUs in key order with their summed units; then ids, lines and times of the orders. Changes, and so locks, the books in
   * that order: with `enable_seqscan` off, as every connection has it, each plan goes by the list or by the index. So no two batches
   * wait for each other (if they did, one of them would be decided under locks instead). It fails with 23514 if a SKU falls short, with 23505 if an order was seen before, and with 23502 (a hold
   * without a date) if a SKU is not known. Everything is dated by the clock under the locks, never before the last change of the
   * books.
   */
  reserve: `
with taken as (
  update ${tables}stock_skus as s
  set held = s.held + asked.units, changed_at = greatest(s.changed_at, date_trunc('milliseconds', clock_timestamp()))
  from unnest($1::text[], $2::bigint[]) as asked(sku, units)
  where s.sku = asked.sku
  returning s.changed_at
),
dated as (select max(changed_at) as at from taken having count(*) = cardinality($1::text[])),
held as (
  insert into ${tables}stock_holds (order_id, status, lines, until, reserved_at, changed_at)
  select asked.id, 'held', asked.lines::json, now.at + asked.ttl * interval '1 millisecond', now.at, now.at
  from unnest($3::text[], ${PgText.arrayOf("$4")}, $5::integer[]) as asked(id, lines, ttl),
    (select (select at from dated) as at offset 0) as now
)
select ${millis("at")} as at from dated`,

  /** Locks the holds of some orders. An order never seen has no row: its insert is guarded by the primary key. */
  lockHolds: `
select coalesce(jsonb_agg(hold), '[]') as value from (
  select ${HOLD} as hold from ${tables}stock_holds where order_id = any($1::text[]) order by order_id for update
) as locked`,

  /**
   * Locks the live holds with a line of one of these SKUs. Only when goods were counted out, so it may look at all that live; whose
   * lines are none is passed over.
   */
  lockLiveHolds: `
select coalesce(jsonb_agg(hold), '[]') as value from (
  select ${HOLD_READABLE} as hold from ${tables}stock_holds
  where status = 'held' and exists (
    select from json_array_elements(case when ${IS_JSONB} and json_typeof(lines) = 'array' then lines else '[]' end) as line
    where line ->> 'sku' = any($1::text[]))
  order by order_id for update
) as locked`,

  /** The adjustments among these ids that were carried out. They never change: nothing to lock. */
  readAdjustments: `
select coalesce(jsonb_agg(jsonb_build_object('id', id, 'sku', sku, 'delta', delta, 'onHand', on_hand, 'shortage', shortage,
  'at', ${millis("adjusted_at")}) || ${unlessNull("kind")} || ${unlessNull("warehouse")} || ${unlessNull("revoked")}), '[]') as value
from ${tables}stock_adjustments where id = any($1::text[])`,

  /** Locks the books of some SKUs. */
  lockSkus: `
select coalesce(jsonb_agg(books), '[]') as value from (
  select ${BOOKS} as books from ${tables}stock_skus where sku = any($1::text[]) order by sku for update
) as locked`,

  /** What some buyers have of some SKUs. Read under the locks of the SKUs' books: nothing of it changes meanwhile. */
  readBuyers: `
select coalesce(jsonb_agg(jsonb_build_object('sku', sku, 'buyer', buyer, 'units', units)), '[]') as value
from ${tables}stock_buyers join unnest($1::text[], $2::text[]) as asked(sku, buyer) using (sku, buyer)`,

  /** Asked for after the locks, so that decisions are dated in their order. Whole milliseconds that have passed. */
  clock: `select to_jsonb(array[floor(extract(epoch from clock_timestamp()) * 1000)]) as value`,

  /**
   * Everything of a batch. What was not there is inserted: if someone else was faster, the batch loses the race (23505 on a
   * primary key) and is decided again.
   */
  write: `
with input as (select $1::jsonb as value),
new_adjustments as (
  insert into ${tables}stock_adjustments (id, sku, delta, on_hand, shortage, adjusted_at, kind, warehouse, revoked)
  select row.id, row.sku, row.delta, row."onHand", row.shortage, ${at("at")}, row.kind, row.warehouse, row.revoked
  from input, jsonb_to_recordset(value -> 'adjustments')
    as row(id text, sku text, delta bigint, "onHand" bigint, shortage bigint, at float8, kind text, warehouse text, revoked jsonb)
),
buyers as (
  insert into ${tables}stock_buyers (sku, buyer, units)
  select row.sku, row.buyer, row.units from input, jsonb_to_recordset(value -> 'buyers') as row(sku text, buyer text, units bigint)
  on conflict (sku, buyer) do update set units = excluded.units
),
new_holds as (
  insert into ${tables}stock_holds (order_id, status, lines, until, reason, reserved_at, changed_at, asked)
  select row."orderId", row.status, row.lines, ${at("until")}, row.reason, ${at("reservedAt")}, ${at("at")}, row.asked
  from input, jsonb_to_recordset(value -> 'newHolds')
    as row("orderId" text, status text, lines json, until float8, reason text, "reservedAt" float8, at float8, asked jsonb)
),
old_holds as (
  update ${tables}stock_holds set status = row.status, until = ${at("until")}, reason = row.reason, changed_at = ${at("at")}
  from input, jsonb_to_recordset(value -> 'oldHolds') as row("orderId" text, status text, until float8, reason text, at float8)
  where order_id = any(array(select hold ->> 'orderId' from jsonb_array_elements($1::jsonb -> 'oldHolds') as hold))
    and ${PgText.equal("order_id", 'row."orderId"')}
),
new_skus as (
  insert into ${tables}stock_skus (sku, on_hand, held, committed, shortage, changed_at, elsewhere)
  select row.sku, row."onHand", row.held, row.committed, row.shortage, ${at("at")}, row.elsewhere
  from input, jsonb_to_recordset(value -> 'newSkus') as ${BOOKS_ROW}
)
update ${tables}stock_skus as s
set on_hand = row."onHand", held = row.held, committed = row.committed, shortage = row.shortage, changed_at = ${at("at")},
  elsewhere = row.elsewhere
from input, jsonb_to_recordset(value -> 'oldSkus') as ${BOOKS_ROW}
where s.sku = any(array(select books ->> 'sku' from jsonb_array_elements($1::jsonb -> 'oldSkus') as books))
  and ${PgText.equal("s.sku", "row.sku")}`,

  balances: `
select coalesce(jsonb_agg(${BOOKS} order by sku), '[]') as value from ${tables}stock_skus where sku = any($1::text[])`,

  allBalances: `select coalesce(jsonb_agg(${BOOKS} order by sku), '[]') as value from ${tables}stock_skus`,

  /** Served by the partial index of what is held, by its end. */
  expired: `
select coalesce(jsonb_agg(order_id), '[]') as value from (
  select order_id from ${tables}stock_holds where status = 'held' and until <= now() order by until, order_id limit $1
) as due`,
});
