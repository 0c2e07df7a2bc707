alter table :"schema".idempotency_keys drop constraint idempotency_keys_pkey, add constraint idempotency_keys_pkey primary key (scope, key);
alter table :"schema".timers drop constraint timers_pkey, add constraint timers_pkey primary key (owner, key, name);
alter table :"schema".documents drop constraint documents_pkey, add constraint documents_pkey primary key (kind, id);
drop index :"schema".sagas_status_idx;
create index sagas_status_idx on :"schema".sagas (saga, status);
alter table :"schema".sagas drop constraint sagas_pkey, add constraint sagas_pkey primary key (saga, id);
alter table :"schema".sagas reset (fillfactor);
alter table :"schema".documents reset (fillfactor);
