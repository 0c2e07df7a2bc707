alter table :"schema".sagas reset (fillfactor);
alter table :"schema".documents reset (fillfactor);
