drop table :"schema".batches;
