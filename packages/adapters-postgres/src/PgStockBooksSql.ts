/** The statements of `PgStockBooks`. */
import { HOLD_READABLE } from "./PgStockSql.ts";

const SERVING = `generation::float8 as generation, run_id as "runId", master_replid as "replicationId"`;

/**
 * Row locks are not fair: shared ones that overlap for ever would keep whoever changes the row away. This lock is: who waits for
 * it comes before those that ask later.
 */
const gate = (tables: string): string => `hashtextextended('${tables.replaceAll("'", "''")}stock_shards', 0)`;

export const booksStatements = (tables: string) => ({
  serving: `select ${SERVING} from ${tables}stock_shards where shard = $1`,

  /** The ledger serves first. */
  first: `insert into ${tables}stock_shards (shard, generation, engine) values ($1, 1, 'ledger') on conflict (shard) do nothing`,

  /** Held until the commit: no other generation begins meanwhile. The gate first; `for share` then reads the row as it is. */
  hold: `
select ${SERVING} from ${tables}stock_shards
where shard = $1 and generation = $2 and pg_advisory_xact_lock_shared(${gate(tables)})::text is not null for share`,

  /** Waits for all writes of this generation. */
  stop: `select pg_advisory_xact_lock(${gate(tables)})`,

  /** And ends it. */
  change: `
update ${tables}stock_shards
set generation = greatest(generation + 1, floor(extract(epoch from clock_timestamp()) * 1000)::bigint),
  engine = case when $3::text is null then 'ledger' else 'log' end, run_id = $3, master_replid = $4, changed_at = clock_timestamp()
where shard = $1 and generation = $2
returning ${SERVING}`,

  endNotes: `delete from ${tables}stock_notes where shard = $1 and generation < $2`,

  note: `insert into ${tables}stock_notes (shard, generation, commands) values ($1, $2, $3::jsonb) returning id::text as id`,

  untold: `
select coalesce(jsonb_agg(note), '[]') as value from (
  select jsonb_build_object('id', id::text, 'commands', commands) as note from ${tables}stock_notes
  where shard = $1 and generation = $2 and noted_at <= clock_timestamp() - $3 * interval '1 millisecond'
  order by noted_at, id limit $4
) as notes`,

  forget: `delete from ${tables}stock_notes where id = any($1::bigint[])`,

  openHolds: `select coalesce(jsonb_agg(${HOLD_READABLE}), '[]') as value from ${tables}stock_holds where status = 'held' or status = 'committed'`,

  endedHolds: `
select coalesce(jsonb_agg(hold), '[]') as value from (
  select ${HOLD_READABLE} as hold from ${tables}stock_holds where status in ('lapsed', 'released', 'shipped') order by changed_at desc limit $1
) as ended`,

  allBuyers: `
select coalesce(jsonb_agg(jsonb_build_object('sku', sku, 'buyer', buyer, 'units', units)), '[]') as value
from ${tables}stock_buyers where units > 0`,
});
