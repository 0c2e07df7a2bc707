drop table :"schema".inbox_pullers;
drop table :"schema".inbox_queue;
