-- Casts, comparisons and support functions that a statement calls without naming them, with code of the target's own behind them.
with code as (
  select p.oid, n.nspname::text as home, p.proname::text as name, coalesce(e.extname::text, '') as extension
  from pg_catalog.pg_proc p
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  join pg_catalog.pg_language l on l.oid = p.prolang
  left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid
    and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
  left join pg_catalog.pg_extension e on e.oid = d.refobjid
  where p.oid >= 16384 and l.lanname <> 'internal' and not (l.lanname = 'c' and e.oid is not null)
)
select 'cast from ' || pg_catalog.format_type(k.castsource, null) || ' to ' || pg_catalog.format_type(k.casttarget, null),
  c.home, c.name, c.extension
from pg_catalog.pg_cast k join code c on c.oid = k.castfunc
union all
select 'operator ' || n.nspname || '.' || o.oprname || ' of ' || pg_catalog.format_type(o.oprleft, null) || ' and '
  || pg_catalog.format_type(o.oprright, null), c.home, c.name, c.extension
from pg_catalog.pg_operator o
join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
join code c on c.oid = o.oprcode
where o.oprname in ('=','<>','<','<=','>','>=') or n.nspname = 'pg_catalog'
  -- Whatever they are called: what sorts, groups and hashes calls those of its operator class, of btree and hash.
  or exists (select from pg_catalog.pg_amop a where a.amopopr = o.oid and a.amopmethod in (403, 405))
union all
-- Sorting, grouping and hashing call those of operator classes.
select distinct 'operator class for ' || pg_catalog.format_type(a.amproclefttype, null), c.home, c.name, c.extension
from pg_catalog.pg_amproc a join code c on c.oid = a.amproc
order by 1, 2, 3
