select w.who, w.what from (
  select %OWNER% as who, 'relation ' || c.oid::regclass::text as what from inside c
   where c.relkind <> 'i' and not (c.relname in (%CALLERS%, %KEYS%) and c.relkind = 'r') and not (c.relname = %CALLER% and c.relkind = 'v')
     and not (c.relkind = 'v' and (c.relname in (%NAMES%)
       or (pg_get_userbyid(c.relowner) = %OWNER% and c.reloptions = array['security_barrier=true'])))
  union all
  select %OWNER%, 'function ' || p.oid::regprocedure::text from pg_proc p join place on place.oid = p.pronamespace
  union all
  select %OWNER%, 'operator ' || o.oid::regoperator::text from pg_operator o join place on place.oid = o.oprnamespace
  union all
  select %OWNER%, 'type ' || t.oid::regtype::text from pg_type t join place on place.oid = t.typnamespace
   where t.typrelid = 0 and t.typcategory <> 'A'
  union all
  select %OWNER%, 'trigger ' || t.tgname || ' of ' || c.oid::regclass::text from pg_trigger t join inside c on c.oid = t.tgrelid
   where not t.tgisinternal
  union all
  select %OWNER%, 'rule ' || r.rulename || ' of ' || c.oid::regclass::text from pg_rewrite r join inside c on c.oid = r.ev_class
   where r.rulename <> '_RETURN'
  union all
  select %OWNER%, 'row security of ' || c.oid::regclass::text from inside c
   where c.relrowsecurity or c.relforcerowsecurity or exists (select from pg_policy p where p.polrelid = c.oid)
  union all
  select %OWNER%, 'relation ' || i.inhrelid::regclass::text || ' in ' || i.inhparent::regclass::text from pg_inherits i
    join inside c on c.oid in (i.inhrelid, i.inhparent) where c.relkind <> 'i'
  union all
  select %OWNER%, 'constraint ' || k.conname || ' of ' || c.oid::regclass::text from pg_constraint k join inside c on c.oid = k.conrelid
   where k.contype <> 'n' and pg_get_constraintdef(k.oid) <> %KEY%
  union all
  select %OWNER%, 'index ' || i.indexrelid::regclass::text from pg_index i join inside c on c.oid = i.indrelid
   where not exists (select from pg_constraint k where k.conindid = i.indexrelid)
  union all
  select r.rolname::text, 'default privileges in schema ' || %SCHEMA% from pg_default_acl d join place on place.oid = d.defaclnamespace
    join roles r on r.oid = d.defaclrole
  union all
  select r.rolname::text, 'setting ' || split_part(s.said, '=', 1) from said s join roles r on r.oid = s.setrole
   where r.rolname in (%OWNER%, %TELLER%)
      or (r.rolname in (%LOGINS%) and (s.said like 'role=%' or (s.said like 'search_path=%' and s.said like '%pg_catalog%')))
  union all
  select %OWNER%, 'setting search_path of the database' from said s where s.setrole = 0
     and s.said like 'search_path=%' and s.said like '%pg_catalog%'
  union all
  select %OWNER%, 'select on ' || n.nspname || '.' || c.relname || '.' || a.attname
    from roles o, outside c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
   where o.rolname = %OWNER% and a.attnum > 0 and not a.attisdropped and has_column_privilege(o.oid, c.oid, a.attnum, 'SELECT')
     and not has_column_privilege('public', c.oid, a.attnum, 'SELECT') and not exists (select from read_by_views d
       where d.refobjid = c.oid and d.refobjsubid = a.attnum)
  union all
  select o.rolname::text, v.verb || ' on ' || n.nspname || '.' || c.relname
    from roles o, (values ('select'), ('insert'), ('update'), ('delete'), ('truncate')) v (verb), outside c
    join pg_namespace n on n.oid = c.relnamespace
   where case when v.verb in ('delete', 'truncate') then o.rolname in (%OWNER%, %TELLER%)
                and has_table_privilege(o.oid, c.oid, v.verb) and not has_table_privilege('public', c.oid, v.verb)
         else (o.rolname = %TELLER% or (o.rolname = %OWNER% and v.verb = 'insert'))
                and has_any_column_privilege(o.oid, c.oid, v.verb) and not has_any_column_privilege('public', c.oid, v.verb) end
) w
