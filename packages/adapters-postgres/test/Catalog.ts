/** A schema as text, from PostgreSQL's catalog: what a golden file can be compared with. The same on every supported version. */

/** One statement, one column `line`. */
export const DESCRIBE = `
with space as (select oid from pg_namespace where nspname = $1),
relations as (select c.* from pg_class c join space on c.relnamespace = space.oid where c.relkind in ('r', 'p') and not c.relispartition and c.relname <> 'saga_migrations')
select line from (
  select r.relname as part, 1 as kind, lpad(a.attnum::text, 3, '0') as place,
    format('%s.%s %s%s%s%s', r.relname, a.attname, format_type(a.atttypid, a.atttypmod),
      case when a.attcollation <> 0 and l.collname = 'C' then ' collate "C"' else '' end,
      case when a.attnotnull then ' not null' else '' end,
      case when a.attidentity <> '' then ' identity' else coalesce(' default ' || replace(pg_get_expr(d.adbin, d.adrelid), $1 || '.', ''), '') end) as line
  from relations r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  left join pg_collation l on l.oid = a.attcollation
  left join pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
  union all
  select r.relname, 2, o.conname, format('%s constraint %s %s', r.relname, o.conname, pg_get_constraintdef(o.oid))
  from relations r join pg_constraint o on o.conrelid = r.oid where o.contype <> 'n'
  union all
  select r.relname, 3, i.relname, replace(pg_get_indexdef(i.oid), $1 || '.', '')
  from relations r join pg_index x on x.indrelid = r.oid and not x.indisprimary join pg_class i on i.oid = x.indexrelid
  union all
  select r.relname, 4, p.relname, format('%s partition %s %s', r.relname, p.relname, pg_get_expr(p.relpartbound, p.oid))
  from relations r join pg_inherits h on h.inhparent = r.oid join pg_class p on p.oid = h.inhrelid
) as lines order by part, kind, place`;
