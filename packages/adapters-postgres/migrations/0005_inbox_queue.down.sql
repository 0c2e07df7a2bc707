lock table :"schema".inbox_queue in access exclusive mode;
-- Their offsets are committed: the broker will not bring them again.
do $$ begin
  if exists (select from :"schema".inbox_queue) then
    raise exception 'messages are stored that were not handled, and are nowhere else: let their workers handle them first';
  end if;
end $$;
drop table :"schema".inbox_pullers;
drop table :"schema".inbox_queue;
