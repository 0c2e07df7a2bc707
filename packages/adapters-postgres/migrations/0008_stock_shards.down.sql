drop index :"schema".stock_holds_ended_idx;
drop index :"schema".stock_holds_promised_idx;
drop table :"schema".stock_notes;
drop table :"schema".stock_shards;
