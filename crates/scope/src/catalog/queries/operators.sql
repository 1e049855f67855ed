select o.oprname::text, case when bool_and(e.extname is not null)
    then string_agg(distinct e.extname::text, ',') else '' end
from pg_catalog.pg_operator o
join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_operator'::regclass and d.objid = o.oid
  and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
left join pg_catalog.pg_extension e on e.oid = d.refobjid
where n.nspname <> 'pg_catalog' group by 1 order by 1
