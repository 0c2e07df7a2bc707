-- What people decided about messages that the broker refused. A row is written with its decision, in one transaction. A few rows a
-- year: nobody sweeps them.
create table :"schema".outbox_decisions (
  seq        bigint generated always as identity primary key,
  message_id text        not null,
  type       text        not null,
  topic      text        not null,
  key        text        not null,
  decision   text        not null constraint outbox_decisions_decision_check check (decision in ('retry', 'discard')),
  decided_by text        not null,
  reason     text        not null,
  decided_at timestamptz not null default now()
);
comment on column :"schema".outbox_decisions.reason is 'Empty: none was given.';
