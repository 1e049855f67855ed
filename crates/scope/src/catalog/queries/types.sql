-- Of what somebody has made in pg_catalog ('x'), the name is all that matters. What is made of built-in types and enumerations
-- alone, and has no check or default, has no code of its own, as those have none ('e').
with plain as (
  select t.oid from pg_catalog.pg_type t
  left join pg_catalog.pg_type i on i.oid = t.typelem and i.typarray = t.oid
  where t.oid < 16384 and t.typtype = 'b' and t.typnamespace = 'pg_catalog'::regnamespace
    or t.typtype = 'e' or i.typtype = 'e'
)
select n.nspname::text, t.typname::text,
  case
    when n.nspname = 'pg_catalog' and t.oid >= 16384 then 'x'
    when t.typtype = 'c' and not exists (select from pg_catalog.pg_attribute a where a.attrelid = t.typrelid
      and a.attnum > 0 and not a.attisdropped and a.atttypid not in (select p.oid from plain p)) then 'e'
    when t.typtype = 'd' and not t.typnotnull and t.typdefault is null and t.typbasetype in (select p.oid from plain p)
      and not exists (select from pg_catalog.pg_constraint k where k.contypid = t.oid) then 'e'
    else t.typtype::text
  end, coalesce(e.extname::text, '')
from pg_catalog.pg_type t
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
left join pg_catalog.pg_class c on c.oid = t.typrelid
left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_type'::regclass and d.objid = t.oid
  and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
left join pg_catalog.pg_extension e on e.oid = d.refobjid
where (t.typtype in ('b','e','d','p','r','m') or t.typtype = 'c' and c.relkind = 'c') and n.nspname !~ '^pg_(toast|temp)'
order by 1, 2
