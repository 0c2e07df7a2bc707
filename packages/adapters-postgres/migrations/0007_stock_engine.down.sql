lock table :"schema".stock_skus in access exclusive mode;
-- The version before would have them nowhere, and could end no hold of them.
do $$ begin
  if exists (select from :"schema".stock_skus where jsonb_path_exists(elsewhere, '$[*] ? (@.onHand > 0 || @.held > 0 || @.committed > 0 || @.shortage > 0)')) then
    raise exception 'goods are in warehouses beside the default one, which this would forget: count them out there first';
  end if;
end $$;
drop table :"schema".stock_buyers;
alter table :"schema".stock_adjustments drop column kind, drop column warehouse;
alter table :"schema".stock_holds drop column asked;
-- As in 0006_state_updates.
create function :"schema".jsonb_text(written text) returns text language sql immutable as $$
select regexp_replace(replace(replace(written, '\\', '\u005c'), '\u0000', '\ufffd'),
  '\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f])|(?<!\\ud[89ab][0-9a-f]{2})\\ud[c-f][0-9a-f]{2}', '\\ufffd', 'gi')
$$;
alter table :"schema".stock_holds alter column lines type jsonb using :"schema".jsonb_text(lines::text)::jsonb;
drop function :"schema".jsonb_text(text);
drop index :"schema".stock_holds_live_idx;
create index stock_holds_live_idx on :"schema".stock_holds (until, order_id) where status = 'held';
alter table :"schema".stock_skus drop column elsewhere;
