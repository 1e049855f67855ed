select n.nspname::text, p.proname::text, bool_and(p.provolatile in ('i','s'))::text,
  bool_or(p.pronargs - p.pronargdefaults <= 1 and p.pronargs >= 1)::text, 
  -- What somebody has made in pg_catalog is not built in: refused, as procedures are.
  bool_or(p.prokind = 'p' or n.nspname = 'pg_catalog' and p.oid >= 16384)::text,
  case when bool_and(e.extname is not null) and min(e.extname::text) = max(e.extname::text)
    then min(e.extname::text) else '' end,
  case when n.nspname::text <> 'pg_catalog' then string_agg(p.oid::text, ',' order by p.oid) else '' end
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid
  and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
left join pg_catalog.pg_extension e on e.oid = d.refobjid
group by 1, 2 order by 1, 2
