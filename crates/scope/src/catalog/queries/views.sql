select distinct v.oid::text, coalesce(r.oid::text, ''), coalesce(f.proname::text, '')
from pg_catalog.pg_rewrite w
join pg_catalog.pg_class v on v.oid = w.ev_class
join pg_catalog.pg_namespace vn on vn.oid = v.relnamespace
join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
left join pg_catalog.pg_class r on d.refclassid = 'pg_catalog.pg_class'::regclass and r.oid = d.refobjid and r.oid <> v.oid
left join pg_catalog.pg_proc f on d.refclassid = 'pg_catalog.pg_proc'::regclass and f.oid = d.refobjid
where v.relkind in ('v','m') and vn.nspname not in ('pg_catalog','information_schema')
  and (r.oid is not null or f.oid is not null)
order by 1, 2, 3
