-- Instances and documents are updated many times, seldom in a column that is indexed: with room in its page the new version needs
-- no entry in an index, and the old ones are cleared by whoever reads the page (HOT). Measured with a saga of four steps: an update
-- costs half.
alter table :"schema".sagas set (fillfactor = 50);
alter table :"schema".documents set (fillfactor = 50);

-- As it was written: nothing looks into it here, and to parse it was more than half of what writing it costs (measured). `state::jsonb`
-- where somebody does.
alter table :"schema".sagas alter column state type json;
alter table :"schema".documents alter column state type json;
alter table :"schema".idempotency_keys alter column answer type json;

-- What tells rows apart comes first in their keys. A statement for a batch looks keys up by a list of them, and a plan that was made
-- while a table was empty takes the list for a filter, reading all of the saga's rows, if the saga comes first.
alter table :"schema".sagas drop constraint sagas_pkey, add constraint sagas_pkey primary key (id, saga);
alter table :"schema".documents drop constraint documents_pkey, add constraint documents_pkey primary key (id, kind);
drop index :"schema".sagas_status_idx;
create index sagas_status_idx on :"schema".sagas (status, saga);
alter table :"schema".inbox drop constraint inbox_pkey, add constraint inbox_pkey primary key (message_id, consumer);
alter table :"schema".timers drop constraint timers_pkey, add constraint timers_pkey primary key (key, owner, name);
-- The same order under another name: so only who asks for it by this name, to claim, gets this index, never who looks keys up.
drop index :"schema".timers_claimable_idx;
create index timers_claimable_idx on :"schema".timers (owner collate "POSIX", claimable_at);
alter table :"schema".idempotency_keys drop constraint idempotency_keys_pkey, add constraint idempotency_keys_pkey primary key (key, scope);
