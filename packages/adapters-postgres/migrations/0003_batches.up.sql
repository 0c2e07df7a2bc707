-- One row a transaction, inserted first: it tells how a COMMIT ended whose answer was lost (docs/decisions/0006-unknown-commit.md).

create table :"schema".batches (
  id       uuid        primary key,
  begun_at timestamptz not null default now(),
  fenced   boolean     not null default false
);
comment on table :"schema".batches is 'Transactions of the last hour. A row that is there was committed.';
comment on column :"schema".batches.fenced is 'Inserted by somebody who asked: the transaction did not happen, and never will.';

create index batches_begun_at_idx on :"schema".batches using brin (begun_at);
