alter table :"schema".inbox drop constraint inbox_pkey, add constraint inbox_pkey primary key (consumer, message_id);
alter table :"schema".idempotency_keys drop constraint idempotency_keys_pkey, add constraint idempotency_keys_pkey primary key (scope, key);
drop index :"schema".timers_claimable_idx;
create index timers_claimable_idx on :"schema".timers (owner, claimable_at);
alter table :"schema".timers drop constraint timers_pkey, add constraint timers_pkey primary key (owner, key, name);
alter table :"schema".documents drop constraint documents_pkey, add constraint documents_pkey primary key (kind, id);
drop index :"schema".sagas_status_idx;
create index sagas_status_idx on :"schema".sagas (saga, status);
alter table :"schema".sagas drop constraint sagas_pkey, add constraint sagas_pkey primary key (saga, id);
-- jsonb has no NUL.
alter table :"schema".sagas alter column state type jsonb using replace(state::text, '\u0000', '\ufffd')::jsonb;
alter table :"schema".documents alter column state type jsonb using replace(state::text, '\u0000', '\ufffd')::jsonb;
alter table :"schema".idempotency_keys alter column answer type jsonb using replace(answer::text, '\u0000', '\ufffd')::jsonb;
alter table :"schema".sagas reset (fillfactor);
alter table :"schema".documents reset (fillfactor);
