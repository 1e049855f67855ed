-- Of relations' own rows, and of what somebody has made in pg_catalog ('x'), the name is all that matters.
select n.nspname::text, t.typname::text,
  case when n.nspname = 'pg_catalog' and t.oid >= 16384 then 'x' else t.typtype::text end, coalesce(e.extname::text, '')
from pg_catalog.pg_type t
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
left join pg_catalog.pg_class c on c.oid = t.typrelid
left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_type'::regclass and d.objid = t.oid
  and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
left join pg_catalog.pg_extension e on e.oid = d.refobjid
where (t.typtype in ('b','e','d','p','r','m') or t.typtype = 'c' and c.relkind = 'c') and n.nspname !~ '^pg_(toast|temp)'
order by 1, 2
