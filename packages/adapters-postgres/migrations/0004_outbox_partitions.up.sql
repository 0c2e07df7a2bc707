-- The outbox becomes a ring of partitions, so that what is past its retention is dropped as a whole (docs/decisions/0007-outbox.md).
--
-- A row belongs to the partition of its half day: slot = half days since 1970, modulo 8. A partition is emptied by TRUNCATE when
-- its half day is past the retention, before the ring comes around to it: nothing has to be created in advance. The slot is a
-- default, so whoever inserts need not know of it.
--
-- Rows are carried over in seq order and get new numbers: seq is an order, not a name.

lock table :"schema".outbox in access exclusive mode;
create table :"schema".outbox_carried as select * from :"schema".outbox;
drop table :"schema".outbox;

-- The columns id, aggregatetype, aggregateid, type and payload are those of Debezium's outbox event router.
create table :"schema".outbox (
  seq            bigserial,
  slot           smallint     not null default (floor(extract(epoch from now()) / 43200)::bigint % 8),
  id             uuid         not null,
  shard          smallint     not null,
  aggregatetype  varchar(255) not null,
  aggregateid    varchar(255) not null,
  type           varchar(255) not null,
  topic          varchar(255) not null,
  payload        jsonb        not null,
  headers        jsonb        not null default '{}',
  occurred_at    timestamptz  not null,
  correlation_id text         not null,
  causation_id   text,
  step_key       text,
  saga           text,
  traceparent    text,
  tracestate     text,
  created_at     timestamptz  not null default now(),
  sent_at        timestamptz,
  parked_at      timestamptz,
  parked_as      text
    constraint outbox_parked_as_check check (parked_as in ('blocking', 'aside', 'held', 'discarded')),
  constraint outbox_parked_check check (parked_as is null or parked_at is not null)
) partition by list (slot);
comment on column :"schema".outbox.seq is 'Publishing order within a shard. Assigned after the lock of the key.';
comment on column :"schema".outbox.slot is 'Partition of the half day in which the row was appended.';
comment on column :"schema".outbox.parked_at is 'Not to be published before a person has decided.';
comment on column :"schema".outbox.parked_as is
  'blocking: refused by the broker for good, its topic and key wait behind it. aside, or null: refused, they go on. held: behind a blocking one.';

create index outbox_pending_idx on :"schema".outbox (shard, seq) where sent_at is null and parked_at is null;
create index outbox_refused_idx on :"schema".outbox (shard, topic, aggregateid, seq) 
  where parked_at is not null and parked_as is distinct from 'held';
create index outbox_held_idx on :"schema".outbox (shard, topic, aggregateid, seq) where parked_as = 'held';

-- No primary key: nothing looks a row up by it, and it was more than half of what marking a row as sent costs (measured).
create table :"schema".outbox_0 partition of :"schema".outbox for values in (0) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
create table :"schema".outbox_1 partition of :"schema".outbox for values in (1) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
create table :"schema".outbox_2 partition of :"schema".outbox for values in (2) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
create table :"schema".outbox_3 partition of :"schema".outbox for values in (3) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
create table :"schema".outbox_4 partition of :"schema".outbox for values in (4) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
create table :"schema".outbox_5 partition of :"schema".outbox for values in (5) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
create table :"schema".outbox_6 partition of :"schema".outbox for values in (6) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
create table :"schema".outbox_7 partition of :"schema".outbox for values in (7) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
-- Without one, rows of a table in a publication of updates (the default) could not be marked.
alter table :"schema".outbox replica identity full;
alter table :"schema".outbox_0 replica identity full;
alter table :"schema".outbox_1 replica identity full;
alter table :"schema".outbox_2 replica identity full;
alter table :"schema".outbox_3 replica identity full;
alter table :"schema".outbox_4 replica identity full;
alter table :"schema".outbox_5 replica identity full;
alter table :"schema".outbox_6 replica identity full;
alter table :"schema".outbox_7 replica identity full;

-- Processes of version 0.1 sweep by ctid, which does not tell the rows of two partitions apart: what was not published stays.
create function :"schema".outbox_keep() returns trigger language plpgsql as $$
begin
  raise exception 'a message that was not published cannot be deleted: discard a parked one with "saga outbox discard"'
    using errcode = 'restrict_violation';
end $$;
create trigger outbox_keep before delete on :"schema".outbox for each row
  when (old.sent_at is null and old.parked_as is distinct from 'discarded') execute function :"schema".outbox_keep();

-- What was refused so far did not hold up its key.
insert into :"schema".outbox (slot, id, shard, aggregatetype, aggregateid, type, topic, payload, headers, occurred_at, correlation_id, causation_id, step_key, saga,
  traceparent, tracestate, created_at, sent_at, parked_at, parked_as)
select floor(extract(epoch from created_at) / 43200)::bigint % 8, id, shard, aggregatetype, aggregateid, type, topic, payload, headers, occurred_at, correlation_id, causation_id, step_key, saga,
  traceparent, tracestate, created_at, sent_at, parked_at,
  case when parked_at is not null then 'aside' end
from :"schema".outbox_carried order by seq;
drop table :"schema".outbox_carried;
