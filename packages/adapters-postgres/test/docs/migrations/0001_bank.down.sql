drop table :"schema".vouchers;
drop table :"schema".postings;
