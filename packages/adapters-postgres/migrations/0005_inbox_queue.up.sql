-- Store-then-process: messages that were taken from the broker and wait to be handled, and who may store them.

create table :"schema".inbox_queue (
  consumer     text collate "C" not null,
  message_id   text collate "C" not null,
  shard        smallint         not null,
  lane         integer          not null,
  topic        text collate "C" not null,
  partition_no integer          not null,
  offset_no    bigint           not null,
  type         text             not null,
  key          text             not null,
  problem      text,
  record       json             not null,
  state        text             not null default 'ready' constraint inbox_queue_state_check check (state in ('ready', 'failed', 'held')),
  attempts     integer          not null default 0,
  next_at      timestamptz      constraint inbox_queue_next_at_check check ((next_at is null) = (state <> 'failed')),
  stored_at    timestamptz      not null default now(),
  primary key (message_id, consumer)
);
comment on column :"schema".inbox_queue.lane is 'A hash of the key, whole: keys may be long, and an index entry may not.';
comment on column :"schema".inbox_queue.record is 'The message as it was read. Not jsonb: that keeps no NUL, and not the text of a payload.';
comment on column :"schema".inbox_queue.state is 'held: behind a failed one of its lane, looked at no more before that one is done.';

-- What is handled next; each is one range of an index, however much is stored.
create index inbox_queue_ready_idx on :"schema".inbox_queue (consumer, shard, topic, partition_no, offset_no) where state = 'ready';
create index inbox_queue_due_idx on :"schema".inbox_queue (consumer, shard, next_at) where state = 'failed';
create index inbox_queue_failed_idx on :"schema".inbox_queue (consumer, shard, lane) where state = 'failed';
create index inbox_queue_held_idx on :"schema".inbox_queue (consumer, shard, lane, topic, partition_no, offset_no) where state = 'held';

create table :"schema".inbox_pullers (
  consumer text collate "C" primary key,
  fence    bigint           not null
);
comment on column :"schema".inbox_pullers.fence is 'Of the newest lease that stored: an older one stores nothing any more.';
