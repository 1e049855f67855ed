-- The views of the floor: what each stands for, by its comment, and who may read it. Only what a role owns that nobody can
-- be, and that owns the schema, too: others' views are none of ours.
select c.relname::text, coalesce(d.description, ''),
  coalesce(json_agg(distinct r.rolname::text) filter (where r.rolname is not null), '[]')::text
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspowner = c.relowner
join pg_catalog.pg_roles o on o.oid = c.relowner and not o.rolcanlogin
left join pg_catalog.pg_description d on d.classoid = 'pg_catalog.pg_class'::regclass and d.objoid = c.oid and d.objsubid = 0
left join lateral pg_catalog.aclexplode(c.relacl) a on a.privilege_type = 'SELECT' and a.grantee <> c.relowner
left join pg_catalog.pg_roles r on r.oid = a.grantee
where n.nspname = 'chaperone_floor' and c.relkind = 'v' and c.reloptions = array['security_barrier=true']
group by c.oid, c.relname, d.description order by c.relname
