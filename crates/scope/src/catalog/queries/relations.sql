-- Code of the target's own: neither built in nor an extension's C.
with code (oid) as (
  select p.oid from pg_catalog.pg_proc p
  join pg_catalog.pg_language l on l.oid = p.prolang
  where p.oid >= 16384 and l.lanname <> 'internal' and not (l.lanname = 'c' and exists (
    select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'))
),
-- What calls it: the function itself, or an operator, or a cast of it is named.
calls (class, object) as (
  select d.classid, d.objid from pg_catalog.pg_depend d join code on d.refclassid = 'pg_catalog.pg_proc'::regclass and d.refobjid = code.oid
  union
  select d.classid, d.objid from pg_catalog.pg_depend d
  join pg_catalog.pg_operator o on d.refclassid = 'pg_catalog.pg_operator'::regclass and d.refobjid = o.oid
  join code on o.oprcode = code.oid
),
-- Which a write to a relation runs: in its defaults, checks and indexes.
code_of (relation) as (
  select f.adrelid from pg_catalog.pg_attrdef f join calls on calls.class = 'pg_catalog.pg_attrdef'::regclass and calls.object = f.oid
  union
  select k.conrelid from pg_catalog.pg_constraint k join calls on calls.class = 'pg_catalog.pg_constraint'::regclass and calls.object = k.oid
  where k.conrelid <> 0
  union
  select i.indrelid from pg_catalog.pg_index i join calls on calls.class = 'pg_catalog.pg_class'::regclass and calls.object = i.indexrelid
)
select n.nspname::text, c.relname::text, c.relkind::text,
  (c.relhasrules or c.relrowsecurity
    or exists (select from pg_catalog.pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal)
    or exists (select from code_of w where w.relation = c.oid))::text,
  c.oid::text, coalesce(e.extname::text, '')
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.objsubid = 0
  and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
left join pg_catalog.pg_extension e on e.oid = d.refobjid
where c.relkind in ('r','v','m','f','p','S') and n.nspname !~ '^pg_(toast|temp)'
order by 1, 2
