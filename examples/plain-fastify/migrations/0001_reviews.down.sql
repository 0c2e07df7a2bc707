drop table :"schema".reviews;
