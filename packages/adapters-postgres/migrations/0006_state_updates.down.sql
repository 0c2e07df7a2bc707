alter table :"schema".inbox drop constraint inbox_pkey, add constraint inbox_pkey primary key (consumer, message_id);
alter table :"schema".idempotency_keys drop constraint idempotency_keys_pkey, add constraint idempotency_keys_pkey primary key (scope, key);
drop index :"schema".timers_claimable_idx;
create index timers_claimable_idx on :"schema".timers (owner, claimable_at);
alter table :"schema".timers drop constraint timers_pkey, add constraint timers_pkey primary key (owner, key, name);
alter table :"schema".documents drop constraint documents_pkey, add constraint documents_pkey primary key (kind, id);
drop index :"schema".sagas_status_idx;
create index sagas_status_idx on :"schema".sagas (saga, status);
alter table :"schema".sagas drop constraint sagas_pkey, add constraint sagas_pkey primary key (saga, id);
-- jsonb has no NUL, and no half of a surrogate pair; whole pairs, and a backslash before "u", stay.
create function :"schema".jsonb_text(written text) returns text language sql immutable as $$
select regexp_replace(replace(replace(written, '\\', '\u005c'), '\u0000', '\ufffd'),
  '\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f])|(?<!\\ud[89ab][0-9a-f]{2})\\ud[c-f][0-9a-f]{2}', '\\ufffd', 'gi')
$$;
alter table :"schema".sagas alter column state type jsonb using :"schema".jsonb_text(state::text)::jsonb;
alter table :"schema".documents alter column state type jsonb using :"schema".jsonb_text(state::text)::jsonb;
alter table :"schema".idempotency_keys alter column answer type jsonb using :"schema".jsonb_text(answer::text)::jsonb;
drop function :"schema".jsonb_text(text);
alter table :"schema".sagas reset (fillfactor);
alter table :"schema".documents reset (fillfactor);
