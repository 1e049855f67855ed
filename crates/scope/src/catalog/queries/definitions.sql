-- Reading a definition takes a lock on what it reads: whoever alters that is not waited for, and the definition is not
-- known until he is done.
select v.oid::text, case when exists (
    select from pg_catalog.pg_locks l
    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = l.relation
      and d.classid = 'pg_catalog.pg_rewrite'::regclass
    join pg_catalog.pg_rewrite w on w.oid = d.objid and w.ev_class = v.oid
    where l.mode = 'AccessExclusiveLock' and l.locktype = 'relation')
  then '' else coalesce(pg_catalog.pg_get_viewdef(v.oid), '') end
from pg_catalog.pg_class v
join pg_catalog.pg_namespace n on n.oid = v.relnamespace
where v.relkind = 'v' and n.nspname not in ('pg_catalog','information_schema') and n.nspname !~ '^pg_temp'
order by v.oid
