drop table :"schema".stock_buyers;
alter table :"schema".stock_adjustments drop column kind, drop column warehouse;
alter table :"schema".stock_holds drop column asked;
drop index :"schema".stock_holds_live_idx;
create index stock_holds_live_idx on :"schema".stock_holds (until, order_id) where status = 'held';
alter table :"schema".stock_skus drop column elsewhere;
