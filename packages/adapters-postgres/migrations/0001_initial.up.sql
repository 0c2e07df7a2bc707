-- Tables of one service. Placeholder: :"schema" is the service's schema, in psql's notation:
--   psql -v schema=order -f 0001_initial.up.sql
--
-- Keys have the collation "C": their order is the same everywhere, and it is the order in which locks are taken.
-- Times are timestamptz, exact to the millisecond.
-- There are no foreign keys: rows of one order are written by one statement of one store, and a check a row would cost more than the write.

create table :"schema".orders (
  id               text collate "C" primary key,
  customer_id      text             not null,
  status           text             not null
    constraint orders_status_check check (status in
      ('created', 'pendingPayment', 'awaitingPayment', 'awaitingFulfillment', 'finished', 'canceled', 'failed', 'refunded')),
  reason           text,
  total_amount     bigint           not null constraint orders_total_amount_check check (total_amount >= 0),
  currency         text             not null,
  payment_method   text             not null,
  cancel_policy    text             not null
    constraint orders_cancel_policy_check check (cancel_policy in ('createdOnly', 'compensating')),
  cancel_requested boolean          not null,
  paid             boolean          not null,
  version          integer          not null,
  created_at       timestamptz      not null,
  updated_at       timestamptz      not null
);
comment on column :"schema".orders.total_amount is 'minor units of currency';

create index orders_customer_idx on :"schema".orders (customer_id, created_at);

create table :"schema".order_lines (
  order_id    text collate "C" not null,
  line_no     integer          not null,
  sku         text             not null,
  name        text             not null,
  quantity    integer          not null constraint order_lines_quantity_check check (quantity > 0),
  unit_amount bigint           not null constraint order_lines_unit_amount_check check (unit_amount >= 0),
  currency    text             not null,
  primary key (order_id, line_no)
);
comment on table :"schema".order_lines is 'What was bought, as it was when the order was placed. Written once.';

create table :"schema".order_history (
  order_id text collate "C" not null,
  entry_no integer          not null,
  status   text             not null,
  at       timestamptz      not null,
  reason   text,
  primary key (order_id, entry_no)
);
comment on table :"schema".order_history is 'Every status that an order entered. Append-only.';

create table :"schema".sagas (
  saga       text collate "C" not null,
  id         text collate "C" not null,
  version    integer          not null,
  status     text             not null,
  revision   integer          not null,
  state      jsonb            not null,
  created_at timestamptz      not null default now(),
  updated_at timestamptz      not null default now(),
  primary key (saga, id)
);
create index sagas_status_idx on :"schema".sagas (saga, status);

create table :"schema".documents (
  kind       text collate "C" not null,
  id         text collate "C" not null,
  revision   integer          not null,
  state      jsonb            not null,
  created_at timestamptz      not null default now(),
  updated_at timestamptz      not null default now(),
  primary key (kind, id)
);

-- The columns id, aggregatetype, aggregateid, type and payload are those of Debezium's outbox event router.
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

create table :"schema".inbox (
  consumer    text collate "C" not null,
  message_id  text collate "C" not null,
  admitted_at timestamptz      not null default now(),
  primary key (consumer, message_id)
);
create index inbox_admitted_at_idx on :"schema".inbox using brin (admitted_at);

create table :"schema".timers (
  owner        text collate "C" not null,
  key          text collate "C" not null,
  name         text collate "C" not null,
  token        text             not null,
  due_at       timestamptz      not null,
  claimable_at timestamptz      not null,
  primary key (owner, key, name)
);
comment on column :"schema".timers.claimable_at is 'due_at, or the end of the lease of the last claim';

create index timers_claimable_idx on :"schema".timers (owner, claimable_at);

create table :"schema".dead_letters (
  seq            bigint generated always as identity,
  consumer       text collate "C" not null,
  message_id     text collate "C" not null,
  position       text             not null,
  problem        text             not null,
  detail         text             not null,
  attempts       integer          not null,
  at             timestamptz      not null,
  type           text             not null,
  topic          text             not null,
  key            text             not null,
  occurred_at    timestamptz      not null,
  correlation_id text             not null,
  causation_id   text,
  step_key       text,
  saga           text,
  traceparent    text,
  tracestate     text,
  payload        bytea            not null,
  primary key (consumer, message_id)
);
comment on column :"schema".dead_letters.payload is 'UTF-8 bytes: it may be malformed, and then jsonb or text could not hold it';

create index dead_letters_at_idx on :"schema".dead_letters (consumer, at, seq);

create table :"schema".idempotency_keys (
  scope       text collate "C" not null,
  key         text collate "C" not null,
  fingerprint text             not null,
  answer      jsonb,
  claimed_at  timestamptz      not null default now(),
  primary key (scope, key)
);
create index idempotency_keys_claimed_at_idx on :"schema".idempotency_keys using brin (claimed_at);

create table :"schema".locks (
  name       text collate "C" primary key,
  owner      text        not null,
  fence      bigint      not null,
  expires_at timestamptz not null
);
comment on column :"schema".locks.fence is 'Grows with every acquisition. The row stays after a release.';
