-- What SQLsmith is shown, in a database of its own: what would be refused anyway is not there, so that its statements reach
-- the rewriting. It asks for functions, relations and operators without a condition, and has no options for it.

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_stat_statements, dblink CASCADE;
DO $$
DECLARE thing record;
BEGIN
  -- Functions of the target's own, and what is built on them: triggers, views, columns, operators.
  FOR thing IN SELECT oid::regprocedure AS name FROM pg_catalog.pg_proc WHERE pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) LOOP
    BEGIN
      EXECUTE format('DROP ROUTINE IF EXISTS %s CASCADE', thing.name);
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
  -- What has partitions, children or row security by what is hidden, has types of the target's own, or names that could be functions'.
  FOR thing IN
    SELECT DISTINCT attrelid AS id, relkind FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class ON pg_class.oid = attrelid
    WHERE relkind IN ('r', 'p', 'v') AND relnamespace IN ('public'::regnamespace, 'more'::regnamespace)
      AND (relname ~ '^(born|by_birth|split|branch|fenced|v_xml|v_next|moved|shifted|loose_moved|heir|yard_low|lot_low|twig_named|wave|guarded|nook_child|cove_child|foal|colt|flock_ringed|hutch_one|gauge_low|home_heir|rack_one|pen_|lair_|v_physician_kept)' OR attname IN ('json_value', 'system_user') OR (attnum > 0 AND NOT attisdropped AND atttypid >= 16384))
  LOOP
    -- It may have gone with another one.
    IF EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = thing.id) THEN
      EXECUTE format('DROP %s %s CASCADE', CASE thing.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, thing.id::regclass);
    END IF;
  END LOOP;
END $$;

CREATE SCHEMA smith;
-- SQLsmith reads `pg_proc` by the search path.
CREATE VIEW smith.pg_proc AS
SELECT p.* FROM pg_catalog.pg_proc p
WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind <> 'p'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc o WHERE o.proname = p.proname AND o.pronamespace = p.pronamespace AND o.provolatile = 'v')
  AND proname !~ '^(pg_|lo_|lowrite|loread|txid_|inet_|binary_upgrade_|ts_stat|ts_rewrite|brin_)' AND proname !~ '_to_xml'
  -- Casts to these are not written out as they are read, and values of pseudo-types cannot be made.
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_type t
    WHERE t.oid IN (SELECT unnest(p.proargtypes) UNION ALL SELECT p.prorettype) AND (t.typtype = 'p' AND t.typname <> 'void' OR t.typname IN ('bpchar', 'char', '_bpchar', '_char'))
  )
  AND proname NOT IN ('current_setting', 'set_config', 'current_query', 'row_security_active', 'icu_unicode_version', 'nextval', 'currval', 'lastval')
  -- What differs from one moment to the next.
  AND proname !~ '^(now|(statement|transaction)_timestamp|timeofday|age)$';

-- And relations by their names: those that are not listed, and this schema, are not there.
ALTER VIEW information_schema.tables RENAME TO all_tables;
CREATE VIEW information_schema.tables AS
SELECT * FROM information_schema.all_tables
WHERE table_schema NOT IN ('smith', 'pg_toast')
  AND (table_schema <> 'pg_catalog' OR table_name !~ '^pg_(stat|statio|largeobject|authid|shadow|subscription|user_mapping|file_settings|hba|ident|locks|prepared|cursors|settings|shmem|backend|config|replication|timezone_abbrevs|available|ts_parser|ts_config_map|ts_dict|ts_template|foreign|group|roles|user|seclabel|shseclabel|shdepend|db_role|parameter_acl|transform|sequences|stats|statistic)')
  AND (table_schema <> 'information_schema' OR table_name !~ 'foreign|user_mapping|all_tables');

-- Operators too: their table is read under its full name.
SET allow_system_table_mods = on;
DELETE FROM pg_catalog.pg_operator
WHERE oprleft IN (SELECT oid FROM pg_catalog.pg_type WHERE typtype = 'p' OR typname IN ('bpchar', 'char'))
  OR oprright IN (SELECT oid FROM pg_catalog.pg_type WHERE typtype = 'p' OR typname IN ('bpchar', 'char'));
