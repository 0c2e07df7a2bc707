lock table :"schema".outbox in access exclusive mode;
create table :"schema".outbox_carried as select * from :"schema".outbox;
drop table :"schema".outbox;
drop function :"schema".outbox_keep();

create table :"schema".outbox (
  seq            bigint generated always as identity primary key,
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
  parked_at      timestamptz
);
comment on column :"schema".outbox.seq is 'Publishing order within a shard. Assigned after the lock of the key.';
comment on column :"schema".outbox.parked_at is 'Refused by the broker for good; waits for a person.';

create index outbox_pending_idx on :"schema".outbox (shard, seq) where sent_at is null and parked_at is null;
create index outbox_parked_idx on :"schema".outbox (seq) where parked_at is not null;

-- What was held behind a refused message is pending again: there is nothing to hold it any more. What was discarded would wait for a
-- person again: it is left out.
insert into :"schema".outbox (id, shard, aggregatetype, aggregateid, type, topic, payload, headers, occurred_at, correlation_id, causation_id, step_key, saga,
  traceparent, tracestate, created_at, sent_at, parked_at)
select id, shard, aggregatetype, aggregateid, type, topic, payload, headers, occurred_at, correlation_id, causation_id, step_key, saga,
  traceparent, tracestate, created_at, sent_at,
  case when parked_as is distinct from 'held' then parked_at end
from :"schema".outbox_carried where parked_as is distinct from 'discarded' order by seq;
drop table :"schema".outbox_carried;
