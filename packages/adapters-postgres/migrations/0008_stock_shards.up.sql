-- Who serves the stock: a log in front of the ledger, or the ledger itself. One row a shard, changed by compare-and-set of its
-- generation; every write of the hybrid engine checks it in its own transaction.
create table :"schema".stock_shards (
  shard          integer     primary key,
  generation     bigint      not null constraint stock_shards_generation_check check (generation > 0),
  engine         text        not null constraint stock_shards_engine_check check (engine in ('log', 'ledger')),
  run_id         text,
  master_replid  text,
  changed_at     timestamptz not null default now(),
  constraint stock_shards_server_check check ((engine = 'log') = (run_id is not null and master_replid is not null))
);
comment on table :"schema".stock_shards is 'Who serves the stock, since when. The server that a log was opened on; another one is not believed.';

-- What the ledger has decided and the log has still to hear. Deleted when it has, and with its generation.
create table :"schema".stock_notes (
  id         bigint      generated always as identity primary key,
  shard      integer     not null,
  generation bigint      not null,
  commands   jsonb       not null,
  noted_at   timestamptz not null default clock_timestamp()
);
create index stock_notes_shard_idx on :"schema".stock_notes (shard, noted_at, id);

-- A new log begins with what is held (stock_holds_live_idx), what is promised, and what ended last.
create index stock_holds_promised_idx on :"schema".stock_holds (order_id) where status = 'committed';
create index stock_holds_ended_idx on :"schema".stock_holds (changed_at) where status in ('lapsed', 'released', 'shipped');
