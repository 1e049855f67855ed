-- What a write can be refused for: p primary key, u unique or exclusion index, c check, k partition key, f foreign key.
-- Columns as a JSON array; an expression over a whole row depends on all of them.
with own as (
  select c.oid, c.relkind from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r','p','m','f') and n.nspname not in ('pg_catalog','information_schema')
    and n.nspname !~ '^pg_(toast|temp)'
),
found (kind, relation, object, number, place, target, key, cascades) as (
  select case when i.indisprimary then 'p' else 'u' end, i.indrelid, i.indexrelid, k.number, k.place, 0, 0, false
  from own o join pg_catalog.pg_index i on i.indrelid = o.oid and (i.indisunique or i.indisexclusion)
  cross join unnest(i.indkey::smallint[]) with ordinality k (number, place)
  where k.place <= i.indnkeyatts and k.number > 0
  union all
  select 'u', i.indrelid, i.indexrelid, d.refobjsubid, 1000 + d.refobjsubid, 0, 0, false
  from own o join pg_catalog.pg_index i on i.indrelid = o.oid and (i.indisunique or i.indisexclusion)
  join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = i.indexrelid
    and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = i.indrelid and d.refobjsubid > 0
  where not i.indisprimary
  union all
  select 'u', i.indrelid, i.indexrelid, a.attnum, 1000 + a.attnum, 0, 0, false
  from own o join pg_catalog.pg_index i on i.indrelid = o.oid and (i.indisunique or i.indisexclusion)
  join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum > 0 and not a.attisdropped
  where coalesce(i.indexprs::text, '') || coalesce(i.indpred::text, '') ~ ':varattno 0 '
  union all
  select k.contype::text, k.conrelid, k.oid, u.number, u.place, k.confrelid, u.key,
    k.contype = 'f' and (k.confupdtype not in ('a','r') or k.confdeltype not in ('a','r'))
  from own o join pg_catalog.pg_constraint k on k.conrelid = o.oid and k.contype in ('c','f')
  cross join unnest(k.conkey, k.confkey) with ordinality u (number, key, place)
  where u.number > 0
  union all
  select 'c', k.conrelid, k.oid, a.attnum, 1000 + a.attnum, 0, 0, false
  from own o join pg_catalog.pg_constraint k on k.conrelid = o.oid and k.contype = 'c' and 0 = any(k.conkey)
  join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum > 0 and not a.attisdropped
  union all
  select 'k', o.oid, o.oid, d.objsubid, d.objsubid, 0, 0, false
  from own o join pg_catalog.pg_depend d on o.relkind = 'p' and d.classid = 'pg_catalog.pg_class'::regclass
    and d.objid = o.oid and d.objsubid > 0 and d.refclassid = 'pg_catalog.pg_class'::regclass
    and d.refobjid = o.oid and d.refobjsubid = 0
)
select f.kind, f.relation::text, json_agg(a.attname::text order by f.place)::text, max(f.target)::text,
  coalesce(json_agg(t.attname::text order by f.place) filter (where t.attname is not null), '[]')::text,
  bool_or(f.cascades)::text
from found f
join pg_catalog.pg_attribute a on a.attrelid = f.relation and a.attnum = f.number
left join pg_catalog.pg_attribute t on f.target <> 0 and t.attrelid = f.target and t.attnum = f.key
group by f.kind, f.relation, f.object order by f.relation, f.kind, f.object
