/**
 * The statements of the outbox. Its table is a ring of partitions (`PgOutboxRing`); rows are found by partial indexes, one
 * small probe a partition, so that no statement of a relay looks at what was sent, or at what waits behind what it takes.
 */
import { BACKLOG_COUNT_MAX } from "@org/saga-core";
import * as PgClaim from "./PgClaim.ts";
import * as PgText from "./PgText.ts";
import * as PgTime from "./PgTime.ts";

export type Statements = ReturnType<typeof of>;

const PENDING = "sent_at is null and parked_at is null";
/** Without a word: parked by version 0.1, alone. */
const REFUSED = "parked_at is not null and parked_as is distinct from 'held'";
const HELD = "parked_as = 'held'";
/** What has yet to be published or decided: each by a partial index of its own. */
export const NOT_SENT = [PENDING, REFUSED, HELD];
const BLOCKING = `${REFUSED} and parked_as = 'blocking'`;

/** Rows of one partition and shard, by their partial index: there is no other. */
const CHOSEN = `slot = $1 and shard = $2 and seq = any($3::bigint[]) and ${REFUSED}`;

/**
 * The same of pending ones, of which a million may wait beside those that were claimed: from the first to the last of these (`$4` to `$5`) by the index,
 * and each looked up in a hash. A list that the planner thinks short would be compared element by element, with everything that waits in
 * the shard; and a join it may turn around.
 */
const CLAIMED = `slot = $1 and shard = $2 and ${PENDING} and seq between $4 and $5 and (seq in (select unnest($3::bigint[]))) is true`;

const META = `id, type, topic, aggregateid, ${PgTime.millis("occurred_at")} as occurred_at, correlation_id, causation_id, step_key, saga,
  traceparent, tracestate`;

/**
 * For the rest of the transaction, on a connection that has sequential scans off. The right plan is always that of the partial indexes, and statistics are late where rows
 * come and go by the million: without this a claim took 68 ms after a million appends, until they were analysed (measured).
 * As the plan is always the same, it is made once a connection: 0.6 ms a claim in place of 2.
 */
const BY_INDEX = `set_config('enable_bitmapscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)`;

/** `tables`: what stands before each table's name. */
export const of = (tables: string) => ({
  append: `
insert into ${tables}outbox (id, shard, aggregatetype, aggregateid, type, topic, payload, occurred_at, correlation_id, causation_id,
  step_key, saga, traceparent, tracestate)
select id, shard, aggregatetype, aggregateid, type, topic, payload::jsonb, ${PgTime.moment("occurred_at")}, correlation_id, causation_id,
  step_key, saga, traceparent, tracestate
from unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], ${PgText.arrayOf("$7")}, $8::float8[], $9::text[],
  $10::text[], $11::text[], $12::text[], $13::text[], $14::text[]) with ordinality
  as m(id, shard, aggregatetype, aggregateid, type, topic, payload, occurred_at, correlation_id, causation_id, step_key, saga,
  traceparent, tracestate, ordinal)
order by ordinal`,
  /** From shard to shard: as many steps as there are shards with something pending, at rest one. */
  pendingShards: `
with recursive pending as (
  (select shard from ${tables}outbox where ${PENDING} order by shard, seq limit 1)
  union all
  select (select o.shard from ${tables}outbox o where ${PENDING} and o.shard > p.shard order by o.shard, o.seq limit 1)
  from pending p where p.shard is not null)
select shard from pending where shard is not null`,
  /** Ordered, so that it is a probe of the index whatever the statistics say. */
  hasPending: `select exists (select from ${tables}outbox where ${PENDING} order by shard, seq limit 1) as pending`,
  /** A mark that is lost in a crash of the server is a duplicate, as one that was never made; so nobody waits for its disk. */
  own: `select ${BY_INDEX}, set_config('synchronous_commit', 'off', true), pg_try_advisory_xact_lock($1::int, $2::int) as owned`,
  /** Waits for the owner: at most the lock timeout. */
  ownWaiting: `select ${BY_INDEX} from pg_advisory_xact_lock($1::int, $2::int)`,
  /**
   * The oldest of a shard, from all partitions merged; the first one always. The keys that wait behind a refused message are few, and
   * are looked up once.
   */
  claim: `
select o.seq::float8 as seq, slot, ${META}, payload::text as payload,
  (topic, aggregateid) in (select topic, aggregateid from ${tables}outbox where shard = $1 and ${BLOCKING}) as held
from (
  select *, ${PgClaim.before("payload", "seq")}
  from ${tables}outbox where shard = $1 and ${PENDING} order by seq limit $2::int
) o where ${PgClaim.WITHIN} order by o.seq`,
  /** One partition at a time: the others are pruned. By the index that the claim came by. */
  markSent: `update ${tables}outbox set sent_at = clock_timestamp() where ${CLAIMED}`,
  park: `update ${tables}outbox set parked_at = clock_timestamp(), parked_as = $6 where ${CLAIMED}`,
  /** Counts of index entries that end at a bound, and the head of each shard. */
  backlog: `
with recursive heads as (
  (select shard, seq, occurred_at from ${tables}outbox where ${PENDING} order by shard, seq limit 1)
  union all
  select n.shard, n.seq, n.occurred_at from heads h cross join lateral (
    select o.shard, o.seq, o.occurred_at from ${tables}outbox o where ${PENDING} and o.shard > h.shard order by o.shard, o.seq limit 1) n)
select (select count(*) from (select from ${tables}outbox where ${PENDING} limit ${BACKLOG_COUNT_MAX}) p)::float8 as pending,
  (select ${PgTime.millis("occurred_at")} from heads order by seq limit 1) as oldest_at,
  (select count(*) from (select from ${tables}outbox where ${REFUSED} limit ${BACKLOG_COUNT_MAX}) p)::float8 as parked,
  (select count(*) from (select from ${tables}outbox where ${HELD} limit ${BACKLOG_COUNT_MAX}) p)::float8 as held`,
  parked: `
select ${META}, ${PgTime.millis("parked_at")} as parked_at, coalesce(parked_as = 'blocking', false) as blocks,
  case when parked_as = 'blocking' then (select count(*) from (
    select from ${tables}outbox h where h.shard = o.shard and h.topic = o.topic and h.aggregateid = o.aggregateid and h.parked_as = 'held'
    limit ${BACKLOG_COUNT_MAX}) p)::float8 else 0 end as held
from ${tables}outbox o where ${REFUSED} order by seq limit $1::int`,
  shardsOf: `select distinct shard from ${tables}outbox where ${REFUSED} and id::text = any($1::text[]) order by shard`,
  chosen: `
select seq::float8 as seq, slot, ${META} from ${tables}outbox o where shard = $1 and ${REFUSED} and id::text = any($2::text[])
order by o.seq`,
  retry: `update ${tables}outbox set parked_at = null, parked_as = null where ${CHOSEN}`,
  /** In two steps: a row that was not published cannot be deleted otherwise. */
  giveUp: `update ${tables}outbox set parked_as = 'discarded' where ${CHOSEN}`,
  discard: `delete from ${tables}outbox where ${CHOSEN} and parked_as = 'discarded'`,
  /** What no refused message blocks any more. */
  release: `
update ${tables}outbox o set parked_at = null, parked_as = null
from unnest($2::text[], $3::text[]) as m(topic, key)
where o.shard = $1 and o.topic = m.topic and o.aggregateid = m.key and o.parked_as = 'held' and not exists (
  select from ${tables}outbox b where b.shard = $1 and b.topic = o.topic and b.aggregateid = o.aggregateid and ${BLOCKING})`,
});
