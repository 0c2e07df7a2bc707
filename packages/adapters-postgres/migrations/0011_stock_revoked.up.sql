-- Whose holds an adjustment ended: asked for again, it names the same orders, and they are told of once.
alter table :"schema".stock_adjustments add column revoked jsonb;
comment on column :"schema".stock_adjustments.revoked is 'Orders whose holds it ended, the newest first. Null: none.';
