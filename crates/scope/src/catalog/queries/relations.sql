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
),
-- Nor does PostgreSQL write down that an expression depends on what is built in; what is immutable only computes. `domain_in` stands for a domain's checks.
-- A column of such a type is known by its type.
trees (relation, tree, typ) as (
  select f.adrelid, f.adbin::text, a.atttypid from pg_catalog.pg_attrdef f
  join pg_catalog.pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
  union all
  select k.conrelid, k.conbin::text, 0 from pg_catalog.pg_constraint k where k.conrelid <> 0 and k.conbin is not null
  union all
  select i.indrelid, coalesce(i.indexprs::text, '') || coalesce(i.indpred::text, ''), 0 from pg_catalog.pg_index i
  where i.indexprs is not null or i.indpred is not null
),
-- Many are the same, and looking through one takes long.
texts as materialized (select distinct t.tree from trees t),
found (tree, kind, object) as materialized (
  select t.tree, m[1], m[2]::oid from texts t
  cross join lateral pg_catalog.regexp_matches(t.tree, ':(?:op)?(funcid|resulttype) (\d+)', 'g') m
),
built_in (relation, name) as (
  select t.relation, p.proname::text from found f
  join pg_catalog.pg_proc p on p.oid = f.object and p.oid < 16384 and p.provolatile <> 'i'
  join trees t on t.tree = f.tree
  where f.kind = 'funcid'
  union
  select t.relation, 'domain_in' from found f
  join pg_catalog.pg_constraint k on k.contypid = f.object and k.contype = 'c'
  join trees t on t.tree = f.tree and t.typ <> k.contypid
  where f.kind = 'resulttype'
),
called (relation, names) as (select b.relation, string_agg(b.name, ',' order by b.name) from built_in b group by 1)
select n.nspname::text, c.relname::text, c.relkind::text,
  (c.relhasrules or c.relrowsecurity
    or exists (select from pg_catalog.pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal)
    or exists (select from code_of w where w.relation = c.oid))::text,
  c.oid::text, coalesce(e.extname::text, ''), coalesce(b.names, '')
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.objsubid = 0
  and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
left join pg_catalog.pg_extension e on e.oid = d.refobjid
left join called b on b.relation = c.oid
where c.relkind in ('r','v','m','f','p','S') and n.nspname !~ '^pg_(toast|temp)'
order by 1, 2
