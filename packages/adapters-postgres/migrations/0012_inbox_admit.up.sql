-- Remembers messages, and says which of them are new: null for all of them, which is nearly always so. Then a plain insert is enough;
-- `on conflict` asks for each row before it inserts, and marks it twice: it costs double (measured). An insert that meets a message that
-- is known, or that another transaction has in hand, is undone, and done again that way. In key order: two batches never wait for
-- each other.
--
-- psql puts no schema into a function's body: take this file from "saga migrate up --dry-run".
create function :"schema".inbox_admit(of_consumer text, ids text[]) returns text[] language plpgsql as $$
declare
  first text[];
begin
  begin
    insert into :"schema".inbox (consumer, message_id) select of_consumer, id from unnest(ids) as m(id) order by id collate "C";
    return null;
  exception when unique_violation then
    null;
  end;
  with admitted as (
    insert into :"schema".inbox (consumer, message_id) select of_consumer, id from unnest(ids) as m(id) order by id collate "C"
    on conflict do nothing returning message_id
  ) select coalesce(array_agg(message_id), '{}') into first from admitted;
  return first;
end $$;
