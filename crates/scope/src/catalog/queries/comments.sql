-- What somebody wrote about columns of the target's own, its first words. Nothing is decided by it: it is shown to whoever
-- classifies.
select a.attrelid::text, a.attname::text, left(d.description, 200)
from pg_catalog.pg_description d
join pg_catalog.pg_class c on c.oid = d.objoid and d.classoid = 'pg_catalog.pg_class'::regclass
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid
where c.relkind in ('r','v','m','f','p') and a.attnum > 0 and not a.attisdropped
  and n.nspname not in ('pg_catalog','information_schema') and n.nspname !~ '^pg_(toast|temp)'
order by 1, 2
