-- Where both twins live.
\set ON_ERROR_STOP 1
create schema notes;
comment on schema notes is 'nobody is kept from this';

-- Views that somebody made who sees everything: who may read them sees through them what he sees himself.
create view notes.seen_bodies as select proname, prosrc from pg_proc where pronamespace = 'notes'::regnamespace;
create view notes.seen_views as select schemaname, viewname, definition from pg_views where schemaname = 'notes';
create view notes.seen_query as select c.relname, pg_get_viewdef(c.oid) as query from pg_class c
  where c.relkind = 'v' and c.relnamespace = 'notes'::regnamespace;
create view notes.seen_comments as select o.relname, obj_description(o.oid, 'pg_class') as comment from
  (select oid, relname from pg_class where relnamespace = 'notes'::regnamespace) as o;
create view notes.seen_by_number as select pg_get_viewdef(o) as query from generate_series(16384, 17500) as o;
create view notes.seen_defaults as select table_name, column_name, column_default from information_schema.columns where table_schema = 'notes';
