/**
 * The statements of `PgInboxQueue`. A lane is a key's hash: what is `held` in a lane always has a `failed` one before it.
 */
import { INBOX_SHARDS } from "@org/saga-core";
import * as PgClaim from "./PgClaim.ts";
import * as PgText from "./PgText.ts";
import * as PgTime from "./PgTime.ts";

const COLUMNS = "message_id, lane, topic, partition_no, offset_no::float8 as offset_no, problem, attempts, record";
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
    behind: `
select q.* from unnest($3::int[]) as l(lane) cross join lateral (
  select ${COLUMNS} from (
    select *, ${PgClaim.before("record", queuePosition("h"))} from ${queue} h
    where h.consumer = $1 and h.shard = $2 and h.lane = l.lane and h.state = 'held' order by ${queuePosition("h")} limit $4::int
  ) h where ${PgClaim.WITHIN}
) q`,
    // Each message of a stuck lane is met here once, and then held; so what is held costs nothing.
    fresh: `
with first as materialized (
  select ${COLUMNS} from (
    select *, ${PgClaim.before("record", queuePosition("f"))} from ${queue} f where consumer = $1 and shard = $2 and state = 'ready'
    order by ${queuePosition("f")} limit $3::int
  ) f where ${PgClaim.WITHIN}
), held as (
  update ${queue} q set state = 'held' from first
  where $4::bool and q.consumer = $1 and q.message_id = any(array(select message_id from first)) and ${PgText.equal("q.message_id", "first.message_id")} and exists (
    select from ${queue} b where b.consumer = $1 and b.shard = $2 and b.lane = first.lane and b.state = 'failed')
  returning q.message_id
)
select first.*, held.message_id is not null as held from first left join held using (message_id) order by ${POSITION}`,
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
