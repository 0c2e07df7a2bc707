drop table :"schema".outbox_decisions;
