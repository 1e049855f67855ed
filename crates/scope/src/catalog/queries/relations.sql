select n.nspname::text, c.relname::text, c.relkind::text,
  (c.relhasrules or c.relrowsecurity
    or exists (select from pg_catalog.pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal))::text,
  c.oid::text, coalesce(e.extname::text, '')
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.objsubid = 0
  and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
left join pg_catalog.pg_extension e on e.oid = d.refobjid
where c.relkind in ('r','v','m','f','p','S') and n.nspname !~ '^pg_(toast|temp)'
order by 1, 2
