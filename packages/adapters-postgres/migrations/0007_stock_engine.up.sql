-- Reservations with wishes: goods in several warehouses, a part instead of all, a limit per buyer.

-- The default warehouse's numbers stay the row's own columns: nearly every row has no others.
alter table :"schema".stock_skus
  add column elsewhere jsonb,
  add constraint stock_skus_elsewhere_check check (not jsonb_path_exists(elsewhere,
    '$[*] ? (@.onHand < 0 || @.held < 0 || @.committed < 0 || @.shortage < 0 || @.held + @.committed > @.onHand + @.shortage)'));
comment on column :"schema".stock_skus.elsewhere is 'What other warehouses have: a list of warehouse, onHand, held, committed, shortage.';

-- Holds of one batch end at one moment: without the order's id their entries in the index are nearly one.
drop index :"schema".stock_holds_live_idx;
create index stock_holds_live_idx on :"schema".stock_holds (until) where status = 'held';

-- As they were written (see 0006_state_updates): nothing looks into them on the way of an order.
alter table :"schema".stock_holds alter column lines type json;
alter table :"schema".stock_holds add column asked jsonb;
comment on column :"schema".stock_holds.asked is 'What was asked for beyond the ordinary: part, warehouses, limit. Lines are what was granted.';

alter table :"schema".stock_adjustments
  add column kind text constraint stock_adjustments_kind_check check (kind in ('receive', 'return')),
  add column warehouse text;

create table :"schema".stock_buyers (
  sku   text collate "C",
  buyer text collate "C",
  units bigint not null constraint stock_buyers_units_check check (units >= 0),
  constraint stock_buyers_pkey primary key (sku, buyer)
);
comment on table :"schema".stock_buyers is 'Units that orders with a limit have, per buyer. Changes only under the lock of the SKU''s books.';
