-- What views read and call: each relation, and each function that is not built in, with its schema; those of operators too, but for
-- an extension's C.
select distinct v.oid::text, coalesce(r.oid::text, ''), coalesce(f.proname::text, ''), coalesce(fn.nspname::text, '')
from pg_catalog.pg_rewrite w
join pg_catalog.pg_class v on v.oid = w.ev_class
join pg_catalog.pg_namespace vn on vn.oid = v.relnamespace
join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
left join pg_catalog.pg_class r on d.refclassid = 'pg_catalog.pg_class'::regclass and r.oid = d.refobjid and r.oid <> v.oid
left join pg_catalog.pg_operator o on d.refclassid = 'pg_catalog.pg_operator'::regclass and o.oid = d.refobjid
  and exists (select from pg_catalog.pg_proc p join pg_catalog.pg_language l on l.oid = p.prolang and l.lanname <> 'internal'
    where p.oid = o.oprcode and not (l.lanname = 'c' and exists (select from pg_catalog.pg_depend e
      where e.classid = 'pg_catalog.pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e')))
left join pg_catalog.pg_proc f
  on f.oid = case when d.refclassid = 'pg_catalog.pg_proc'::regclass then d.refobjid else o.oprcode::oid end
left join pg_catalog.pg_namespace fn on fn.oid = f.pronamespace
where v.relkind in ('v','m') and vn.nspname not in ('pg_catalog','information_schema')
  and (r.oid is not null or f.oid is not null)
order by 1, 2, 3, 4
