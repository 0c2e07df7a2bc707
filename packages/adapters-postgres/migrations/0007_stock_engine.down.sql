drop table :"schema".stock_buyers;
alter table :"schema".stock_adjustments drop column kind, drop column warehouse;
alter table :"schema".stock_holds drop column asked;
alter table :"schema".stock_holds alter column lines type jsonb using replace(lines::text, '\u0000', '\ufffd')::jsonb;
drop index :"schema".stock_holds_live_idx;
create index stock_holds_live_idx on :"schema".stock_holds (until, order_id) where status = 'held';
alter table :"schema".stock_skus drop column elsewhere;
