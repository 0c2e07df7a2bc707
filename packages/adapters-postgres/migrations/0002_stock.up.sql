-- The stock ledger: the books of each SKU, one hold per order, and every adjustment once.

create table :"schema".stock_skus (
  sku        text collate "C" primary key,
  on_hand    bigint           not null constraint stock_skus_on_hand_check check (on_hand >= 0),
  held       bigint           not null constraint stock_skus_held_check check (held >= 0),
  committed  bigint           not null constraint stock_skus_committed_check check (committed >= 0),
  shortage   bigint           not null constraint stock_skus_shortage_check check (shortage >= 0),
  changed_at timestamptz      not null,
  constraint stock_skus_no_oversell check (held + committed <= on_hand + shortage)
) with (fillfactor = 50);
comment on column :"schema".stock_skus.shortage is 'Promised beyond what is on hand. Only an adjustment makes it grow.';

create table :"schema".stock_holds (
  order_id    text collate "C" primary key,
  status      text             not null
    constraint stock_holds_status_check check (status in ('held', 'committed', 'lapsed', 'released', 'shipped')),
  lines       jsonb            not null,
  until       timestamptz      not null,
  reason      text             constraint stock_holds_reason_check check (reason in ('asked', 'expired', 'revoked')),
  reserved_at timestamptz      not null,
  changed_at  timestamptz      not null,
  constraint stock_holds_ended_check check ((reason is not null) = (status in ('lapsed', 'released')))
);
comment on table :"schema".stock_holds is 'What each order has of the stock, and had. A released one without lines is a tombstone.';

create index stock_holds_live_idx on :"schema".stock_holds (until, order_id) where status = 'held';

create table :"schema".stock_adjustments (
  id          text collate "C" primary key,
  sku         text             not null,
  delta       bigint           not null,
  on_hand     bigint           not null,
  shortage    bigint           not null,
  adjusted_at timestamptz      not null
);
comment on table :"schema".stock_adjustments is 'Goods counted in or out, with the books as they were then.';

create index stock_adjustments_sku_idx on :"schema".stock_adjustments (sku, adjusted_at);
