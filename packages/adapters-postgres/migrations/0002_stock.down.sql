drop table :"schema".stock_adjustments;
drop table :"schema".stock_holds;
drop table :"schema".stock_skus;
