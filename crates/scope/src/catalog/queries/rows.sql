-- What decides, beside what a statement says, in which relation a row is or whether it is read: one row a relation and kind.
-- c: what a child and its parent are not both checked by, with the columns that it reads. p: row security, with the
-- roles that could log in and are not subject to it, what its policies read as [relation, column] (no column: which rows it
-- has), and the functions that they call as [schema, name], those of operators and `domain_in` for domains with checks among
-- them.
with own as (
  select c.oid, c.relowner, c.relrowsecurity, c.relforcerowsecurity, c.relispartition
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r','p') and n.nspname not in ('pg_catalog','information_schema') and n.nspname !~ '^pg_(toast|temp)'
),
freed (owner, forced, roles) as (
  select g.relowner, g.relforcerowsecurity, json_agg(r.rolname::text order by r.rolname)
  from (select distinct relowner, relforcerowsecurity from own where relrowsecurity) g
  join pg_catalog.pg_roles r on r.rolcanlogin and (r.rolsuper or r.rolbypassrls
    or not g.relforcerowsecurity and pg_catalog.pg_has_role(r.oid, g.relowner, 'USAGE'))
  group by 1, 2
),
policy as (
  select p.oid, p.polrelid, coalesce(p.polqual::text, '') || coalesce(p.polwithcheck::text, '') as tree
  from pg_catalog.pg_policy p where p.polcmd <> 'a'
),
depends as (
  select p.*, d.refclassid, d.refobjid, d.refobjsubid from policy p
  join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = p.oid
),
reads (relation, read, name) as (
  select d.polrelid, d.refobjid, coalesce(a.attname::text, '') from depends d
  left join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid and d.refobjsubid <> 0
  where d.refclassid = 'pg_catalog.pg_class'::regclass and (d.refobjid <> d.polrelid or d.refobjsubid <> 0)
  union
  -- PostgreSQL does not write down which columns a whole row has.
  select d.polrelid, d.refobjid, a.attname::text from depends d
  join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum > 0 and not a.attisdropped
  where d.refclassid = 'pg_catalog.pg_class'::regclass and d.tree ~ ':varattno 0 '
),
called (relation, function) as (
  select d.polrelid, d.refobjid from depends d where d.refclassid = 'pg_catalog.pg_proc'::regclass
  union
  select d.polrelid, o.oprcode::oid from depends d join pg_catalog.pg_operator o on o.oid = d.refobjid
  where d.refclassid = 'pg_catalog.pg_operator'::regclass
  union
  -- Nor that it depends on what is built in. What is immutable only computes.
  select p.polrelid, m[1]::oid from policy p
  cross join lateral pg_catalog.regexp_matches(p.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') m
),
calls (relation, home, name) as (
  select c.relation, n.nspname::text, f.proname::text from called c
  join pg_catalog.pg_proc f on f.oid = c.function and (f.oid >= 16384 or f.provolatile <> 'i') join pg_catalog.pg_namespace n on n.oid = f.pronamespace
  union
  select p.polrelid, 'pg_catalog', 'domain_in' from policy p
  cross join lateral pg_catalog.regexp_matches(p.tree, ':resulttype (\d+)', 'g') m
  join pg_catalog.pg_constraint k on k.contypid = m[1]::oid and k.contype = 'c'
),
-- What a child and its parent are not both checked by, NOT NULL, keys and exclusions among it: what inherits checks has them by the
-- same name, and nothing inherits keys.
pairs (child, parent) as (
  select i.inhrelid, i.inhparent from pg_catalog.pg_inherits i
  join pg_catalog.pg_class c on c.oid = i.inhrelid and c.relkind in ('r','p','f') and not c.relispartition
),
indexed (relation, conkey) as (
  select x.indrelid, array_agg(distinct u.number) from pg_catalog.pg_index x
  cross join lateral (
    select k.number from unnest(x.indkey) k (number) where k.number > 0
    union all
    select d.refobjsubid::int2 from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = x.indexrelid
      and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = x.indrelid and d.refobjsubid > 0
  ) u
  where (x.indisunique or x.indisexclusion) and exists (select from pairs p where x.indrelid in (p.child, p.parent))
  group by x.indexrelid, x.indrelid
),
differs (relation, conkey) as (
  select p.child, k.conkey from pairs p
  join pg_catalog.pg_constraint k on k.contype = 'c' and k.conrelid = p.child
  where not exists (select from pg_catalog.pg_constraint a where a.conrelid = p.parent and a.contype = 'c'
    and a.conname = k.conname and not a.connoinherit and a.convalidated = k.convalidated)
  union all
  -- A domain of a column of its own may have checks, and so may what it is of.
  select p.child, array[a.attnum] from pairs p
  join pg_catalog.pg_attribute a on a.attrelid = p.child and a.attnum > 0 and not a.attisdropped
  join pg_catalog.pg_type t on t.oid = a.atttypid and t.typtype = 'd'
  where not exists (select from pg_catalog.pg_attribute b where b.attrelid = p.parent and b.attname = a.attname and b.attnum > 0)
  union all
  select p.child, array_agg(b.attnum)
  from pairs p
  join pg_catalog.pg_constraint k on k.conrelid = p.parent and (k.contype = 'c' and k.connoinherit or k.contype = 'f')
  join pg_catalog.pg_attribute a on a.attrelid = p.parent and a.attnum > 0 and (a.attnum = any(k.conkey) or 0 = any(k.conkey))
  join pg_catalog.pg_attribute b on b.attrelid = p.child and b.attname = a.attname and not a.attisdropped
  group by p.child, k.oid
  union all
  select p.child, k.conkey from pairs p join pg_catalog.pg_constraint k on k.conrelid = p.child and k.contype = 'f'
  union all
  select p.child, x.conkey from pairs p join indexed x on x.relation = p.child
  union all
  select p.child, array_agg(b.attnum) from pairs p join indexed x on x.relation = p.parent
  join pg_catalog.pg_attribute a on a.attrelid = p.parent and a.attnum = any(x.conkey) and not a.attisdropped
  join pg_catalog.pg_attribute b on b.attrelid = p.child and b.attname = a.attname
  group by p.child, x.conkey
),
checked (relation, name) as (
  select d.relation, a.attname::text from differs d
  join pg_catalog.pg_attribute a on a.attrelid = d.relation and a.attnum > 0 and not a.attisdropped
    and (a.attnum = any(d.conkey) or 0 = any(d.conkey))
  union all
  select p.child, a.attname::text from pairs p
  join pg_catalog.pg_attribute a on a.attrelid = p.child and a.attnum > 0
  join pg_catalog.pg_attribute b on b.attrelid = p.parent and b.attname = a.attname and b.attnum > 0
    and a.attnotnull <> b.attnotnull
)
select 'c', k.relation::text, '[]', json_agg(distinct k.name)::text, '[]'
from checked k group by k.relation
union all
select 'p', o.oid::text, coalesce(f.roles, '[]')::text,
  coalesce(r.list, '[]')::text, coalesce(c.list, '[]')::text
from own o
left join freed f on f.owner = o.relowner and f.forced = o.relforcerowsecurity
left join (select r.relation, json_agg(json_build_array(r.read::text, r.name) order by r.read, r.name) as list from reads r
  group by 1) r on r.relation = o.oid
left join (select c.relation, json_agg(json_build_array(c.home, c.name) order by c.home, c.name) as list from calls c
  group by 1) c on c.relation = o.oid
where o.relrowsecurity
order by 1, 2
