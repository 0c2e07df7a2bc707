drop table :"schema".stock_buyers;
alter table :"schema".stock_adjustments drop column kind, drop column warehouse;
alter table :"schema".stock_holds drop column asked;
alter table :"schema".stock_skus drop column elsewhere;
