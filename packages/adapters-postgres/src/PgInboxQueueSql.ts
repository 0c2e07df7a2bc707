/**
 * The statements of `PgInboxQueue`. A lane is a key's hash: what is `held` in a lane always has a `failed` one before it.
 */
import { INBOX_SHARDS } from "@org/saga-core";
import * as PgClaim from "./PgClaim.ts";
import * as PgText from "./PgText.ts";
import * as PgTime from "./PgTime.ts";

const COLUMNS = "message_id, lane, key, topic, partition_no, offset_no::float8 as offset_no, problem, attempts, record";
const POSITION = "topic, partition_no, offset_no";

export const statements = (tables: string) => {
  const queue = `${tables}inbox_queue`;
  const DUE = "state = 'failed' and next_at <= (select clock_timestamp())";
  return {
    // Shared: the batches of one puller do not wait for each other, a newer puller's first one waits for all of them.
    fence: `select fence::float8 as fence from ${tables}inbox_pullers where consumer = $1 and fence >= $2::bigint for share`,
    advance: `
insert into ${tables}inbox_pullers as p (consumer, fence) values ($1, $2::bigint)
on conflict (consumer) do update set fence = excluded.fence where p.fence <= excluded.fence`,
    store: `
insert into ${queue} (consumer, message_id, shard, lane, topic, partition_no, offset_no, type, key, problem, record)
select $1, message_id, shard, lane, topic, partition_no, offset_no, type, key, problem, record::json
from unnest($2::text[], $3::int[], $4::int[], $5::text[], $6::int[], $7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[])
  with ordinality as m(message_id, shard, lane, topic, partition_no, offset_no, type, key, problem, record, ordinal)
order by ordinal on conflict (consumer, message_id) do nothing`,
    // Two probes a shard.
    pendingShards: `
select shard from generate_series(0, ${INBOX_SHARDS - 1}) as s(shard)
where exists (select from ${queue} q where q.consumer = $1 and q.shard = s.shard and state = 'ready')
  or exists (select from ${queue} q where q.consumer = $1 and q.shard = s.shard and ${DUE}) order by shard`,
    own: "select pg_try_advisory_xact_lock($1::int, $2::int) as owned",
    due: `
select ${COLUMNS} from (
  select *, ${PgClaim.before("record", "next_at")} from ${queue} where consumer = $1 and shard = $2 and ${DUE} order by next_at limit $3::int
) d where ${PgClaim.WITHIN}`,
    // Of the keys of what is due alone: another key of their lane may have a failed one before it that is not due. The size is that of all together.
    behind: `
select ${COLUMNS} from (
  select q.*, ${PgClaim.before("q.record", `q.lane, q.key, ${queuePosition("q")}`)}
  from (select distinct lane, key from unnest($3::int[], $4::text[]) as d(lane, key)) l cross join lateral (
    select * from ${queue} h where h.consumer = $1 and h.shard = $2 and h.lane = l.lane and h.key = l.key and h.state = 'held'
    order by ${queuePosition("h")} limit $5::int
  ) q
) h where ${PgClaim.WITHIN}`,
    // Each message of a stuck lane is met here once, and then held; so what is held costs nothing. Nothing is joined: where statistics are late, each row
    // would be compared with each other one, or with all that failed (measured: 1,000 rows in 0.6 s, 500 beside 30,000 that failed in 9 s).
    fresh: `
with first as materialized (
  select ${COLUMNS} from (
    select *, ${PgClaim.before("record", queuePosition("f"))} from ${queue} f where consumer = $1 and shard = $2 and state = 'ready'
    order by ${queuePosition("f")} limit $3::int
  ) f where ${PgClaim.WITHIN}
), held as (
  update ${queue} q set state = 'held'
  where $4::bool and q.consumer = $1 and q.message_id = any(array(
    select first.message_id from first cross join lateral (
      select from ${queue} b where b.consumer = $1 and b.shard = $2 and b.lane = first.lane and b.state = 'failed' limit 1) stuck))
  returning q.message_id
)
select first.*, message_id in (select message_id from held) as held from first order by ${POSITION}`,
    remove: `delete from ${queue} where consumer = $1 and message_id = any($2::text[])`,
    fail: `
update ${queue} q set state = 'failed', attempts = attempts + 1,
  next_at = clock_timestamp() + m.after_millis * interval '1 millisecond'
from unnest($2::text[], $3::float8[]) as m(message_id, after_millis) where q.message_id = any($2::text[]) and q.consumer = $1 and ${PgText.equal("q.message_id", "m.message_id")}`,
    // The first of what is held behind nothing any more is due now, and leads the others.
    promote: `
update ${queue} q set state = 'failed', next_at = clock_timestamp()
from unnest($3::int[]) as l(lane) cross join lateral (
  select h.message_id from ${queue} h where h.consumer = $1 and h.shard = $2 and h.lane = l.lane and h.state = 'held'
  order by ${queuePosition("h")} limit 1
) first
where q.consumer = $1 and q.message_id = first.message_id and not exists (
  select from ${queue} b where b.consumer = $1 and b.shard = $2 and b.lane = l.lane and b.state = 'failed')`,
    backlog: `
select count(*)::float8 as unprocessed, (count(*) filter (where attempts > 0))::float8 as failed,
  ${PgTime.millis("min(stored_at)")} as oldest_at from ${queue} where consumer = $1`,
  };
};

/** The columns, not what a select list calls by the same name. */
const queuePosition = (alias: string): string => `${alias}.topic, ${alias}.partition_no, ${alias}.offset_no`;

export type Statements = ReturnType<typeof statements>;
