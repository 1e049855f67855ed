-- One row a relation of the target's own: its columns as [name, type, 1 generated + 2 has a default + 4 code of its own
-- + 8 not null,
-- the type without code that its values are handed on as, or null for its own, what it is generated from or null].
with recursive
-- A domain's base type, all the way down, with the innermost modifier.
down (domain, typ, modifier) as (
  select t.oid, t.typbasetype, t.typtypmod from pg_catalog.pg_type t where t.typtype = 'd'
  union all
  select d.domain, t.typbasetype, t.typtypmod from down d
  join pg_catalog.pg_type t on t.oid = d.typ and t.typtype = 'd'
),
base as (
  select d.domain, pg_catalog.format_type(d.typ, d.modifier) as text from down d
  join pg_catalog.pg_type t on t.oid = d.typ where t.typtype <> 'd'
),
-- Which type is made of which: domains, arrays, ranges, multiranges (from 14 on), composites.
made (part, whole) as (
  select t.typbasetype, t.oid from pg_catalog.pg_type t where t.typbasetype <> 0
  union all
  select t.typelem, t.oid from pg_catalog.pg_type t where t.typelem <> 0
  union all
  select r.rngsubtype, r.rngtypid from pg_catalog.pg_range r
  union all
  select r.rngtypid, (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::oid from pg_catalog.pg_range r
  union all
  select a.atttypid, c.reltype from pg_catalog.pg_attribute a
  join pg_catalog.pg_class c on c.oid = a.attrelid and c.reltype <> 0
  join pg_catalog.pg_type t on t.oid = a.atttypid
  where a.attnum > 0 and not a.attisdropped
    and (t.typtype <> 'b' or t.oid >= 16384 or t.typnamespace <> 'pg_catalog'::regnamespace)
),
own (typ) as (
  select t.oid from pg_catalog.pg_type t where t.typtype = 'd' and (t.typdefault is not null
    or exists (select from pg_catalog.pg_constraint k where k.contypid = t.oid and k.contype = 'c'))
  union
  select t.oid from pg_catalog.pg_type t
  left join pg_catalog.pg_range r on r.rngtypid = t.oid
  join pg_catalog.pg_proc p on p.oid in (t.typinput, t.typoutput, r.rngcanonical)
  join pg_catalog.pg_language l on l.oid = p.prolang
  where t.oid >= 16384 and l.lanname <> 'internal'
    and not (l.lanname = 'c' and exists (select from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'))
  union
  select m.whole from own o join made m on m.part = o.typ
),
coded as materialized (select coalesce(array_agg(o.typ), '{}') as types from own o),
-- Down from a column's type with code to the first one without: from domains to what they are based on, from arrays to
-- elements.
below (typ, at, modifier, arrays) as (
  select u.typ, u.typ, -1, 0 from (select distinct a.atttypid as typ from pg_catalog.pg_attribute a
    where a.attnum > 0 and not a.attisdropped and a.atttypid >= 16384) u
  cross join coded where u.typ = any (coded.types)
  union all
  select b.typ, coalesce(e.oid, t.typbasetype), case when e.oid is null then t.typtypmod else b.modifier end,
    b.arrays + case when e.oid is null then 0 else 1 end
  from below b
  cross join coded
  join pg_catalog.pg_type t on t.oid = b.at
  left join pg_catalog.pg_type e on e.oid = t.typelem and e.typarray = t.oid
  where b.at = any (coded.types) and (e.oid is not null or t.typtype = 'd')
),
-- Of anything else that has code, and of arrays in arrays, text.
handed as (
  select b.typ, pg_catalog.format_type(b.at, b.modifier) || repeat('[]', b.arrays) as text from below b
  cross join coded
  join pg_catalog.pg_type t on t.oid = b.at
  where b.at <> all (coded.types) and (b.arrays = 0 or b.arrays = 1 and t.typcategory <> 'A')
),
-- PostgreSQL 13 and 14 write down at the column what later ones write down at its expression.
drawn (relation, number, source) as (
  select a.attrelid, a.attnum, d.refobjsubid from pg_catalog.pg_attribute a
  join pg_catalog.pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum
  join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = a.attrelid
    and d.refobjsubid not in (0, a.attnum) and (
      (d.classid = 'pg_catalog.pg_attrdef'::regclass and d.objid = f.oid)
      or (d.classid = 'pg_catalog.pg_class'::regclass and d.objid = a.attrelid and d.objsubid = a.attnum))
  where a.attgenerated <> ''
),
sources as (
  select d.relation, d.number, json_agg(distinct a.attname::text) as names from drawn d
  join pg_catalog.pg_attribute a on a.attrelid = d.relation and a.attnum = d.source group by 1, 2
)
select a.attrelid::text, json_agg(json_build_array(a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
    case when a.attgenerated <> '' then 1 else 0 end
      + case when o.typ is not null then 4 else 0 end
      + case when a.attnotnull then 8 else 0 end
      + case when a.attgenerated = '' and (a.atthasdef or a.attidentity <> '' or t.typdefault is not null) then 2 else 0 end, case when o.typ is null then b.text else coalesce(h.text, 'text') end, s.names) order by a.attnum)::text
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_type t on t.oid = a.atttypid
left join base b on b.domain = a.atttypid
left join own o on o.typ = a.atttypid
left join handed h on h.typ = o.typ
left join sources s on s.relation = a.attrelid and s.number = a.attnum
where c.relkind in ('r','v','m','f','p','S') and a.attnum > 0 and not a.attisdropped
  and (n.nspname not in ('pg_catalog','information_schema') and n.nspname !~ '^pg_(toast|temp)'
    -- Those of which a caller reads a part.
    or n.nspname = 'pg_catalog' and c.relname in (
      'pg_aggregate','pg_attrdef','pg_attribute','pg_class','pg_constraint','pg_cursors','pg_db_role_setting',
      'pg_description','pg_extension','pg_foreign_server','pg_foreign_table','pg_index','pg_indexes',
      'pg_largeobject_metadata','pg_locks','pg_matviews','pg_partitioned_table','pg_policies','pg_policy',
      'pg_prepared_statements','pg_proc','pg_publication_rel',
      'pg_publication_tables','pg_rewrite','pg_roles','pg_rules','pg_sequences','pg_settings',
      'pg_stat_activity','pg_stat_all_indexes','pg_stat_all_tables','pg_stat_database','pg_stat_sys_indexes',
      'pg_stat_sys_tables','pg_stat_user_indexes','pg_stat_user_tables','pg_statio_all_indexes',
      'pg_statio_all_tables','pg_statio_user_indexes','pg_statio_user_tables','pg_statistic_ext',
      'pg_stats','pg_stats_ext','pg_stats_ext_exprs',
      'pg_subscription','pg_subscription_rel','pg_trigger','pg_ts_dict','pg_type','pg_user',
      'pg_user_mappings','pg_views')
    or n.nspname = 'information_schema' and c.relname in (
      'check_constraints','columns','domains','parameters','routines','triggers','views'))
group by a.attrelid order by a.attrelid
