-- What a write can be refused for: p primary key, u unique or exclusion index, c check, k partition key, f foreign key; and
-- i what an UPDATE of its fifth cell's columns is judged by (an index, or the row, where it may fail), a what every UPDATE is
-- judged by (what rows may violate already, or settings make another), m what a row meets that an UPDATE brings into a partition, and did not meet above.
-- s names columns whose defaults draw from a sequence from which those of another relation do, too.
-- Columns as a JSON array; an expression over a whole row depends on all of them. The last cell says of f that it
-- cascades, of p and u that a NULL may conflict.
with recursive own as (
  select c.oid, c.relkind, c.relispartition as part, current_setting('block_size')::int as page
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r','p','m','f') and n.nspname not in ('pg_catalog','information_schema')
    and n.nspname !~ '^pg_(toast|temp)'
),
-- The most bytes that a value may take: in an index; and in a row, where a long one is a pointer of at most 24 bytes.
sizes (relation, part, page, number, varies, nullable, inside, stored) as materialized (
  select o.oid, o.part, o.page, a.attnum, t.typlen < 0, not a.attnotnull, w.most + 7, case
    when t.typlen < 0 and a.attstorage <> 'p' then 24
    else w.most + case a.attalign when 'd' then 7 when 'i' then 3 when 's' then 1 else 0 end end
  from own o join pg_catalog.pg_attribute a on a.attrelid = o.oid and a.attnum > 0 and not a.attisdropped
  join pg_catalog.pg_type t on t.oid = a.atttypid
  cross join lateral (select case when t.typlen > 0 then t.typlen
    when a.atttypmod < 4 then 1000000
    when t.oid in ('varchar'::regtype, 'bpchar'::regtype) then 4 * a.atttypmod
    when t.oid = 'numeric'::regtype then 16 + (((a.atttypmod - 4) >> 16) & 65535)
    else 1000000 end) w (most)
),
large_rows (relation, part) as (
  select s.relation, s.part from sizes s group by 1, 2, s.page having sum(s.stored) > s.page - 256
),
-- Functions that say that they are immutable, and compute by a setting of the session: between two instants (timezone), a name in
-- quotes (quote_all_identifiers), hstore of a row and a row of it (datestyle).
moved (oid) as materialized (
  select p.oid from pg_catalog.pg_proc p
  where p.oid in ('pg_catalog.age(timestamptz,timestamptz)'::regprocedure, 'pg_catalog.quote_ident(text)'::regprocedure)
    or p.probin is not null and p.prosrc in ('hstore_from_record', 'hstore_populate_record')
),
-- Expressions that PostgreSQL takes for immutable, and that settings of a session change all the same (extra_float_digits,
-- bytea_output): they make text of fractions, figures or bytes, or of what is none of the server's own types.
written (of_index, object, tree) as (
  select true, i.indexrelid, coalesce(i.indexprs::text, '') || coalesce(i.indpred::text, '')
  from own o join pg_catalog.pg_index i on i.indrelid = o.oid where i.indexprs is not null or i.indpred is not null
  union all
  select false, f.oid, f.adbin::text
  from own o join pg_catalog.pg_attribute a on a.attrelid = o.oid and a.attgenerated <> ''
  join pg_catalog.pg_attrdef f on f.adrelid = o.oid and f.adnum = a.attnum
),
loose (of_index, object) as materialized (
  select w.of_index, w.object from written w
  where w.tree ~ 'type (17|60[0-4]|628|70[01]|718|[1-9][0-9]{4,})[ }]' and (w.tree ~ '{COERCEVIAIO' or exists (
    select from regexp_matches(w.tree, ':(?:op)?funcid (\d+)', 'g') m join pg_catalog.pg_proc p on p.oid = m[1]::oid
    where p.provolatile <> 'i' or p.prorettype = 'cstring'::regtype))
    or exists (select from moved m where w.tree ~ (':(?:op)?funcid ' || m.oid || '[ }]'))
),
indexes as materialized (
  select i.indexrelid as oid, i.indrelid as relation, o.page, i.indkey::smallint[] as keys, i.indnkeyatts as keyed, c.relam as am,
    i.indisprimary as is_primary, i.indisunique or i.indisexclusion as excludes,
    i.indexprs is not null or i.indpred is not null as computed,
    coalesce(i.indexprs::text, '') || coalesce(i.indpred::text, '') ~ ':varattno 0 ' as whole,
    -- PostgreSQL 15 and later.
    case when i.indisunique and not i.indisprimary
      then coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false) else false end as equal_nulls,
    o.part and not c.relispartition as arrives,
    -- Rows may stand against it since it was made, or under settings that the session does not have.
    not i.indisvalid and i.indisready and o.relkind <> 'p'
      or exists (select from loose l where l.of_index and l.object = i.indexrelid) as broken
  from own o join pg_catalog.pg_index i on i.indrelid = o.oid join pg_catalog.pg_class c on c.oid = i.indexrelid
),
index_columns (object, relation, number, place) as materialized (
  select x.oid, x.relation, k.number, k.place
  from indexes x cross join unnest(x.keys) with ordinality k (number, place) where k.number > 0
  union all
  select x.oid, x.relation, d.refobjsubid, 1000 + d.refobjsubid
  from indexes x join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = x.oid
    and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = x.relation and d.refobjsubid > 0
  where x.computed
  union all
  select x.oid, x.relation, s.number, 1000 + s.number from indexes x join sizes s on s.relation = x.relation where x.whole
),
-- Of indexes that have several columns, or are judged alone: what may be large in an entry, and whether an entry may. Other kinds
-- than btree, hash, gist, gin and spgist keep several values in one.
measured (object, many, varying, elastic, large) as materialized (
  select x.oid, count(distinct c.number) > 1, array_agg(c.number) filter (where s.varies),
    array_agg(c.number) filter (where s.varies or s.nullable),
    bool_or(s.varies) and (x.am not in (403, 405, 783, 2742, 4000) or sum(s.inside) > x.page / 4)
  from indexes x join index_columns c on c.object = x.oid
  join sizes s on s.relation = c.relation and s.number = c.number
  where cardinality(x.keys) > 1 or x.computed or x.am = 3580 or x.arrives group by x.oid, x.am, x.page
),
-- What a check calls that may answer otherwise than when the row was written.
unsettled (check_of) as materialized (
  select k.oid from own o join pg_catalog.pg_constraint k on k.conrelid = o.oid and k.contype = 'c'
  where k.conbin::text ~ '{(COERCEVIAIO|SQLVALUEFUNCTION|NEXTVALUE|ROWCOMPARE|XML|JSON)'
  union
  select c.oid from (
    select k.oid, m[1] as what, m[2]::oid as number
    from own o join pg_catalog.pg_constraint k on k.conrelid = o.oid and k.contype = 'c'
    cross join regexp_matches(k.conbin::text, ':(funcid|opno) (\d+)', 'g') m
  ) c join (
    select 'funcid' as what, p.oid as number from pg_catalog.pg_proc p
    where p.provolatile <> 'i' or p.prorettype = 'cstring'::regtype or p.oid in (select m.oid from moved m)
    union all
    select 'opno', o.oid from pg_catalog.pg_operator o join pg_catalog.pg_proc p on p.oid = o.oprcode
      and (p.provolatile <> 'i' or p.oid in (select m.oid from moved m))
  ) p using (what, number)
),
checks (kind, oid, relation, number, place, stands, arrives) as materialized (
  select k.contype, k.oid, k.conrelid, u.number, case when 0 = any(k.conkey) then 1000 + u.number else u.place end,
    not k.convalidated or exists (select from unsettled m where m.check_of = k.oid),
    o.part and (k.coninhcount = 0 or not k.convalidated)
  from own o join pg_catalog.pg_constraint k on k.conrelid = o.oid
    and (k.contype = 'c' or k.contype in ('n','f') and not k.convalidated)
  cross join lateral (
    select n.number, n.place from unnest(k.conkey) with ordinality n (number, place) where 0 <> all(k.conkey)
    union all
    select s.number, s.number from sizes s where s.relation = o.oid and 0 = any(k.conkey)
  ) u
),
-- A relation with what inherits from it draws for itself.
up (relation, above, depth) as (
  select o.oid, o.oid, 0 from own o
  union all
  select u.relation, h.inhparent, u.depth + 1 from up u join pg_catalog.pg_inherits h on h.inhrelid = u.above where u.depth < 64
),
tops (relation, above) as materialized (
  select u.relation, u.above from up u
  where not exists (select from pg_catalog.pg_inherits h where h.inhrelid = u.above)
),
-- Also what a sequence belongs to, by which an identity draws; and a default that names one where it runs draws from any (0).
draws (relation, number, sequence) as materialized (
  select f.adrelid, f.adnum, s.oid
  from own o join pg_catalog.pg_attrdef f on f.adrelid = o.oid
  join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::regclass and d.objid = f.oid
    and d.refclassid = 'pg_catalog.pg_class'::regclass
  join pg_catalog.pg_class s on s.oid = d.refobjid and s.relkind = 'S'
  union
  select o.oid, d.refobjsubid::int2, s.oid
  from own o join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = o.oid
    and d.refobjsubid > 0 and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i')
  join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
  union
  select f.adrelid, f.adnum, 0
  from own o join pg_catalog.pg_attrdef f on f.adrelid = o.oid
  where (select count(*) from regexp_matches(f.adbin::text, ':funcid 1574[ }]', 'g')) > (
    select count(*) from pg_catalog.pg_depend d
    join pg_catalog.pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where d.classid = 'pg_catalog.pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_catalog.pg_class'::regclass)
),
found (kind, relation, object, number, place, target, key, flag) as (
  select case when x.is_primary then 'p' else 'u' end, x.relation, x.oid, c.number, c.place, 0, 0,
    x.computed or x.equal_nulls or not x.excludes and m.many
  from indexes x join index_columns c on c.object = x.oid left join measured m on m.object = x.oid
  -- An entry of a BRIN index is of values of several rows.
  where (x.excludes or x.am = 3580 and m.large) and (c.place <= x.keyed or c.place > 1000)
  union all
  select 'i', c.relation, c.object, c.number, c.place, c.relation,
    case when x.computed or c.number = any(m.varying) then c.number else 0 end, false
  from indexes x join measured m on m.object = x.oid and m.many and (x.computed or m.large)
  join index_columns c on c.object = x.oid and (x.computed or c.number = any(m.elastic))
  union all
  select 'i', s.relation, s.relation, s.number, s.number, s.relation, s.number, false
  from large_rows l join sizes s on s.relation = l.relation and (s.varies or s.nullable)
  union all
  select 'a', x.relation, x.oid, c.number, c.place, 0, 0, false
  from indexes x join index_columns c on c.object = x.oid where x.broken
  union all
  select k.kind::text, k.relation, k.oid, k.number, k.place, 0, 0, false from checks k where k.kind = 'c'
  union all
  -- Wherever the new version of a row goes, its entry is made one with those of others.
  select 'a', x.relation, x.oid, c.number, c.place, 0, 0, false
  from indexes x join measured m on m.object = x.oid and m.large join index_columns c on c.object = x.oid where x.am = 3580
  union all
  select 'a', k.relation, k.oid, k.number, k.place, 0, 0, false from checks k where k.stands
  union all
  -- A key that compares by a setting of the session: days with instants.
  select 'a', k.conrelid, k.oid, u.number, u.place, 0, 0, false
  from own o join pg_catalog.pg_constraint k on k.conrelid = o.oid and k.contype = 'f' and k.convalidated
  cross join unnest(k.conkey) with ordinality u (number, place)
  where exists (select from pg_catalog.pg_operator p join pg_catalog.pg_proc f on f.oid = p.oprcode and f.provolatile <> 'i'
    where p.oid = any(k.conpfeqop || k.conffeqop))
  union all
  select k.contype::text, k.conrelid, k.oid, u.number, u.place, k.confrelid, u.key,
    k.confupdtype not in ('a','r') or k.confdeltype not in ('a','r')
  from own o join pg_catalog.pg_constraint k on k.conrelid = o.oid and k.contype = 'f'
  cross join unnest(k.conkey, k.confkey) with ordinality u (number, key, place)
  union all
  select 'k', o.oid, o.oid, d.objsubid, d.objsubid, 0, 0, false
  from own o join pg_catalog.pg_depend d on o.relkind = 'p' and d.classid = 'pg_catalog.pg_class'::regclass
    and d.objid = o.oid and d.objsubid > 0 and d.refclassid = 'pg_catalog.pg_class'::regclass
    and d.refobjid = o.oid and d.refobjsubid = 0
  union all
  select distinct 's', a.relation, b.relation, a.number, a.number, b.relation, 0, false
  from draws a join draws b on (b.sequence = a.sequence or 0 in (a.sequence, b.sequence)) and b.relation <> a.relation
  where not exists (select from tops t join tops u on u.above = t.above where t.relation = a.relation and u.relation = b.relation)
  union all
  select 'm', m.relation, 0, m.number, m.number, 0, 0, false from (
    select k.relation, k.number from checks k where k.arrives
    union
    select x.relation, c.number from indexes x join measured m on m.object = x.oid and (x.computed or m.large)
    join index_columns c on c.object = x.oid where x.arrives
    union
    select s.relation, s.number from large_rows l join sizes s on s.relation = l.relation where l.part
    union
    select o.oid, a.attnum
    from own o join pg_catalog.pg_inherits h on h.inhrelid = o.oid
    join pg_catalog.pg_attribute a on a.attrelid = o.oid and a.attnotnull and a.attnum > 0
    join pg_catalog.pg_attribute b on b.attrelid = h.inhparent and b.attname = a.attname and not b.attnotnull
    where o.part
    union
    -- A generated column is computed anew, from the same columns in another way, or under other settings.
    select o.oid, d.refobjsubid
    from own o join pg_catalog.pg_inherits h on h.inhrelid = o.oid
    join pg_catalog.pg_attribute a on a.attrelid = o.oid and a.attgenerated <> ''
    join pg_catalog.pg_attribute b on b.attrelid = h.inhparent and b.attname = a.attname
    join pg_catalog.pg_attrdef f on f.adrelid = o.oid and f.adnum = a.attnum
    left join pg_catalog.pg_attrdef g on g.adrelid = h.inhparent and g.adnum = b.attnum
    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = o.oid
      and d.refobjsubid not in (0, a.attnum) and (
        (d.classid = 'pg_catalog.pg_attrdef'::regclass and d.objid = f.oid)
        or (d.classid = 'pg_catalog.pg_class'::regclass and d.objid = o.oid and d.objsubid = a.attnum))
    where o.part and (exists (select from loose l where not l.of_index and l.object = f.oid)
      or pg_catalog.pg_get_expr(f.adbin, o.oid) is distinct from pg_catalog.pg_get_expr(g.adbin, h.inhparent))
  ) m
)
select f.kind, f.relation::text, json_agg(a.attname::text order by f.place)::text, max(f.target)::text,
  coalesce(json_agg(t.attname::text order by f.place) filter (where t.attname is not null), '[]')::text,
  bool_or(f.flag)::text
from found f
join pg_catalog.pg_attribute a on a.attrelid = f.relation and a.attnum = f.number
left join pg_catalog.pg_attribute t on f.target <> 0 and t.attrelid = f.target and t.attnum = f.key
group by f.kind, f.relation, f.object order by f.relation, f.kind, f.object
