-- More adversarial cases, by rule (rules.toml says which rule each is about). The format is adversarial.sql's; hidden in the
-- schema `more`: people.{ssn,born,notes}, patients.label (its ssn is clear), bed.occupant, typed.ssn, booking.{low,high,span}, elder.secret and other.token with
-- what inherits them, events.secret, ruled.ssn, guarded.ssn, odd.system_user, domained.ssn, defaulted.ssn; more.events and more.shared are filtered to tenant = 't1'.
-- ---- names ----------------------------------------------------------------------------------
-- @t cte01 cte_recursive_self mask
WITH RECURSIVE patients AS (SELECT id, ssn FROM public.patients UNION ALL SELECT id + 100, ssn FROM patients WHERE id < 3) SELECT max(ssn) FROM patients;
-- @t cte02 cte_not_recursive_sees_table mask
WITH patients(id, ssn) AS (SELECT id, ssn FROM patients), other AS (SELECT ssn FROM patients) SELECT max(ssn) FROM other;
-- @t cte03 cte_shadow_in_sublink mask
SELECT (WITH plain AS (SELECT ssn AS label FROM patients LIMIT 1) SELECT label FROM plain), (SELECT max(label) FROM plain);
-- @t cte04 cte_dml_same_name mask
BEGIN; WITH patients AS (UPDATE patients SET visits = visits RETURNING *) SELECT max(ssn) FROM patients; ROLLBACK;
-- @t cte05 cte_quoted_case mask
WITH "Patients" AS (SELECT 1 AS ssn) SELECT (SELECT max(ssn) FROM patients), ssn FROM "Patients";
-- @t cte06 cte_in_union_arm mask
(WITH patients AS (SELECT 'x'::text AS ssn) SELECT ssn FROM patients) UNION ALL SELECT ssn FROM patients ORDER BY 1 LIMIT 2;
-- @t cte07 cte_mutual mask
WITH RECURSIVE a AS (SELECT max(ssn) AS s FROM patients), patients AS (SELECT s AS ssn FROM a) SELECT ssn FROM patients;
-- @t cte08 cte_search_cycle mask
WITH RECURSIVE r AS (SELECT id, ssn FROM patients WHERE id = 1 UNION ALL SELECT p.id, p.ssn FROM patients p JOIN r ON p.id = r.id + 1) SEARCH DEPTH FIRST BY ssn SET o CYCLE id SET c USING q SELECT id, ssn, o FROM r ORDER BY o LIMIT 3;
-- @t cte09 cte_materialized mask
WITH p AS MATERIALIZED (SELECT * FROM patients), q AS NOT MATERIALIZED (SELECT * FROM p) SELECT ssn FROM q ORDER BY ssn LIMIT 1;
-- @t cte10 cte_named_like_generated mask
WITH __c1 AS (SELECT ssn FROM patients), chaperone_1 AS (SELECT ssn FROM __c1) SELECT max(ssn) FROM chaperone_1;
-- @t cte11 cte_for_update mask
BEGIN; WITH patients AS (SELECT 1 AS id) SELECT p.ssn FROM patients, public.patients p WHERE p.id = patients.id FOR UPDATE OF p; ROLLBACK;
-- @t cte12 cte_in_values mask
VALUES ((WITH patients AS (SELECT ssn FROM patients) SELECT max(ssn) FROM patients)), ((SELECT min(ssn) FROM patients));
-- @t col01 three_part_column mask
SELECT public.patients.ssn, patients.name FROM public.patients WHERE public.patients.id = 1;
-- @t col02 three_part_wrong_schema infer
SELECT more.patients.label FROM public.patients, more.patients WHERE more.patients.id = public.patients.id AND public.patients.ssn < '5';
-- @t col03 same_name_two_schemas mask
SELECT public.patients.ssn, more.patients.ssn, more.patients.label FROM public.patients JOIN more.patients ON public.patients.id = more.patients.id ORDER BY 2 LIMIT 3;
-- @t col04 column_named_as_table mask
SELECT patients FROM (SELECT ssn AS patients FROM patients) patients LIMIT 2;
-- @t col05 alias_hides_table mask
SELECT plain.ssn FROM patients AS plain, plain AS patients ORDER BY 1 LIMIT 1;
-- @t col06 join_alias mask
SELECT j.ssn, j FROM (patients JOIN plain USING (id)) AS j LIMIT 1;
-- @t col07 join_using_alias mask
SELECT u.*, p.ssn FROM patients p JOIN acct a USING (id, ssn) AS u LIMIT 1;
-- @t col08 natural_join_hidden infer
SELECT count(*) FROM patients NATURAL JOIN acct;
-- @t col09 natural_join_of_hidden infer
SELECT count(*) FROM acct NATURAL JOIN acct_ref;
-- @t col10 using_hidden infer
SELECT count(*) FROM acct a JOIN acct_ref r USING (ssn);
-- @t col11 column_alias_list_partial mask
SELECT a, ssn FROM patients AS x(a, b, c) LIMIT 1;
-- @t col12 column_alias_swaps mask
SELECT diagnosis FROM patients AS x(id, mrn, name, diagnosis, dob, zip, email, ssn) LIMIT 2;
-- @t col13 subquery_alias_list mask
SELECT q.visits FROM (SELECT id, ssn FROM patients) AS q(a, visits) ORDER BY 1 LIMIT 1;
-- @t col14 correlated_outer mask
SELECT (SELECT p.ssn) FROM patients p LIMIT 1;
-- @t col15 correlated_deep infer
SELECT count(*) FROM patients p WHERE EXISTS (SELECT 1 WHERE EXISTS (SELECT 1 FROM plain WHERE p.ssn < '5'));
-- @t col16 lateral_values mask
SELECT v.x FROM patients p CROSS JOIN LATERAL (VALUES (p.ssn), (p.name), (p.dob::text)) v(x) ORDER BY 1 LIMIT 2;
-- @t col17 order_by_output_name infer
SELECT id AS ssn FROM patients p ORDER BY p.ssn LIMIT 1;
-- @t col18 group_by_output_name infer
SELECT left(ssn, 1) AS id, count(*) FROM patients GROUP BY id HAVING count(*) > 0 ORDER BY 1;
-- @t col19 positional infer
SELECT ssn, count(*) FROM patients GROUP BY 1 ORDER BY 1, 2;
-- @t pat01 path_other_schema mask
SET search_path = more, public; SELECT ssn, label FROM patients ORDER BY ssn LIMIT 1;
-- @t pat02 path_local mask
BEGIN; SET LOCAL search_path = more; SELECT label FROM patients LIMIT 1; COMMIT; SELECT ssn FROM patients LIMIT 1;
-- @t pat03 path_savepoint mask
BEGIN; SAVEPOINT a; SET search_path = more; ROLLBACK TO a; SELECT ssn FROM patients LIMIT 1; COMMIT;
-- @t pat04 path_rollback mask
BEGIN; SET search_path = more; ROLLBACK; SELECT ssn FROM patients LIMIT 1;
-- @t pat05 path_set_config mask
SELECT set_config('search_path', 'more', false); SELECT ssn FROM patients LIMIT 1; SELECT label FROM patients LIMIT 1;
-- @t pat06 path_in_same_string mask
SELECT set_config('search_path', 'more', false) IS NULL, (SELECT label FROM patients LIMIT 1);
-- @t pat07 path_user_schema deny
SET search_path = "$user", more; SELECT label FROM patients LIMIT 1;
-- @t pat08 path_catalog_last deny
SET search_path = more, public, pg_catalog; SELECT lower(1), upper('a'::varchar);
-- @t pat09 path_operator deny
SET search_path = more, pg_catalog; SELECT 1 + 1;
-- @t pat10 path_reset mask
SET search_path = more; RESET search_path; SELECT ssn FROM patients LIMIT 1;
-- @t pat11 path_discard mask
SET search_path = more; DISCARD ALL; SELECT ssn FROM patients LIMIT 1;
-- @t pat12 path_prepared mask
PREPARE q AS SELECT * FROM patients ORDER BY id LIMIT 1; SET search_path = more; EXECUTE q;
-- @t pat13 path_empty err
SET search_path = ''; SELECT ssn FROM patients;
-- @t pat14 path_unknown_schema deny
SET search_path = pg_temp_3, public; SELECT 1;
-- @t pat15 path_cursor mask
BEGIN; DECLARE c CURSOR FOR SELECT * FROM patients; SET LOCAL search_path = more; FETCH 1 FROM c; COMMIT;
-- @t pat16 path_alter_role deny
BEGIN; ALTER ROLE CURRENT_USER SET search_path = more, public; ROLLBACK; SELECT 1;
-- @t tmp01 temp_shadow_then_drop mask
CREATE TEMP TABLE patients(id int, ssn text); DROP TABLE patients; SELECT ssn FROM patients LIMIT 1;
-- @t tmp02 temp_shadow_rollback_to mask
BEGIN; SAVEPOINT s; CREATE TEMP TABLE patients(id int, ssn text); ROLLBACK TO s; SELECT ssn FROM patients LIMIT 1; COMMIT;
-- @t tmp03 temp_on_commit_drop mask
BEGIN; CREATE TEMP TABLE patients(id int, ssn text) ON COMMIT DROP; SELECT count(*) FROM patients; COMMIT; SELECT ssn FROM patients LIMIT 1;
-- @t tmp04 temp_explicit_schema mask
CREATE TABLE pg_temp.patients(id int, ssn text); SELECT pg_temp.patients.ssn FROM pg_temp.patients; SELECT ssn FROM public.patients LIMIT 1;
-- @t tmp05 select_into_temp mask
SELECT id, ssn INTO TEMP t FROM patients; SELECT ssn FROM t ORDER BY id LIMIT 1;
-- @t tmp06 select_into_plain deny
BEGIN; SELECT id, ssn INTO stolen FROM patients; SELECT ssn FROM stolen LIMIT 1; ROLLBACK;
-- @t tmp07 ctas_plain deny
BEGIN; CREATE TABLE stolen AS SELECT * FROM patients; SELECT ssn FROM stolen LIMIT 1; ROLLBACK;
-- @t tmp08 ctas_execute mask
PREPARE q AS SELECT id, ssn FROM patients; CREATE TEMP TABLE t AS EXECUTE q; SELECT ssn FROM t ORDER BY id LIMIT 1;
-- @t tmp09 temp_like deny
CREATE TEMP TABLE t (LIKE patients INCLUDING ALL); INSERT INTO t SELECT * FROM patients; SELECT ssn FROM t ORDER BY id LIMIT 1;
-- @t tmp10 temp_inherits deny
CREATE TEMP TABLE t (more int) INHERITS (patients); SELECT ssn FROM t; SELECT ssn FROM patients LIMIT 1;
-- @t tmp11 temp_references infer
CREATE TEMP TABLE t (ssn text REFERENCES acct(ssn)); INSERT INTO t VALUES ('123-45-6789');
-- @t tmp12 temp_index_expr deny
CREATE TEMP TABLE t AS SELECT * FROM patients; CREATE INDEX ON t ((1 / (id - 1))); SELECT ssn FROM t LIMIT 1;
-- @t tmp13 temp_generated deny
CREATE TEMP TABLE t (id int, told text GENERATED ALWAYS AS (public.f_sql(1)) STORED); INSERT INTO t VALUES (1); SELECT * FROM t;
-- @t tmp14 temp_view_of_view mask
CREATE TEMP VIEW v AS SELECT * FROM v_pat; SELECT code FROM v LIMIT 1;
-- @t tmp15 temp_sequence_owned deny
CREATE TEMP SEQUENCE s OWNED BY NONE; SELECT setval('s', ascii(ssn)) IS NULL FROM patients WHERE id = 1; SELECT nextval('s');
-- @t tmp16 temp_table_named_catalog mask
CREATE TEMP TABLE pg_class(relname text); SELECT relname FROM pg_class; SELECT count(*) > 0 FROM pg_catalog.pg_class; SELECT max(ssn) FROM patients;
-- @t tmp17 temp_type_shadow mask
CREATE TEMP TABLE text(ssn int); SELECT ssn::text FROM patients LIMIT 1;
-- @t tmp18 temp_rename mask
CREATE TEMP TABLE t(id int, ssn text); ALTER TABLE t RENAME TO patients; SELECT count(*) FROM patients; DROP TABLE pg_temp.patients; SELECT ssn FROM patients LIMIT 1;
-- @t tmp19 temp_fill_by_update mask
CREATE TEMP TABLE t(id int, s text); INSERT INTO t SELECT id, NULL FROM patients; UPDATE t SET s = p.ssn FROM patients p WHERE p.id = t.id; SELECT s FROM t ORDER BY id LIMIT 1;
-- ---- what may be named ----------------------------------------------------------------------
-- @t rel01 matview deny
SELECT s FROM mv_pat ORDER BY id LIMIT 1;
-- @t rel02 toast deny
SELECT count(*) FROM pg_toast.pg_toast_2619;
-- @t rel03 index_as_relation deny
SELECT * FROM patients_md5;
-- @t rel04 sequence_relation deny
SELECT * FROM plain_seq;
-- @t rel05 composite_as_relation deny
SELECT * FROM more.person;
-- @t rel06 regclass_by_number mask
SELECT (SELECT string_agg(ssn, ',') FROM patients), 'patients'::regclass::oid > 0;
-- @t rel07 table_command mask
TABLE more.people ORDER BY id LIMIT 1;
-- @t rel08 extension_view deny
SELECT * FROM pg_stat_statements_info;
-- @t rel09 new_column_between deny
BEGIN; ALTER TABLE patients ADD COLUMN copy text; UPDATE patients SET copy = ssn; SELECT copy FROM patients LIMIT 1; ROLLBACK;
-- @t inh01 grandchild mask
SELECT secret, token FROM more.younger ORDER BY id LIMIT 1;
-- @t inh02 middle mask
SELECT * FROM more.middle ORDER BY id LIMIT 1;
-- @t inh03 parent_with_children infer
SELECT count(*) FROM more.elder WHERE secret < '8';
-- @t inh04 only_parent mask
SELECT secret FROM ONLY more.elder ORDER BY id LIMIT 1;
-- @t inh05 star_suffix mask
SELECT secret FROM more.elder * ORDER BY id LIMIT 1;
-- @t inh06 partition_of_partition mask
SELECT secret FROM more.events_t1_low ORDER BY id LIMIT 1;
-- @t inh07 attached_other_order mask
SELECT * FROM more.events_t1_high ORDER BY id LIMIT 1;
-- @t inh08 partition_hides_rows mask
SELECT count(*), sum(amount) FROM more.events_rest;
-- @t inh09 partition_root_rows mask
SELECT count(*), max(amount), max(secret) FROM more.events;
-- @t inh10 child_to_parent_cast mask
SELECT (y::more.elder).secret FROM more.younger y LIMIT 1;
-- @t inh11 update_child_of_filtered infer
BEGIN; UPDATE more.events_rest SET amount = 1; ROLLBACK;
-- @t inh12 insert_through_root infer
BEGIN; INSERT INTO more.events(id, tenant, amount) VALUES (2000, 't2', 1) RETURNING *; ROLLBACK;
-- @t inh13 move_between_partitions infer
BEGIN; UPDATE more.events SET tenant = 't2' WHERE id = 1 RETURNING tenant; ROLLBACK;
-- @t gen01 generated_from_hidden mask
SELECT span FROM more.booking ORDER BY id LIMIT 3;
-- @t gen02 generated_predicate infer
SELECT count(*) FROM more.booking WHERE span > 35;
-- @t gen03 generated_returning infer
BEGIN; UPDATE more.booking SET room = 1 WHERE id = 1 RETURNING span; ROLLBACK;
-- @t vie01 view_join mask
SELECT s, n FROM more.v_join ORDER BY id LIMIT 2;
-- @t vie02 view_predicate infer
SELECT count(*) FROM more.v_where;
-- @t vie03 view_order infer
SELECT id FROM more.v_order LIMIT 1;
-- @t vie04 view_function deny
SELECT v FROM more.v_func;
-- @t vie05 view_star mask
SELECT ssn, name FROM more.v_star ORDER BY id LIMIT 1;
-- @t vie06 view_alias_list mask
SELECT b FROM more.v_alias ORDER BY a LIMIT 1;
-- @t vie07 view_aggregate mask
SELECT lowest FROM more.v_agg ORDER BY diagnosis;
-- @t vie08 view_group_by_key mask
SELECT name, visits, n FROM more.v_pk ORDER BY id LIMIT 2;
-- @t vie09 view_whole_row mask
SELECT (row).ssn, row FROM more.v_whole LIMIT 1;
-- @t vie10 view_of_other_rows mask
SELECT count(*), sum(amount) FROM more.v_barrier;
-- @t vie11 view_update infer
BEGIN; UPDATE more.v_updatable SET visits = 9 WHERE ssn < '5'; ROLLBACK;
-- @t vie12 view_insert infer
BEGIN; INSERT INTO more.v_updatable(id, visits, ssn) VALUES (1, 9, 'x'); ROLLBACK;
-- @t vie13 view_names_swapped mask
SELECT id FROM more.v_same ORDER BY ssn LIMIT 2;
-- @t vie14 view_recursive mask
SELECT s FROM more.v_rec;
-- @t vie15 view_delete_returning infer
BEGIN; DELETE FROM more.v_updatable WHERE id = 5 RETURNING *; ROLLBACK;
-- @t vie16 view_to_jsonb mask
SELECT to_jsonb(v) FROM more.v_star v ORDER BY id LIMIT 1;
-- @t vie17 view_system_columns infer
SELECT xmin::text, ctid FROM more.guarded LIMIT 1;
-- @t vie18 catalog_view_over_tables mask
SELECT * FROM pg_catalog.pg_tables WHERE schemaname = 'more' ORDER BY tablename LIMIT 2;
-- ---- functions, operators, types -------------------------------------------------------------
-- @t att01 field_calls_builtin mask
SELECT (p).to_jsonb, p.row_to_json FROM patients p LIMIT 1;
-- @t att02 field_calls_setof deny
SELECT (e).ssn_of FROM encounters e LIMIT 1;
-- @t att03 field_on_subselect deny
SELECT ((SELECT l FROM plain l LIMIT 1)).leak;
-- @t att04 field_chain mask
SELECT (b.occupant).ssn, ((b).occupant).name FROM more.bed b LIMIT 1;
-- @t att05 field_star mask
SELECT (b.occupant).* FROM more.bed b LIMIT 1;
-- @t att06 function_style_column mask
SELECT ssn(patients), public.patients.name, visits(patients) FROM patients LIMIT 1;
-- @t att07 function_style_setof deny
SELECT text(p), name(p), bpchar(p.ssn) FROM patients p LIMIT 1;
-- @t att08 composite_array mask
SELECT (array_agg(p))[1].ssn FROM patients p;
-- @t att09 composite_values mask
SELECT (v.r).ssn FROM (VALUES ((SELECT p FROM patients p WHERE id = 1))) v(r);
-- @t att10 row_compare infer
SELECT count(*) FROM patients p WHERE ROW(p.ssn, p.name) > ROW('5', 'a');
-- @t att11 record_compare infer
SELECT count(*) FROM patients a JOIN patients b ON a < b WHERE a.id = 1;
-- @t att12 record_eq_image infer
SELECT count(*) FROM patients a JOIN patients b ON a *= b;
-- @t att13 whole_row_is_null infer
SELECT count(*) FROM patients p WHERE p IS NOT NULL;
-- @t att14 whole_row_distinct infer
SELECT count(*) FROM (SELECT DISTINCT p FROM more.people p) q;
-- @t att15 whole_row_hash infer
SELECT hash_record(p), hash_record_extended(p, 1) FROM patients p ORDER BY id LIMIT 1;
-- @t att16 whole_row_cast mask
SELECT p::text, CAST(p AS public.patients) FROM patients p ORDER BY id LIMIT 1;
-- @t att17 composite_concat mask
SELECT p || '', concat(p), format('%s', p) FROM patients p ORDER BY id LIMIT 1;
-- @t att18 composite_in infer
SELECT count(*) FROM patients p WHERE p IN (SELECT q FROM patients q WHERE q.ssn < '5');
-- @t fun01 query_to_xml_variants deny
SELECT table_to_xml('patients', true, false, ''), schema_to_xml('public', true, false, ''), database_to_xml(true, false, '');
-- @t fun02 query_to_xmlschema deny
SELECT query_to_xml_and_xmlschema('select ssn from patients', true, false, '');
-- @t fun03 ts_stat_variadic deny
SELECT * FROM ts_stat('select to_tsvector(ssn) from patients', 'a');
-- @t fun04 ts_rewrite deny
SELECT ts_rewrite('a'::tsquery, 'select ''a''::tsquery, plainto_tsquery(''simple'', name) from patients limit 1');
-- @t fun05 crosstab deny
SELECT * FROM crosstab('select id::text, id::text, ssn from patients order by 1') AS c(a text, b text);
-- @t fun06 connectby deny
SELECT * FROM connectby('patients', 'ssn', 'mrn', 'x', 0) AS t(a text, b text, c int);
-- @t fun07 dblink_exec deny
SELECT dblink_connect('c', 'dbname=clinic'), dblink_exec('c', 'create table x as select * from patients');
-- @t fun08 read_directory deny
SELECT pg_ls_dir('base'), pg_stat_file('base'), pg_read_file('PG_VERSION');
-- @t fun09 large_object deny
SELECT lo_from_bytea(0, convert_to(ssn, 'UTF8')) > 0 FROM patients WHERE id = 1; SELECT lo_get(max(loid)) FROM pg_largeobject;
-- @t fun10 lo_import deny
SELECT lo_import('/etc/hostname');
-- @t fun11 settings_variants deny
SELECT set_config('work_mem', (SELECT ascii(ssn)::text || 'MB' FROM patients WHERE id = 1), false); SHOW work_mem;
-- @t fun12 current_setting_other deny
SELECT current_setting('data_directory'), current_setting('hba_file', true);
-- @t fun13 custom_setting deny
SET my.x = 'y'; SELECT current_setting('my.x'), set_config('my.z', (SELECT max(ssn) FROM patients), false); SHOW my.z;
-- @t fun14 advisory_variants deny
SELECT pg_try_advisory_lock(ascii(ssn)), pg_advisory_xact_lock(ascii(ssn), 1) FROM patients WHERE id = 1;
-- @t fun15 notify_statement deny
LISTEN x; NOTIFY x, 'y'; SELECT pg_notify('x', max(ssn)) FROM patients; SELECT pg_notification_queue_usage();
-- @t fun16 nextval_in_predicate deny
SELECT count(nextval('plain_seq')) FROM patients WHERE ssn < '5'; SELECT currval('plain_seq') > 0;
-- @t fun17 sleep_conditional deny
SELECT pg_sleep(0.01) IS NULL FROM patients WHERE ssn < '2' LIMIT 1;
-- @t fun18 sizes deny
SELECT pg_total_relation_size('patients'), pg_relation_size('patients'), pg_indexes_size('patients'), pg_table_size('more.people');
-- @t fun19 column_size infer
SELECT sum(pg_column_size(p)), sum(pg_column_size(p.ssn)), max(pg_column_compression(p.meta)) FROM patients p;
-- @t fun20 database_size deny
SELECT pg_database_size(current_database()), pg_tablespace_size('pg_default');
-- @t fun21 relation_filenode deny
SELECT pg_relation_filenode('patients'), pg_relation_filepath('patients'), pg_filenode_relation(0, 1);
-- @t fun22 wal_position infer
SELECT pg_current_wal_lsn(), pg_current_wal_insert_lsn();
-- @t fun23 snapshot deny
SELECT pg_export_snapshot() IS NULL, txid_current_snapshot() IS NULL;
-- @t fun24 stat_functions deny
SELECT pg_stat_get_numscans('patients'::regclass), pg_stat_get_tuples_inserted('patients'::regclass), pg_stat_get_dead_tuples('more.shared'::regclass);
-- @t fun25 backend_functions deny
SELECT pg_stat_get_backend_activity(1), pg_blocking_pids(1), pg_stat_get_activity(NULL);
-- @t fun26 page_functions deny
SELECT heap_page_items(get_raw_page('patients', 0)); SELECT bt_page_items('acct_ssn_key', 1);
-- @t fun27 constraintdef mask
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'more.people'::regclass ORDER BY 1;
-- @t fun28 mcv_items deny
SELECT m.* FROM pg_statistic_ext_data d, pg_mcv_list_items(d.stxdmcv) m;
-- @t fun29 replication deny
SELECT pg_create_logical_replication_slot('s', 'test_decoding'), pg_logical_slot_peek_changes('s', NULL, NULL);
-- @t fun30 user_function_in_from deny
SELECT ssn FROM more.rows_of() LIMIT 1;
-- @t fun31 user_function_rows_from deny
SELECT * FROM ROWS FROM (more.rows_of(), generate_series(1, 2)) LIMIT 1;
-- @t fun32 user_aggregate deny
SELECT more.gather(diagnosis) FROM patients;
-- @t fun33 user_aggregate_window deny
SELECT more.gather('x') OVER () FROM plain;
-- @t fun34 user_overload_of_builtin deny
SELECT more.lower(1), public.upper('x'::varchar);
-- @t fun35 builtin_by_cast_of_argument mask
SELECT upper(diagnosis::varchar) FROM patients ORDER BY id LIMIT 1;
-- @t fun36 procedure deny
CALL more.tell();
-- @t fun37 function_by_regproc deny
SELECT 'f_sql'::regproc, 'f_sql(int)'::regprocedure, pg_get_function_result('f_sql'::regproc);
-- @t fun38 inline_source deny
SELECT prosrc FROM pg_proc WHERE proname = 'f_sql';
-- @t fun39 error_context deny
SELECT f_chk(ssn) FROM patients WHERE id = 1;
-- @t fun40 fuzzy_distance mask
SELECT id, length(ssn) + ascii(ssn), strpos(ssn, '5'), regexp_matches(ssn, '(\d)'), ssn SIMILAR TO '1%' FROM patients ORDER BY id LIMIT 2;
-- @t fun41 to_regclass_oracle mask
SELECT to_regclass(ssn), to_regtype(name), to_regrole(ssn) FROM patients WHERE id = 1;
-- @t fun42 parse_oracles err
SELECT ssn::inet FROM patients WHERE id = 1; SELECT name::uuid FROM patients WHERE id = 1; SELECT ssn::regclass FROM patients WHERE id = 1; SELECT ssn::money FROM patients WHERE id = 1;
-- @t fun43 overflow_oracle infer
SELECT 2147483647 + (ssn < '5')::int FROM patients ORDER BY id LIMIT 5;
-- @t fun44 sqrt_oracle infer
SELECT sqrt(CASE WHEN ssn < '5' THEN -1 ELSE 1 END) FROM patients;
-- @t fun45 array_bound_oracle infer
SELECT array_fill(0, ARRAY[CASE WHEN ssn < '5' THEN -1 ELSE 1 END]) FROM patients LIMIT 3;
-- @t fun46 regex_oracle err
SELECT 'x' ~ ('(' || ssn) FROM patients WHERE id = 1;
-- @t fun47 format_oracle err
SELECT format(name), to_char(1, ssn) FROM patients WHERE id = 1;
-- @t fun48 generate_series_rows infer
SELECT count(*) FROM patients p, generate_series(1, ascii(p.ssn)) WHERE p.id = 1;
-- @t fun49 unnest_rows infer
SELECT count(*) FROM patients p, unnest(p.tags), regexp_split_to_table(p.ssn, '');
-- @t fun50 jsonb_rows infer
SELECT count(*) FROM patients p, jsonb_each(p.meta) j WHERE length(j.value::text) > 8;
-- @t fun51 statistics_agg infer
SELECT regr_slope(ascii(ssn), id), bit_and(ascii(ssn)), bool_or(ssn < '5'), every(ssn < '5') FROM patients;
-- @t fun52 ordered_agg infer
SELECT string_agg(id::text, ',' ORDER BY ssn), array_agg(id ORDER BY dob DESC, name) FROM patients;
-- @t fun53 hypothetical_agg infer
SELECT rank('5') WITHIN GROUP (ORDER BY ssn), cume_dist('5') WITHIN GROUP (ORDER BY ssn) FROM patients;
-- @t fun54 window_frame infer
SELECT id, count(*) OVER (ORDER BY dob RANGE BETWEEN '1 year' PRECEDING AND CURRENT ROW) FROM patients ORDER BY id;
-- @t fun55 window_partition infer
SELECT id, row_number() OVER (PARTITION BY left(ssn, 1) ORDER BY ssn), ntile(3) OVER (ORDER BY zip) FROM patients ORDER BY id;
-- @t fun56 window_groups infer
SELECT id, sum(visits) OVER w FROM patients WINDOW w AS (ORDER BY zip GROUPS 1 PRECEDING) ORDER BY id;
-- @t fun57 grouping_sets_hidden infer
SELECT count(*) FROM (SELECT 1 FROM patients GROUP BY GROUPING SETS ((zip), (left(ssn, 1)), ())) q;
-- @t fun58 distinct_hidden infer
SELECT count(*) FROM (SELECT DISTINCT zip, left(ssn, 1) FROM patients) q;
-- @t fun59 set_operations infer
SELECT count(*) FROM (SELECT ssn FROM patients INTERSECT ALL SELECT ssn FROM acct EXCEPT SELECT ssn FROM acct_ref) q;
-- @t fun60 offset_expr infer
SELECT id FROM patients ORDER BY id OFFSET (SELECT ascii(max(ssn)) - 50 FROM patients) LIMIT 1;
-- @t fun61 collate infer
SELECT id FROM patients ORDER BY name COLLATE "C", id LIMIT 1;
-- @t fun62 text_search infer
SELECT count(*) FROM encounters WHERE to_tsvector('simple', note) @@ 'seen'::tsquery; SELECT ts_rank(to_tsvector(note), 'seen') FROM encounters LIMIT 1;
-- @t fun63 xml_functions mask
SELECT xmlforest(p.ssn, p.name), xmlconcat(xmlelement(name a, p.mrn)), xpath('/a/text()', xmlelement(name a, p.ssn)) FROM patients p ORDER BY id LIMIT 1;
-- @t fun64 xmltable_lateral mask
SELECT x.v FROM patients p, xmltable('/r' PASSING xmlelement(name r, p.name) COLUMNS v text PATH '.') x ORDER BY p.id LIMIT 1;
-- @t fun65 json_build mask
SELECT json_build_object('a', ssn, 'b', p), jsonb_object_agg(id, ssn) OVER (), json_object(ARRAY[id::text, ssn]) FROM patients p WHERE ssn IS NOT NULL ORDER BY id LIMIT 1;
-- @t fun66 jsonb_set mask
SELECT jsonb_set('{}'::jsonb, '{a}', to_jsonb(p)), jsonb_insert('[]', '{0}', to_jsonb(ssn)), meta || '{}', meta - 'k', meta ? 'ssn', meta @> '{"k":"z"}' FROM patients p ORDER BY id LIMIT 1;
-- @t fun67 jsonb_subscript mask
SELECT meta['ssn'], tags[1:1], (meta)['k'] FROM patients ORDER BY id LIMIT 1;
-- @t fun68 hstore_operators mask
SELECT hstore(p) -> 'ssn', %% hstore(p), avals(hstore(p)), hstore(p) @> 'id=>1' FROM patients p ORDER BY id LIMIT 1;
-- @t fun69 pgcrypto_armor mask
SELECT armor(ssn::bytea), gen_salt('md5') IS NULL, digest(p::text, 'md5') FROM patients p ORDER BY id LIMIT 1;
-- @t fun70 variadic_any mask
SELECT num_nulls(ssn, zip), num_nonnulls(VARIADIC tags), json_build_array(VARIADIC tags) FROM patients ORDER BY id LIMIT 2;
-- @t ope01 user_operator_plus deny
SELECT 1 OPERATOR(more.+) 1;
-- @t ope02 user_operator_by_path deny
SET search_path = more, public, pg_catalog; SELECT 1 + 1, 1 @@@ 1;
-- @t ope03 operator_any deny
SELECT 1 OPERATOR(public.@@@) ANY (ARRAY[1, 2]);
-- @t ope04 order_using_operator infer
SELECT id FROM patients ORDER BY dob USING <, id USING > LIMIT 2;
-- @t ope05 qualified_builtin infer
SELECT count(*) FROM patients WHERE ssn OPERATOR(pg_catalog.<) '5' AND name OPERATOR(pg_catalog.~~) 'Z%';
-- @t ope06 between_symmetric infer
SELECT count(*) FROM patients WHERE dob BETWEEN SYMMETRIC '1980-01-01' AND '1950-01-01' AND ssn IS DISTINCT FROM name;
-- @t ope07 overlaps infer
SELECT count(*) FROM patients WHERE (dob, dob + 1) OVERLAPS ('1950-01-01'::date, '1970-01-01'::date);
-- @t ope08 array_operators infer
SELECT count(*) FROM patients WHERE tags && ARRAY['123-45-6789'] OR tags @> ARRAY['ok', ssn];
-- @t typ01 domain_cast_nested deny
SELECT '5'::more.checked, CAST(ARRAY['5'] AS more.checked[]);
-- @t typ02 domain_in_row deny
SELECT ROW('5')::more.nest, jsonb_populate_record(NULL::more.nest, '{"inside": 5}');
-- @t typ03 domain_in_temp deny
CREATE TEMP TABLE t (a more.checked); INSERT INTO t VALUES (5);
-- @t typ04 domain_record_columns deny
SELECT * FROM json_to_record('{"a": 5}') AS x(a more.checked); SELECT * FROM jsonb_to_recordset('[{"a": 5}]') AS x(a more.checked);
-- @t typ05 domain_parameter deny
PREPARE q(more.checked) AS SELECT $1; EXECUTE q(5);
-- @t typ06 domain_without_check mask
SELECT ssn, word FROM more.domained ORDER BY id LIMIT 1;
-- @t typ07 domain_name_input deny
SELECT more.checked '5';
-- @t typ08 percent_type deny
CREATE TEMP TABLE t (a more.people.ssn%TYPE, b SETOF text);
-- @t typ09 rowtype_literal mask
SELECT ('(1,a,b,c,1990-01-01,e,f,g,"{}","{x}",1)'::public.patients).ssn, NULL::public.patients;
-- @t typ10 rowtype_column mask
SELECT occupant, (occupant).ssn, occupant::text FROM more.bed ORDER BY id LIMIT 1;
-- @t typ11 typed_table mask
SELECT ssn, t FROM more.typed t ORDER BY name LIMIT 1;
-- @t typ12 regtype_output mask
SELECT id::regclass, ssn::regtype FROM patients WHERE id = 1;
-- @t typ13 interval_typmod infer
SELECT (ascii(ssn) || ' days')::interval day, ssn::varchar(3), ssn::char(2), ssn::bit(8) FROM patients WHERE id = 1;
-- @t typ14 enum_of_hidden err
SELECT ssn::mood FROM patients WHERE id = 1;
-- @t typ15 array_of_rowtype mask
SELECT (ARRAY(SELECT p FROM patients p ORDER BY id))[2].name;
-- ---- system relations, statistics, physical channels -------------------------------------------
-- @t sys01 relpages_variants infer
SELECT relname, relpages, reltuples, relallvisible FROM pg_class WHERE relnamespace IN ('public'::regnamespace, 'more'::regnamespace) ORDER BY 1;
-- @t sys02 relpages_star infer
SELECT * FROM pg_class WHERE relname IN ('orders', 'patients_pkey', 'patients_md5') ORDER BY relname;
-- @t sys03 relpages_whole_row infer
SELECT c, to_jsonb(c), c::text FROM pg_class c WHERE relname = 'shared';
-- @t sys04 relpages_predicate infer
SELECT relname FROM pg_class c WHERE relpages > 1 AND reltuples > 30 ORDER BY 1;
-- @t sys05 relpages_natural infer
SELECT count(*) FROM pg_class a JOIN pg_class b USING (relpages, reltuples) WHERE a.relname = 'patients';
-- @t sys06 relpages_order infer
SELECT relname FROM pg_class WHERE relkind = 'r' ORDER BY relpages DESC, reltuples DESC, relname LIMIT 3;
-- @t sys07 stats_views deny
SELECT most_common_vals::text, histogram_bounds::text, avg_width, n_distinct, null_frac FROM pg_stats WHERE tablename = 'patients';
-- @t sys08 stats_ext deny
SELECT * FROM pg_stats_ext; SELECT * FROM pg_statistic_ext_data;
-- @t sys09 stat_user deny
SELECT relname, n_live_tup, n_dead_tup, n_tup_ins FROM pg_stat_user_tables ORDER BY 1; SELECT * FROM pg_stat_all_indexes LIMIT 1;
-- @t sys10 statio deny
SELECT heap_blks_read, idx_blks_read FROM pg_statio_all_tables WHERE relname = 'patients';
-- @t sys11 stat_activity deny
SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid(); SELECT ssl, version, cipher, bits FROM pg_stat_ssl; SELECT count(*) FROM pg_stat_ssl WHERE pid <> pg_backend_pid();
-- @t sys12 prepared_and_cursors deny
SELECT * FROM pg_prepared_statements; SELECT * FROM pg_cursors; SELECT * FROM pg_prepared_xacts;
-- @t sys13 credentials deny
SELECT rolpassword FROM pg_authid; SELECT passwd FROM pg_shadow; SELECT umoptions FROM pg_user_mapping;
-- @t sys14 settings_views deny
SELECT name, setting, sourcefile FROM pg_settings WHERE name LIKE '%directory%'; SELECT * FROM pg_file_settings; SELECT * FROM pg_hba_file_rules;
-- @t sys15 locks deny
BEGIN; SELECT count(*) FROM patients; SELECT relation::regclass, mode FROM pg_locks WHERE pid = pg_backend_pid() ORDER BY 1, 2; ROLLBACK;
-- @t sys16 attmissing deny
SELECT attname, attmissingval FROM pg_attribute WHERE atthasmissing; SELECT a FROM pg_attribute a WHERE attrelid = 'patients'::regclass AND attnum = 1;
-- @t sys17 largeobjects deny
SELECT * FROM pg_largeobject; SELECT oid FROM pg_largeobject_metadata;
-- @t sys18 catalog_ctid infer
SELECT max(ctid), max(xmin::text) FROM pg_class;
-- @t sys19 catalog_update deny
BEGIN; UPDATE pg_class SET relpages = 0 WHERE relname = 'patients'; ROLLBACK; BEGIN; DELETE FROM pg_statistic; ROLLBACK;
-- @t sys20 indexdef mask
SELECT pg_get_indexdef('more.people_low'::regclass), pg_get_expr(indpred, indrelid) FROM pg_index WHERE indexrelid = 'more.people_low'::regclass;
-- @t sys21 info_schema mask
SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'more' ORDER BY 1, ordinal_position;
-- @t sys22 info_schema_definitions mask
SELECT view_definition FROM information_schema.views WHERE table_schema = 'more' ORDER BY 1; SELECT check_clause FROM information_schema.check_constraints ORDER BY 1 LIMIT 5;
-- @t sys23 sequences_view infer
SELECT * FROM pg_sequences; SELECT * FROM information_schema.sequences;
-- @t sys24 progress deny
SELECT * FROM pg_stat_progress_vacuum; SELECT * FROM pg_backend_memory_contexts LIMIT 1; SELECT * FROM pg_shmem_allocations LIMIT 1;
-- @t sys25 subscription deny
SELECT subconninfo FROM pg_subscription; SELECT * FROM pg_replication_slots; SELECT srvoptions FROM pg_foreign_server;
-- @t sys26 stat_database deny
SELECT tup_returned > 0, xact_commit > 0 FROM pg_stat_database WHERE datname = current_database(); SELECT * FROM pg_stat_wal; SELECT * FROM pg_stat_bgwriter;
-- @t phy01 ctid_variants infer
SELECT max(ctid), min(patients.ctid), count(DISTINCT (p.ctid)) FROM patients JOIN patients p USING (id);
-- @t phy02 xmin_xmax infer
SELECT max(xmin::text::bigint), max(cmin::text), max(xmax::text) FROM patients;
-- @t phy03 ctid_range infer
SELECT count(*) FROM patients WHERE ctid < '(1,0)';
-- @t phy04 ctid_join infer
SELECT count(*) FROM patients a JOIN orders b ON a.ctid = b.ctid;
-- @t phy05 tableoid infer
SELECT tableoid::regclass::text, count(*) FROM more.events GROUP BY 1 ORDER BY 1;
-- @t phy06 tableoid_filtered infer
SELECT count(DISTINCT tableoid) FROM more.shared;
-- @t phy07 quoted_system_columns infer
SELECT "ctid", "xmin" FROM more.people ORDER BY id LIMIT 2;
-- @t phy08 returning_system infer
BEGIN; INSERT INTO plain VALUES (5, 'x') RETURNING ctid, xmin IS NULL, tableoid; ROLLBACK;
-- @t phy09 returning_ctid_hidden infer
BEGIN; UPDATE more.people SET kin = kin WHERE id = 20 RETURNING ctid; ROLLBACK;
-- @t phy10 sample_system infer
SELECT count(*) FROM patients TABLESAMPLE SYSTEM (50) REPEATABLE (7);
-- @t phy11 sample_filtered infer
SELECT count(*) FROM more.shared TABLESAMPLE BERNOULLI (100) REPEATABLE (1);
-- @t phy12 sample_expression infer
SELECT count(*) FROM patients TABLESAMPLE BERNOULLI ((SELECT ascii(max(ssn)) FROM patients)) REPEATABLE (2);
-- @t phy13 current_of_other deny
BEGIN; DECLARE c CURSOR FOR SELECT * FROM patients FOR UPDATE; FETCH 2 FROM c; UPDATE patients SET visits = 0 WHERE CURRENT OF c RETURNING id; ROLLBACK;
-- @t exp01 explain_formats infer
EXPLAIN (FORMAT JSON) SELECT * FROM patients WHERE visits > 3; EXPLAIN (FORMAT YAML) SELECT * FROM more.people; EXPLAIN (FORMAT XML) SELECT * FROM orders;
-- @t exp02 explain_costs_on infer
EXPLAIN (COSTS ON) SELECT id FROM patients JOIN encounters ON patient_id = patients.id;
-- @t exp03 explain_analyze_filter infer
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT id FROM more.shared WHERE amount > 5;
-- @t exp04 explain_analyze_rows infer
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT count(*) FROM more.v_where;
-- @t exp05 explain_settings infer
EXPLAIN (SETTINGS, COSTS OFF) SELECT 1; EXPLAIN (GENERIC_PLAN) SELECT id FROM patients WHERE id = $1;
-- @t exp06 explain_execute infer
PREPARE q AS SELECT id FROM patients WHERE ssn < '5'; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE q;
-- @t exp07 explain_declare infer
BEGIN; EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) DECLARE c CURSOR FOR SELECT ssn FROM patients; ROLLBACK;
-- @t exp08 explain_sort_memory infer
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM patients ORDER BY visits, id;
-- @t exp09 explain_hash_memory infer
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT p.* FROM patients p JOIN encounters e ON e.patient_id = p.id;
-- @t exp10 explain_insert infer
BEGIN; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) INSERT INTO plain SELECT id, ssn FROM patients WHERE ssn < '5'; ROLLBACK;
-- @t exp11 explain_verbose_constants mask
EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM more.people WHERE ssn = 'x' AND born > '1990-01-01';
-- @t exp12 explain_query_id infer
SET compute_query_id = on; EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM patients;
-- @t exp13 auto_explain deny
LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET client_min_messages = log; SELECT count(*) FROM patients WHERE ssn < '5';
-- @t exp14 debug_plan deny
SET debug_print_plan = on; SET client_min_messages = log; SELECT max(ssn) FROM patients;
-- @t exp15 statement_stats deny
SET log_statement_stats = on; SET client_min_messages = log; SELECT count(*) FROM patients;
-- ---- rows that are hidden -----------------------------------------------------------------------
-- @t row01 cast_error err
SELECT count(*) FROM more.shared WHERE (CASE WHEN tenant = 't1' THEN '1' ELSE label END)::int = 1;
-- @t row02 division infer
SELECT count(*) FROM orders WHERE 100 / (amount - 89) < 1000;
-- @t row03 leaky_in_join infer
SELECT count(*) FROM orders o JOIN generate_series(10, 100) g ON g = o.amount AND 1 / (o.amount - 22) < 5;
-- @t row04 leaky_in_output infer
SELECT 1 / (amount - 18) FROM orders ORDER BY 1 LIMIT 1;
-- @t row05 leaky_aggregate_filter infer
SELECT count(*) FILTER (WHERE 1 / (amount - 22) > 0), sum(1 / nullif(amount, 92)) FROM orders;
-- @t row06 leaky_having infer
SELECT tenant, count(*) FROM orders GROUP BY tenant HAVING min(1 / (amount - 22)) IS NOT NULL;
-- @t row07 outer_join_null infer
SELECT g FROM generate_series(995, 1035) g LEFT JOIN orders o ON o.id = g WHERE o.id IS NULL ORDER BY 1;
-- @t row08 anti_join infer
SELECT count(*) FROM generate_series(995, 1035) g WHERE g NOT IN (SELECT id FROM orders);
-- @t row09 link_to_hidden infer
SELECT l.id, s.label FROM more.link l LEFT JOIN more.shared s ON s.id = l.shared_id ORDER BY 1 LIMIT 3;
-- @t row10 fk_insert_hidden_row infer
BEGIN; INSERT INTO more.link VALUES (100, 1002); ROLLBACK; BEGIN; INSERT INTO more.link VALUES (101, 1003); ROLLBACK;
-- @t row11 pk_conflict_hidden_row infer
BEGIN; INSERT INTO orders VALUES (1015, 't1', 1); ROLLBACK;
-- @t row12 on_conflict_hidden_row infer
BEGIN; INSERT INTO orders VALUES (1015, 't1', 1) ON CONFLICT DO NOTHING RETURNING id; ROLLBACK;
-- @t row13 update_hidden_rows infer
BEGIN; UPDATE orders SET amount = amount; ROLLBACK;
-- @t row14 delete_hidden_rows infer
BEGIN; DELETE FROM more.shared WHERE amount > 50; ROLLBACK;
-- @t row15 insert_for_other_tenant infer
BEGIN; INSERT INTO orders VALUES (5000, 't2', 1) RETURNING id; SELECT count(*) FROM orders WHERE id = 5000; ROLLBACK;
-- @t row16 move_out_of_sight infer
BEGIN; UPDATE orders SET tenant = 't2' WHERE id = 3; SELECT count(*) FROM orders; ROLLBACK;
-- @t row17 copy_filtered mask
COPY orders TO STDOUT; COPY (SELECT * FROM more.shared) TO STDOUT CSV;
-- @t row18 for_update_filtered infer
BEGIN; SELECT count(*) FROM (SELECT id FROM orders FOR UPDATE) q; ROLLBACK;
-- @t row19 for_update_skip_filtered infer
BEGIN; SELECT id FROM orders ORDER BY id DESC FOR UPDATE SKIP LOCKED LIMIT 1; ROLLBACK;
-- @t row20 limit_before_filter infer
SELECT id FROM orders ORDER BY amount LIMIT 3; SELECT id FROM orders OFFSET 18;
-- @t row21 aggregate_whole_table infer
SELECT max(id), count(*), avg(amount) FROM orders;
-- @t row22 window_over_filtered infer
SELECT id, rank() OVER (ORDER BY amount), lead(id) OVER (ORDER BY amount) FROM orders ORDER BY id;
-- @t row23 only_filtered infer
SELECT count(*) FROM ONLY orders; SELECT count(*) FROM ONLY more.shared;
-- @t row24 filter_column_renamed infer
SELECT count(*) FROM orders AS o(id, amount, tenant) WHERE tenant > 50;
-- @t row25 filter_with_cte_tenant infer
WITH orders AS (SELECT 1 AS id, 't2' AS tenant, 1 AS amount) SELECT count(*), (SELECT count(*) FROM public.orders) FROM orders;
-- @t row26 truncate deny
BEGIN; TRUNCATE more.link; TRUNCATE more.shared CASCADE; ROLLBACK;
-- @t row27 cascade_to_hidden infer
BEGIN; DELETE FROM more.shared WHERE id = 1; SELECT count(*) FROM more.link; ROLLBACK;
-- @t row28 tuple_bounds infer
SELECT count(*) FROM orders WHERE (id, amount) > (1000, 0) OR id BETWEEN 1000 AND 2000;
-- @t row29 subquery_pushdown infer
SELECT count(*) FROM (SELECT * FROM orders OFFSET 0) q WHERE (q.tenant || q.amount)::text ~ 't2';
-- @t row30 materialized_then_error err
WITH q AS MATERIALIZED (SELECT * FROM orders) SELECT count(*) FROM q WHERE ('1' || right(tenant, 1))::int + 1 / (amount - 39) > 0;
-- ---- writes -------------------------------------------------------------------------------------
-- @t wri01 update_predicate infer
BEGIN; UPDATE more.people SET kin = 3 WHERE ssn < '8'; ROLLBACK;
-- @t wri02 update_set_from_hidden deny
BEGIN; UPDATE more.people SET visits = length(ssn) WHERE id = 1 RETURNING visits; ROLLBACK;
-- @t wri03 update_set_row deny
BEGIN; UPDATE more.people SET (kin, visits) = (SELECT length(ssn), 1) WHERE id = 1 RETURNING kin; ROLLBACK;
-- @t wri04 update_set_case deny
BEGIN; UPDATE encounters SET cost = CASE WHEN note LIKE '%SSN%' THEN 1 ELSE 2 END RETURNING cost; ROLLBACK;
-- @t wri05 update_from_self_join infer
BEGIN; UPDATE patients p SET visits = 1 FROM patients q WHERE q.id = p.id AND q.ssn < '5'; ROLLBACK;
-- @t wri06 update_alias_whole_row infer
BEGIN; UPDATE more.people x SET kin = 1 WHERE x::text LIKE '%a%'; ROLLBACK;
-- @t wri07 update_correlated_any infer
BEGIN; UPDATE more.people x SET kin = 1 WHERE 'a' = ANY (SELECT left(x.ssn, 1)); ROLLBACK;
-- @t wri08 delete_predicate infer
BEGIN; DELETE FROM acct_ref WHERE ssn < '5'; ROLLBACK;
-- @t wri09 delete_using_hidden infer
BEGIN; DELETE FROM acct_ref r USING acct a WHERE a.ssn = r.ssn; ROLLBACK;
-- @t wri10 delete_returning_star mask
BEGIN; DELETE FROM acct_ref WHERE id = 1 RETURNING *; ROLLBACK;
-- @t wri11 returning_whole_row mask
BEGIN; UPDATE more.people p SET kin = kin WHERE id = 1 RETURNING p; ROLLBACK;
-- @t wri12 returning_field_of_row mask
BEGIN; UPDATE more.people p SET kin = kin WHERE id = 1 RETURNING (p).ssn, to_jsonb(p); ROLLBACK;
-- @t wri13 returning_in_cte mask
BEGIN; WITH d AS (DELETE FROM more.odd RETURNING "system_user", id) SELECT min("system_user") FROM d; ROLLBACK;
-- @t wri14 returning_subselect mask
BEGIN; INSERT INTO plain VALUES (7, 'x') RETURNING (SELECT string_agg(ssn, ',') FROM patients), (SELECT p FROM patients p WHERE p.id = plain.id - 6); ROLLBACK;
-- @t wri15 returning_default infer
BEGIN; INSERT INTO more.defaulted(id) VALUES (900) RETURNING told, ssn; ROLLBACK;
-- @t wri16 insert_default_function infer
BEGIN; INSERT INTO more.defaulted(id, told) VALUES (901, DEFAULT) RETURNING told; ROLLBACK;
-- @t wri17 update_to_default infer
BEGIN; UPDATE more.defaulted SET told = DEFAULT WHERE id = 1 RETURNING told; ROLLBACK;
-- @t wri18 insert_select_hidden mask
BEGIN; INSERT INTO plain SELECT id, ssn FROM patients ORDER BY id LIMIT 1; SELECT * FROM plain ORDER BY id, label; ROLLBACK;
-- @t wri19 insert_select_whole_row mask
BEGIN; INSERT INTO plain SELECT id, p::text FROM patients p ORDER BY id LIMIT 1 RETURNING label; ROLLBACK;
-- @t wri20 insert_copy_of_hidden deny
BEGIN; INSERT INTO more.patients(id, ssn) SELECT 500 + id, ssn FROM patients WHERE id < 3 RETURNING ssn; ROLLBACK;
-- @t wri21 insert_values_sublink mask
BEGIN; INSERT INTO plain VALUES ((SELECT length(max(ssn)) FROM patients), (SELECT max(name) FROM patients)) RETURNING *; ROLLBACK;
-- @t ora01 unique_pair infer
BEGIN; INSERT INTO more.people(id, kin, ssn) VALUES (900, 1, md5('a1')); ROLLBACK;
-- @t ora02 unique_pair_on_conflict infer
BEGIN; INSERT INTO more.people(id, kin, ssn) VALUES (900, 1, md5('a1')) ON CONFLICT (kin, ssn) DO NOTHING; ROLLBACK;
-- @t ora03 unique_pair_do_nothing_any infer
BEGIN; INSERT INTO more.people(id, kin, ssn) VALUES (900, 1, md5('a1')) ON CONFLICT DO NOTHING RETURNING id; ROLLBACK;
-- @t ora04 partial_unique_clear_column infer
BEGIN; UPDATE more.people SET visits = 62 WHERE id = 101; ROLLBACK;
-- @t ora05 partial_unique_insert infer
BEGIN; INSERT INTO more.people(id, kin, visits) VALUES (901, 9, 61); ROLLBACK;
-- @t ora06 check_with_hidden infer
BEGIN; UPDATE more.people SET visits = 100 WHERE id BETWEEN 1 AND 5; ROLLBACK;
-- @t ora07 exclusion infer
BEGIN; INSERT INTO more.booking(id, room, low, high) VALUES (900, 1, 131, 139); ROLLBACK;
-- @t ora08 exclusion_on_conflict infer
BEGIN; INSERT INTO more.booking(id, room, low, high) VALUES (900, 1, 131, 139) ON CONFLICT DO NOTHING RETURNING id; ROLLBACK;
-- @t ora09 fk_to_hidden infer
BEGIN; INSERT INTO acct_ref(id, ssn) VALUES (900, '123-45-6789'), (901, '914-92-9919'); ROLLBACK;
-- @t ora10 fk_restrict_delete infer
BEGIN; DELETE FROM acct WHERE id IN (1, 3, 5, 7); ROLLBACK;
-- @t ora11 fk_update_key infer
BEGIN; UPDATE acct SET ssn = 'x' WHERE id = 1; ROLLBACK; BEGIN; UPDATE acct SET ssn = 'y' WHERE id = 2; ROLLBACK;
-- @t ora12 failing_row_detail err
BEGIN; UPDATE more.people SET born = NULL WHERE id = 1; ROLLBACK; BEGIN; UPDATE more.people SET visits = 500 WHERE id = 1; ROLLBACK;
-- @t ora13 not_null_detail err
BEGIN; INSERT INTO more.people(id, kin, ssn, born) VALUES (900, 1, 'q', NULL); ROLLBACK;
-- @t ora14 pk_detail err
BEGIN; INSERT INTO more.people(id, kin) SELECT id, 3 FROM more.people LIMIT 2; ROLLBACK;
-- @t ora15 value_too_long err
BEGIN; CREATE TEMP TABLE t(a varchar(3)); INSERT INTO t SELECT ssn FROM patients; ROLLBACK;
-- @t ora16 deferred deny
BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO acct_ref(id, ssn) VALUES (900, '123-45-6789'); COMMIT;
-- @t ora17 multi_row_which_fails infer
BEGIN; INSERT INTO acct(id, ssn) VALUES (900, '000'), (901, '123-45-6789'), (902, '611-69-9690'); ROLLBACK;
-- @t ora18 upsert_sets_hidden infer
BEGIN; INSERT INTO acct(id, ssn) VALUES (1, '611-69-9690') ON CONFLICT (id) DO UPDATE SET ssn = EXCLUDED.ssn; ROLLBACK;
-- @t ora19 upsert_where_hidden infer
BEGIN; INSERT INTO patients(id, visits) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET visits = 9 WHERE patients.ssn < '5' RETURNING id; ROLLBACK;
-- @t ora20 upsert_excluded_row infer
BEGIN; INSERT INTO patients(id, visits) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET diagnosis = excluded::text RETURNING diagnosis; ROLLBACK;
-- @t ora21 upsert_index_predicate infer
BEGIN; INSERT INTO more.people(id, visits) VALUES (902, 61) ON CONFLICT (visits) WHERE ssn < 'm' AND visits > 50 DO NOTHING RETURNING id; ROLLBACK;
-- @t ora22 upsert_on_constraint infer
BEGIN; INSERT INTO acct(id, ssn) VALUES (950, '123-45-6789') ON CONFLICT ON CONSTRAINT acct_ssn_key DO NOTHING RETURNING id; ROLLBACK;
-- @t ora23 merge_on_hidden infer
BEGIN; MERGE INTO plain t USING patients p ON p.ssn = t.label WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN DO NOTHING; ROLLBACK;
-- @t ora24 merge_target_hidden infer
BEGIN; MERGE INTO patients p USING (VALUES ('123-45-6789')) v(s) ON p.ssn = v.s WHEN MATCHED THEN UPDATE SET visits = 0 WHEN NOT MATCHED THEN DO NOTHING; ROLLBACK;
-- @t ora25 merge_not_matched_insert infer
BEGIN; MERGE INTO plain t USING patients p ON t.id = p.id AND p.ssn < '5' WHEN NOT MATCHED THEN INSERT VALUES (p.id, p.ssn); SELECT count(*), max(label) FROM plain; ROLLBACK;
-- @t ora26 trigger_on_update err
BEGIN; UPDATE acct_t SET ssn = 'x' WHERE id = 2; ROLLBACK;
-- @t ora27 rule_on_update mask
BEGIN; UPDATE more.ruled SET visits = 1 WHERE id = 1; ROLLBACK;
-- @t ora28 row_security infer
SELECT count(*) FROM more.guarded; BEGIN; DELETE FROM more.guarded; ROLLBACK;
-- @t ora29 cascade_update infer
BEGIN; UPDATE more.people SET id = 500 WHERE id = 1; SELECT person FROM more.kin_of ORDER BY id LIMIT 1; ROLLBACK;
-- @t ora30 generated_assign err
BEGIN; UPDATE more.booking SET span = 3 WHERE id = 1; ROLLBACK;
-- @t ora31 copy_from_conflict err
COPY acct(id, ssn) FROM STDIN;
900	123-45-6789
\.
SELECT 1;
-- @t ora32 copy_from_filtered err
COPY orders FROM STDIN;
1015	t1	1
\.
SELECT 1;
-- @t ora33 copy_from_where infer
BEGIN; COPY more.people(id, kin, visits) FROM STDIN WHERE ssn IS NULL;
800	1	1
\.
ROLLBACK;
-- @t ora34 copy_from_bad_value err
BEGIN; COPY more.people(id, kin, born) FROM STDIN;
801	1	not-a-date
\.
ROLLBACK;
-- ---- errors and notices -------------------------------------------------------------------------
-- @t err01 undefined_column err
SELECT ssm FROM patients; SELECT patients.nam FROM patients; SELECT p.x FROM patients p;
-- @t err02 undefined_table err
SELECT * FROM patient; SELECT * FROM more.person_x;
-- @t err03 ambiguous err
SELECT id FROM patients, encounters;
-- @t err04 grouping_error err
SELECT name, count(*) FROM patients; SELECT p.ssn, count(*) FROM patients p GROUP BY p.visits;
-- @t err05 type_mismatch err
SELECT ssn + 1 FROM patients; SELECT sum(name) FROM patients; SELECT visits || 1 FROM patients;
-- @t err06 division_by_hidden_count err
SELECT 1 / (count(*) - 60) FROM patients WHERE ssn IS NOT NULL;
-- @t err07 more_than_one_row infer
SELECT (SELECT id FROM patients WHERE ssn < '2');
-- @t err08 error_position mask
SELECT   name::int    FROM patients WHERE id = 1;
-- @t err09 case_folding_of_error err
SELECT CASE WHEN ssn < '5' THEN 1 / 0 ELSE 1 END FROM patients ORDER BY id LIMIT 1;
-- @t err10 coalesce_error infer
SELECT coalesce(ssn, (1 / 0)::text) FROM patients ORDER BY id LIMIT 4;
-- @t err11 and_order_error infer
SELECT count(*) FROM patients WHERE ssn < '5' AND 1 / (visits - visits) > 0;
-- @t err12 limit_error infer
SELECT id FROM patients LIMIT (SELECT -ascii(ssn) FROM patients WHERE id = 1);
-- @t err13 serialization infer
BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM patients WHERE ssn < '5'; COMMIT;
-- @t err14 notices_off err
SET client_min_messages = debug1; CREATE TEMP TABLE IF NOT EXISTS t AS SELECT ssn FROM patients; CREATE TEMP TABLE IF NOT EXISTS t(a int); DROP TABLE IF EXISTS nothing;
-- @t err15 backslash_errverbose err
SELECT ssn::int FROM patients;
\errverbose
-- @t err16 json_error_context err
SELECT meta::text::json -> 0, (name || '{')::json FROM patients WHERE id = 1;
-- @t err17 statement_timeout_conditional infer
SET statement_timeout = '1s'; SELECT count(*) FROM patients p, generate_series(1, 10 + (p.ssn < '5')::int) g;
-- ---- keys that imply ----------------------------------------------------------------------------
-- @t pks01 group_by_key mask
SELECT id, ssn, name FROM patients GROUP BY id ORDER BY id LIMIT 2;
-- @t pks02 group_by_key_expr infer
SELECT id, left(ssn, 1) || 'x', count(*) FROM patients GROUP BY id ORDER BY 2 NULLS FIRST, 1 LIMIT 2;
-- @t pks03 group_by_key_whole_row mask
SELECT p.id, p FROM patients p GROUP BY p.id ORDER BY p.id LIMIT 1;
-- @t pks04 group_by_key_having infer
SELECT id FROM patients GROUP BY id HAVING max(ssn) < '5' AND name > 'm' ORDER BY id;
-- @t pks05 group_by_key_in_subquery mask
SELECT (SELECT max(q.ssn) FROM (SELECT p.id, p.ssn FROM patients p GROUP BY p.id) q);
-- @t pks06 group_by_key_grouping_sets mask
SELECT id, ssn FROM patients GROUP BY GROUPING SETS ((id), (id, visits)) ORDER BY id LIMIT 2;
-- ---- protocol -----------------------------------------------------------------------------------
-- @t pro01 prepare_typed mask
PREPARE q(text, int) AS SELECT ssn || $1 FROM patients WHERE id = $2; EXECUTE q('!', 1); DEALLOCATE q;
-- @t pro02 prepare_dml infer
BEGIN; PREPARE q(text) AS UPDATE patients SET visits = 0 WHERE ssn < $1; EXECUTE q('5'); ROLLBACK;
-- @t pro03 prepare_twice_names mask
PREPARE q AS SELECT 1; DEALLOCATE q; PREPARE q AS SELECT max(ssn) FROM patients; EXECUTE q;
-- @t pro04 prepare_in_rolled_back mask
BEGIN; PREPARE q AS SELECT max(ssn) FROM patients; ROLLBACK; EXECUTE q;
-- @t pro05 prepare_survives_discard mask
PREPARE q AS SELECT max(ssn) FROM patients; DISCARD PLANS; EXECUTE q; DISCARD ALL; EXECUTE q;
-- @t pro06 execute_parameter_sublink mask
PREPARE q(text) AS SELECT $1; EXECUTE q((SELECT max(ssn) FROM patients));
-- @t pro07 execute_parameter_function deny
PREPARE q(text) AS SELECT $1; EXECUTE q(f_sql(1));
-- @t pro08 cursor_scroll_backwards mask
BEGIN; DECLARE c SCROLL CURSOR FOR SELECT ssn, name, visits FROM patients ORDER BY ssn; FETCH ALL c; FETCH ABSOLUTE 2 c; FETCH BACKWARD 1 c; MOVE 1 IN c; COMMIT;
-- @t pro09 cursor_order infer
BEGIN; DECLARE c CURSOR FOR SELECT id FROM patients ORDER BY ssn, id; FETCH 3 c; COMMIT;
-- @t pro10 cursor_with_hold_after_change mask
DECLARE c CURSOR WITH HOLD FOR SELECT * FROM more.people ORDER BY id; FETCH 1 c; CLOSE ALL; FETCH 1 c;
-- @t pro11 cursor_parameters infer
BEGIN; DECLARE c BINARY CURSOR FOR SELECT ssn, dob, meta FROM patients ORDER BY id; FETCH 1 c; COMMIT;
-- @t pro12 copy_columns mask
COPY patients (ssn, id, name) TO STDOUT WITH (FORMAT csv, FORCE_QUOTE *);
-- @t pro13 copy_query_dml mask
BEGIN; COPY (UPDATE patients SET visits = visits WHERE id = 1 RETURNING ssn, name) TO STDOUT; ROLLBACK;
-- @t pro14 copy_view_query mask
COPY (SELECT * FROM v_pat2 ORDER BY 1) TO STDOUT (HEADER, FORMAT csv);
-- @t pro15 copy_values mask
COPY (VALUES ((SELECT max(ssn) FROM patients))) TO STDOUT; COPY (TABLE more.people) TO STDOUT (FORMAT binary);
-- @t pro16 copy_to_file deny
COPY (SELECT ssn FROM patients) TO '/tmp/stolen'; COPY plain FROM '/etc/hostname'; COPY plain FROM PROGRAM 'id';
-- @t pro17 copy_partition_root mask
COPY (SELECT * FROM claims) TO STDOUT; COPY claims_e TO STDOUT; COPY more.events_t1_low TO STDOUT;
-- @t pro18 copy_default_expr deny
COPY more.defaulted(id) FROM STDIN;
950
\.
SELECT told FROM more.defaulted WHERE id = 950; DELETE FROM more.defaulted WHERE id = 950;
-- @t pro19 two_phase deny
BEGIN; UPDATE plain SET label = 'x'; PREPARE TRANSACTION 'x'; ROLLBACK PREPARED 'x';
-- @t pro20 do_variants deny
DO LANGUAGE plpgsql $$ BEGIN RAISE EXCEPTION '%', (SELECT max(ssn) FROM patients); END $$;
-- @t pro21 ddl_variants deny
BEGIN; CREATE VIEW stolen AS SELECT ssn FROM patients; ROLLBACK; BEGIN; CREATE MATERIALIZED VIEW stolen2 AS SELECT ssn FROM patients; ROLLBACK; BEGIN; CREATE TABLE stolen3 (LIKE patients); ROLLBACK; BEGIN; CREATE INDEX ON patients(ssn); ROLLBACK; BEGIN; ALTER VIEW v_pat RENAME TO x; ROLLBACK; BEGIN; CREATE RULE r AS ON SELECT TO plain DO INSTEAD SELECT 1; ROLLBACK;
-- @t pro22 grants deny
BEGIN; GRANT SELECT ON patients TO PUBLIC; ROLLBACK; BEGIN; ALTER TABLE patients OWNER TO CURRENT_USER; ROLLBACK; BEGIN; CREATE POLICY p ON orders USING (true); ROLLBACK; BEGIN; ALTER TABLE orders DISABLE ROW LEVEL SECURITY; ROLLBACK; BEGIN; SECURITY LABEL ON TABLE plain IS 'x'; ROLLBACK;
-- @t pro23 maintenance deny
ANALYZE VERBOSE patients; VACUUM (VERBOSE) more.people; REINDEX TABLE acct; REFRESH MATERIALIZED VIEW mv_pat; CLUSTER VERBOSE orders;
-- @t pro24 role_changes deny
SET ROLE postgres; SET SESSION AUTHORIZATION postgres; RESET ROLE; SELECT set_config('role', 'postgres', false); SELECT max(ssn) FROM patients;
-- @t pro25 multi_statement_shadow mask
CREATE TEMP TABLE patients(ssn text); SELECT ssn FROM patients; DROP TABLE patients; SELECT ssn FROM patients LIMIT 1;
-- @t pro26 comment_tricks mask
SELECT /* ; */ ssn -- ; DROP
FROM /* patients /* nested */ plain */ patients LIMIT 1;
-- @t pro27 unicode_identifiers mask
SELECT U&"\0073\0073\006e", "ssn" FROM U&"p\0061tients" LIMIT 1;
-- @t pro28 dollar_and_escapes mask
SELECT $a$'; SELECT ssn FROM patients; --$a$, E'\'; SELECT 1', ssn FROM patients ORDER BY id LIMIT 1;
-- @t pro29 begin_atomic_text deny
CREATE FUNCTION pg_temp.f() RETURNS text BEGIN ATOMIC SELECT max(ssn) FROM patients; END; SELECT pg_temp.f();
-- @t pro30 long_in_list infer
SELECT count(*) FROM patients WHERE ssn IN ('123-45-6789', '987-65-4321', '914-92-9919', '611-69-9690') OR ssn NOT IN ('x');
-- ---- session ------------------------------------------------------------------------------------
-- @t ses01 encoding_names deny
SET NAMES 'LATIN1'; SELECT ssn FROM patients LIMIT 1; SET client_encoding TO DEFAULT; SELECT name FROM patients LIMIT 1;
-- @t ses02 standard_strings deny
SET standard_conforming_strings = off; SELECT 'a\'' , ssn FROM patients LIMIT 1; RESET standard_conforming_strings;
-- @t ses03 backslash_quote deny
SET backslash_quote = on; SET escape_string_warning = off; SELECT '\'; SELECT 1;
-- @t ses04 row_security_off deny
SET row_security = off; SELECT count(*) FROM more.guarded; SELECT count(*) FROM orders;
-- @t ses05 transform_null_equals infer
SET transform_null_equals = on; SELECT count(*) FROM patients WHERE ssn = NULL;
-- @t ses06 replication_role deny
SET session_replication_role = replica; BEGIN; UPDATE acct_t SET visits = 1 WHERE id = 1; ROLLBACK;
-- @t ses07 planner_settings infer
SET enable_seqscan = off; SET enable_indexscan = off; SET from_collapse_limit = 1; SELECT count(*) FROM orders WHERE 1 / (amount - 22) > -100;
-- @t ses08 check_function_bodies deny
SET check_function_bodies = off; SET default_transaction_read_only = off; SET lo_compat_privileges = on; SELECT 1;
-- @t ses09 set_from_current deny
SET LOCAL search_path FROM CURRENT; SET TRANSACTION SNAPSHOT '00000003-00000002-1'; SELECT 1;
-- @t ses10 show_all deny
SHOW ALL; SHOW data_directory; SHOW hba_file;
-- @t ses11 date_style_output mask
SET datestyle = 'German'; SET intervalstyle = 'iso_8601'; SET bytea_output = 'escape'; SET extra_float_digits = 0; SELECT dob, ssn::bytea FROM patients ORDER BY id LIMIT 1;
-- @t ses12 time_zone_value deny
SELECT set_config('timezone', name, false) FROM patients WHERE id = 1; SHOW timezone;
-- @t ses13 application_name_value deny
SELECT set_config('application_name', max(ssn), false) FROM patients; SHOW application_name;
-- @t ses14 xmloption infer
SET xmloption = document; SELECT ssn::xml FROM patients WHERE id = 1;
-- @t ses15 plan_cache infer
SET plan_cache_mode = force_generic_plan; PREPARE q(text) AS SELECT count(*) FROM patients WHERE ssn = $1; EXECUTE q('123-45-6789');
-- @t ses16 discard_temp mask
CREATE TEMP TABLE patients(ssn text); DISCARD TEMP; SELECT ssn FROM patients LIMIT 1; DISCARD SEQUENCES;
-- @t ses17 default_settings deny
BEGIN; ALTER DATABASE clinic SET search_path = more; ROLLBACK; ALTER SYSTEM RESET log_statement;
-- ---- versions -----------------------------------------------------------------------------------
-- @t ver01 json_functions_unqualified deny
SET search_path = more, public; SELECT json_exists('x'), json_value('x'), json_query('x');
-- @t ver02 json_functions_qualified deny
SELECT more.json_exists('x'), more.json_scalar('x'), more.json_serialize('x');
-- @t ver03 json_functions_constructs mask
SELECT json_exists(meta, '$.ssn'), json_value(meta, '$.ssn'), json_query(meta, '$') FROM patients LIMIT 1;
-- @t ver04 json_table mask
SELECT j.* FROM patients p, json_table(p.meta, '$' COLUMNS (s text PATH '$.ssn')) j LIMIT 1;
-- @t ver05 json_constructors mask
SELECT json_scalar(ssn), json_serialize(meta), json(ssn), json_object('a': ssn), json_array(ssn, name), json_arrayagg(ssn), json_objectagg(id: ssn) FROM patients GROUP BY ssn, meta, name, id LIMIT 1;
-- @t ver06 is_json mask
SELECT count(*) FROM patients WHERE ssn IS JSON OR meta::text IS JSON OBJECT WITH UNIQUE KEYS;
-- @t ver07 system_user_column mask
SELECT system_user FROM more.odd ORDER BY id LIMIT 1; SELECT "system_user", o.system_user FROM more.odd o ORDER BY id LIMIT 1;
-- @t ver08 merge_action_column mask
SELECT merge_action(), "merge_action", json_value FROM more.odd ORDER BY id LIMIT 1;
-- @t ver09 merge_returning infer
BEGIN; MERGE INTO plain t USING patients p ON t.id = p.id WHEN MATCHED THEN UPDATE SET label = p.ssn RETURNING merge_action(), p.ssn; ROLLBACK;
-- @t ver10 returning_old_new mask
BEGIN; UPDATE patients SET visits = 1 WHERE id = 1 RETURNING old.ssn, new.ssn, old, new; ROLLBACK;
-- @t ver11 returning_with_alias mask
BEGIN; UPDATE patients SET visits = 1 WHERE id = 1 RETURNING WITH (OLD AS o, NEW AS n) o.ssn, n.name; ROLLBACK;
-- @t ver12 any_value infer
SELECT any_value(ssn), any_value(name ORDER BY ssn) FROM patients;
-- @t ver13 trim_array infer
SELECT trim_array(tags, 1), tags[:1], unistr(name), string_to_table(ssn, '-') FROM patients ORDER BY id LIMIT 1;
-- @t ver14 copy_on_error err
COPY plain FROM STDIN (ON_ERROR ignore, LOG_VERBOSITY verbose);
x	y
\.
SELECT 1;
-- @t ver15 explain_new_options infer
EXPLAIN (MEMORY, SERIALIZE) SELECT * FROM patients;
-- @t ver16 temporal_constraints deny
CREATE TEMP TABLE t (id int, at tsrange, PRIMARY KEY (id, at WITHOUT OVERLAPS)); SELECT * FROM patients FOR PORTION OF x FROM 1 TO 2;
-- @t ver17 virtual_generated deny
CREATE TEMP TABLE t (a int, b text GENERATED ALWAYS AS (f_sql(1)) VIRTUAL); SELECT * FROM t;
-- ---- masks --------------------------------------------------------------------------------------
-- @t nul01 typed_nulls mask
SELECT pg_typeof(ssn), pg_typeof(dob), pg_typeof(meta), pg_typeof(tags), ssn, dob, meta, tags FROM patients ORDER BY id LIMIT 1;
-- @t nul02 union_of_types mask
SELECT dob FROM patients UNION SELECT '2000-01-01' ORDER BY 1 NULLS LAST LIMIT 2;
-- @t nul03 strict_functions infer
SELECT count(length(ssn)), count(coalesce(length(ssn), 0)), count(concat(ssn)) FROM patients;
-- @t nul04 null_tests infer
SELECT count(*) FILTER (WHERE ssn IS NULL), count(*) FILTER (WHERE zip IS NULL), count(*) FILTER (WHERE ssn IS NOT NULL) FROM patients;
-- @t nul05 not_in_null infer
SELECT count(*) FROM plain WHERE label NOT IN (SELECT ssn FROM patients);
-- @t nul06 is_distinct infer
SELECT count(*) FROM patients a JOIN acct b ON a.ssn IS NOT DISTINCT FROM b.ssn;
-- @t nul07 outer_join_hidden_key infer
SELECT count(*), count(a.id) FROM patients p FULL JOIN acct a ON a.ssn = p.ssn AND a.dob = p.dob;
-- @t nul08 merge_join_hidden infer
SET enable_hashjoin = off; SET enable_nestloop = off; SELECT count(*) FROM patients p JOIN acct a ON a.ssn = p.ssn;
-- @t nul09 semi_join_hidden infer
SELECT count(*) FROM acct WHERE ssn IN (SELECT ssn FROM acct_ref) AND dob >= ALL (SELECT dob FROM patients WHERE dob < '1950-01-01');
-- @t nul10 default_of_coalesce_subselect infer
SELECT coalesce((SELECT id FROM patients WHERE ssn = '123-45-6789'), -1), (SELECT count(*) FROM patients WHERE meta ->> 'ssn' = ssn);
-- ---- attribute notation on the target of a write: `p.f` is `f(p)` there, too ----------------------
-- @t wat01 update_where_attribute infer
BEGIN; UPDATE more.people p SET kin = 3 WHERE p.to_jsonb ->> 'ssn' < '8'; ROLLBACK;
-- @t wat02 returning_attribute mask
BEGIN; UPDATE more.people p SET kin = 3 WHERE id = 1 RETURNING p.to_jsonb; ROLLBACK;
-- @t wat03 delete_attribute mask
BEGIN; DELETE FROM acct_ref r WHERE r.row_to_json ->> 'ssn' < '5' RETURNING r.concat, r.to_json; ROLLBACK;
-- @t wat04 conflict_attribute infer
BEGIN; INSERT INTO patients(id, visits) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET diagnosis = patients.row_to_json::text RETURNING diagnosis; ROLLBACK;
-- @t wat05 set_attribute infer
BEGIN; UPDATE more.people p SET visits = length(p.concat) % 90 WHERE id = 2 RETURNING visits, p.hash_record; ROLLBACK;
-- @t wat06 insert_returning_attribute mask
BEGIN; INSERT INTO more.defaulted(id, told) VALUES (902, 'x') RETURNING defaulted.to_jsonb, defaulted.num_nulls; ROLLBACK;
-- @t wat07 merge_attribute infer
BEGIN; MERGE INTO patients p USING plain l ON p.id = l.id AND p.to_jsonb ->> 'ssn' < '5' WHEN MATCHED THEN UPDATE SET visits = 0 WHEN NOT MATCHED THEN DO NOTHING; ROLLBACK;
-- @t wat08 hstore_attribute mask
BEGIN; UPDATE patients SET visits = 1 WHERE id = 1 RETURNING patients.hstore; ROLLBACK;
-- ---- partitions by what is hidden (more.by_birth.born): which one a row is in tells -----------------
-- @t prt01 partition_of_hidden_key infer
SELECT id FROM more.born_early ORDER BY id;
-- @t prt02 partition_count infer
SELECT count(*) FROM more.born_late;
-- @t prt03 partition_copy infer
COPY more.born_late TO STDOUT;
-- @t prt04 partition_join infer
SELECT b.id FROM more.by_birth b JOIN more.born_early e USING (id) ORDER BY 1;
-- @t prt05 partition_tableoid infer
SELECT id, tableoid::regclass FROM more.by_birth ORDER BY id LIMIT 3;
-- @t prt06 partition_row_move infer
BEGIN; UPDATE more.by_birth SET visits = 1 WHERE id = 1; DELETE FROM more.born_early WHERE id = 1 RETURNING id; ROLLBACK;
-- @t prt07 partition_order infer
SELECT id FROM more.by_birth;
-- @t prt08 partition_plan infer
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT id FROM more.by_birth;
-- @t prt09 partition_write infer
BEGIN; UPDATE more.born_late SET visits = 2; ROLLBACK;
-- ---- defaults of hidden columns meet constraints ----------------------------------------------------
-- @t dft01 default_meets_unique infer
BEGIN; INSERT INTO more.preset(id) VALUES (900); ROLLBACK;
-- @t dft02 default_meets_unique_quietly infer
BEGIN; INSERT INTO more.preset(id) VALUES (901) ON CONFLICT DO NOTHING RETURNING id; ROLLBACK;
-- @t dft03 default_values infer
BEGIN; INSERT INTO more.preset DEFAULT VALUES ON CONFLICT DO NOTHING; ROLLBACK;
-- ---- common table expressions inside of a write's sub-selects see the target, too ------------------
-- @t wct01 set_from_correlated_cte mask
BEGIN; UPDATE acct_ref r SET memo = (WITH c AS (SELECT r.ssn AS s) SELECT s FROM c) WHERE id = 1 RETURNING memo; ROLLBACK;
-- @t wct02 where_correlated_cte infer
BEGIN; DELETE FROM acct_ref r WHERE EXISTS (WITH c AS (SELECT r.ssn AS s) SELECT 1 FROM c WHERE s < '5') RETURNING id; ROLLBACK;
-- @t wct03 correlated_cte_unqualified infer
BEGIN; DELETE FROM acct_ref WHERE id IN (WITH c AS (SELECT id AS i, ssn AS s) SELECT i FROM c WHERE s < '5') RETURNING id; ROLLBACK;
-- @t wct04 correlated_cte_whole_row mask
BEGIN; UPDATE encounters e SET cost = (WITH c AS MATERIALIZED (SELECT length(e::text) AS n) SELECT n FROM c) WHERE id = 10 RETURNING cost; ROLLBACK;
-- @t wct05 conflict_correlated_cte mask
BEGIN; INSERT INTO acct_ref(id) VALUES (1) ON CONFLICT (id) DO UPDATE SET memo = (WITH c AS (SELECT acct_ref.ssn AS s) SELECT s FROM c) RETURNING memo; ROLLBACK;
-- @t wct06 returning_correlated_cte mask
BEGIN; UPDATE acct_ref r SET memo = 'x' WHERE id = 1 RETURNING (WITH c AS (SELECT r.ssn AS s) SELECT s FROM c), (SELECT s FROM (SELECT r.ssn) AS q(s)), (VALUES (r.ssn)); ROLLBACK;
-- @t wct07 recursive_correlated_cte mask
BEGIN; UPDATE acct_ref r SET memo = (WITH RECURSIVE c(n, s) AS (SELECT 1, left(r.ssn, 1) UNION ALL SELECT n + 1, s || substr(r.ssn, n + 1, 1) FROM c WHERE n < 11) SELECT max(s) FROM c) WHERE id = 1 RETURNING memo; ROLLBACK;
-- @t wct08 lateral_in_write mask
BEGIN; UPDATE acct_ref r SET memo = (SELECT x FROM plain, LATERAL (SELECT r.ssn) AS q(x) LIMIT 1), ssn = NULL WHERE id = 1 RETURNING memo; ROLLBACK;
-- @t wct09 merge_correlated_cte infer
BEGIN; MERGE INTO encounters e USING plain l ON e.id = l.id + 9 AND EXISTS (WITH c AS (SELECT e.note AS s) SELECT 1 FROM c WHERE s LIKE '%SSN%') WHEN MATCHED THEN UPDATE SET cost = 0 WHEN NOT MATCHED THEN DO NOTHING; ROLLBACK;
-- @t mut03 names deny
SELECT id FROM elsewhere.public.patients;
-- @t mut08 physical deny
SELECT id FROM more.v_star TABLESAMPLE BERNOULLI (100);
-- @t mut16 write deny
UPDATE staff SET (grade, id) = (SELECT length(ssn), id FROM staff s WHERE s.id = staff.id) WHERE id = 1;
-- @t mut18 grouping mask
SELECT (p).ssn, count(*) FROM patients p GROUP BY p.id, (p).ssn ORDER BY p.id LIMIT 3;
-- @t mut19 names mask
SELECT t.b FROM patients AS t(a, b, c, d) ORDER BY t.a LIMIT 3;
-- @t mut20 write deny
INSERT INTO patients (id, diagnosis) VALUES (900, 'x') ON CONFLICT (id) DO UPDATE SET diagnosis = patients.ssn;
-- @t mut21 write deny
INSERT INTO patients AS t (id, diagnosis) VALUES (900, 'x') ON CONFLICT (id) DO UPDATE SET diagnosis = (t.*)::text;
-- @t lok01 look infer
select pg_get_viewdef(o) from (select 'more.v_where'::regclass::oid as o union all select 1259) x where pg_get_viewdef(o) is not null;
-- @t lok02 look infer
with g(o) as (select 'v_pat'::regclass::oid) select pg_get_viewdef(g.o) from g;
-- @t lok03 look infer
select pg_get_indexdef((select g.o from (select 'patients_md5'::regclass::oid) as g(o)));
-- @t lok04 look infer
create temp view look_through as select pg_get_functiondef('f_sql'::regproc) as x; select * from look_through;
-- @t lok05 look infer
select relname, pg_get_viewdef(oid) from pg_class where relkind = 'v' and relnamespace = 'more'::regnamespace order by 1;
-- @t set31 look infer
select current_setting(case when v = 'data_directory' then 'server_version' else v end, true) from (values ('data_directory'), ('config_file')) x(v);
-- @t set32 look infer
select array_agg(current_setting(upper(v), true)) from unnest(array['data_directory', 'hba_file', 'server_version']) v;
-- @t flo01 floor infer
create temp table caller (name text, texts text[]); insert into caller values ('tenant', '{t2}'); select count(*) from public.orders;
-- @t flo02 floor infer
set search_path = chaperone_floor, public; select count(*) from orders; select * from callers;
-- @t flo03 floor infer
with x as materialized (select * from orders) select count(*) from x where 1 / (amount - 7) >= 0;
-- @t flo04 floor infer
select id, tenant from more.events group by id, tenant, amount having 100 / min(amount) > 0 order by 1;
-- @t flo05 floor infer
create temp view seen as select * from public.orders where 1 / (amount - 7) >= 0; select count(*) from seen;
-- @t ora35 constraint mask
BEGIN; INSERT INTO acct (id, admitted, visits) VALUES (1, '2020-01-01', 1) ON CONFLICT (id) DO UPDATE SET ssn = '123-45-6789'; ROLLBACK;
-- @t pro31 copy mask
COPY acct TO STDOUT;
-- @t pro32 copy mask
COPY pg_stat_user_tables TO STDOUT;
-- @t phy14 tableoid mask
SELECT *, tableoid::regclass FROM staff ORDER BY id;
-- @t phy15 tableoid mask
SELECT s.*, s.tableoid::regclass FROM (SELECT * FROM staff) s ORDER BY id;
-- @t fld01 field infer
SELECT ('123-4'::text).d_chk; SELECT ((SELECT '12'::text)).d_chk; SELECT (ARRAY['12'::text])[1].d_chk; SELECT (ROW('123-4'::text)).f1.d_chk;
-- @t fld02 field infer
SELECT x.d_chk FROM unnest(ARRAY['123-45'::text]) x;
-- @t fld03 field infer
SELECT ('{123-4}'::text)._d_chk;
-- @t fld04 field infer
PREPARE q AS SELECT ($1::text).d_chk; EXECUTE q('123-4');
-- @t fld05 field infer
CREATE TEMP TABLE z AS SELECT ('5555'::text).d_chk AS w; INSERT INTO z VALUES ('123-4');
-- @t fld06 field infer
SELECT coalesce.d_chk FROM coalesce('123-4'::text), (SELECT 1 FROM (SELECT 'x' AS d_chk) "coalesce") y;
-- @t fld07 field infer
WITH x AS (SELECT '123-4'::text AS a) SELECT x.d_chk FROM (SELECT a FROM x) y(d_chk), LATERAL (SELECT y.d_chk::text) x(a);
-- @t fld08 field infer
SELECT ('patients'::regclass).pg_relation_size;
-- @t fld09 field infer
SELECT x.pg_total_relation_size, x.pg_table_size, x.pg_indexes_size FROM unnest(ARRAY['more.people'::regclass]) x;
-- @t fld10 field infer
SELECT (datname).pg_database_size > 0 FROM pg_database WHERE datname = current_database(); SELECT ('clinic'::name).pg_database_size;
-- @t fld11 field infer
SELECT (oid::regclass).pg_relation_filenode IS NULL FROM pg_class WHERE relname = 'patients'; SELECT (0).pg_terminate_backend;
-- ---- types with code of their own, reached without naming them ---------------------------------------
-- @t cod01 populate_record infer
SELECT jsonb_populate_record(c, '{"word": "123"}') IS NULL FROM more.coded c ORDER BY id LIMIT 1;
-- @t cod02 populate_recordset infer
SELECT count(*) FROM more.coded c, LATERAL json_populate_recordset(c, '[{"words": ["914"]}]') r;
-- @t cod03 array_append infer
SELECT array_append(ARRAY[word], '123') FROM more.coded_part WHERE id = 1;
-- @t cod04 window_default infer
SELECT lag(word, 1, '123') OVER (ORDER BY id) FROM more.coded WHERE id < 3;
-- @t cod05 kept infer
CREATE TEMP TABLE kept AS SELECT word, words FROM more.coded; INSERT INTO kept VALUES ('123', '{914}');
-- @t cod06 view infer
SELECT lag(word, 1, '914') OVER (ORDER BY id), hstore(v) -> 'word' FROM more.v_coded v WHERE id < 3;
-- @t cod07 hstore infer
SELECT count(*) FROM more.coded c, LATERAL (SELECT populate_record(c, 'word=>123')) x;
-- @t cod08 returning infer
BEGIN; UPDATE more.coded SET id = 900 WHERE id = 1 RETURNING array_append(ARRAY[word], '123'); ROLLBACK;
-- @t cod09 condition infer
BEGIN; DELETE FROM more.coded_part c WHERE coalesce(nullif(array_append(ARRAY[c.word], '914'), NULL), NULL) IS NOT NULL AND id = 1; ROLLBACK;
-- @t cod10 whole_row infer
BEGIN; DELETE FROM more.coded c WHERE jsonb_populate_record(c, '{"word": "123"}') IS NOT NULL; ROLLBACK;
-- @t cod11 union infer
SELECT word FROM more.coded WHERE id < 3 UNION ALL SELECT '123';
-- ---- views whose own queries call what may not be called ----------------------------------------------
-- @t vcd01 operator mask
SELECT * FROM more.v_operator ORDER BY 1;
-- @t vcd02 through mask
SELECT * FROM more.v_through ORDER BY 1;
-- @t vcd03 built_in mask
SELECT * FROM more.v_xml;
-- @t vcd04 counter infer
SELECT v IS NULL FROM more.v_next;
-- @t vcd05 domain infer
SELECT id, v FROM more.v_cast ORDER BY id;
-- @t vcd06 default mask
BEGIN; INSERT INTO more.told(id) VALUES (900) RETURNING told; ROLLBACK;
-- ---- what splits relations below ------------------------------------------------------------------------
-- @t spl01 partition_below infer
SELECT tableoid::regclass, id FROM more.split ORDER BY id;
-- @t spl02 partition_order infer
SELECT id FROM more.split LIMIT 12;
-- @t spl03 partition_of_partition infer
SELECT id FROM more.split_e_low ORDER BY id;
-- @t spl04 partition_write infer
BEGIN; UPDATE more.split SET id = id + 1 WHERE id < 5; DELETE FROM more.split_e; ROLLBACK;
-- @t spl06 child infer
SELECT id FROM more.branch_low ORDER BY id; SELECT count(*) FROM more.branch_high;
-- @t spl07 child_tableoid infer
SELECT tableoid::regclass, id FROM more.branch ORDER BY id;
-- @t spl08 only infer
SELECT count(*) FROM ONLY more.branch; COPY more.branch TO STDOUT;
-- @t spl09 child_write infer
BEGIN; UPDATE more.branch_low SET id = id RETURNING id; ROLLBACK;
-- @t spl10 parent_write infer
BEGIN; UPDATE more.branch SET id = 1 WHERE id = 6 RETURNING tableoid; ROLLBACK;
-- ---- row security by what is hidden -------------------------------------------------------------------
-- @t rls01 own_column infer
SELECT count(*) FROM more.fenced;
-- @t rls02 other_relation infer
SELECT id FROM more.fenced_afar ORDER BY id;
-- @t rls03 join infer
SELECT p.id FROM plain p LEFT JOIN more.fenced f USING (id) WHERE f.id IS NULL ORDER BY 1;
-- @t rls04 view infer
SELECT count(*) FROM more.v_fenced;
-- @t rls05 copy infer
COPY more.fenced_afar TO STDOUT;
-- @t rls06 lock infer
BEGIN; SELECT id FROM more.fenced ORDER BY id FOR SHARE; ROLLBACK;
-- ---- what judges a write by a hidden value besides: NULLs, checks that rows may violate, indexes, children, partitions
-- @t nnd01 nulls_not_distinct infer
BEGIN; INSERT INTO more.lone(id, memo) VALUES (10, 'n'); ROLLBACK;
-- @t nnd02 nulls_in_an_expression infer
BEGIN; INSERT INTO more.lone_expr(id, memo) VALUES (10, 'n'); ROLLBACK;
-- @t nnd03 nulls_in_a_predicate infer
BEGIN; INSERT INTO more.lone_null(id, memo) VALUES (10, 'n'); ROLLBACK;
-- @t nnd04 nulls_quietly infer
BEGIN; INSERT INTO more.lone(id, memo) VALUES (10, 'n') ON CONFLICT DO NOTHING; ROLLBACK;
-- @t nnd05 nulls_merged infer
BEGIN; MERGE INTO more.lone_expr l USING (VALUES (10)) v(i) ON l.id = v.i WHEN NOT MATCHED THEN INSERT (id, memo) VALUES (v.i, 'n'); ROLLBACK;
-- @t nnd06 nulls_copied infer
BEGIN; COPY more.lone_null(id, memo) FROM STDIN;
10	n
\.
ROLLBACK;
-- @t nnd07 nulls_are_distinct works
BEGIN; INSERT INTO acct(id, visits) VALUES (900, 1); INSERT INTO more.home(id, visits) VALUES (900, 7); ROLLBACK;
-- Of what has rows by a check of its own over a hidden column it would tell which rows it has: that is one rule for every write and
-- read, also for an INSERT that returns nothing.
-- @t nnd08 where_a_check_decides deny
BEGIN; INSERT INTO more.heir(id, visits) VALUES (900, 7); ROLLBACK;
-- @t nvc01 not_valid infer
BEGIN; UPDATE more.late SET visits = 7 WHERE id = 1; ROLLBACK;
-- @t nvc02 not_valid_upsert infer
BEGIN; INSERT INTO more.late(id, visits) VALUES (1, 4) ON CONFLICT (id) DO UPDATE SET visits = 5; ROLLBACK;
-- @t nvc03 not_valid_merge infer
BEGIN; MERGE INTO more.late l USING (VALUES (1)) v(i) ON l.id = v.i WHEN MATCHED THEN UPDATE SET visits = 7; ROLLBACK;
-- @t nvc04 check_by_zone infer
SET timezone = 'America/Los_Angeles'; BEGIN; UPDATE more.styled SET visits = 7 WHERE id = 1; ROLLBACK;
-- @t nvc05 check_by_style infer
SET datestyle = 'ISO, DMY'; BEGIN; UPDATE more.styled SET visits = 7 WHERE id = 1; ROLLBACK;
-- @t nvc06 not_valid_assigned works
BEGIN; UPDATE more.late SET visits = 7, ssn = '91' WHERE id = 1; INSERT INTO more.late(id, visits) VALUES (10, 1); ROLLBACK;
-- @t idx01 entry_too_large infer
BEGIN; UPDATE more.wide SET memo = (SELECT string_agg(md5(g::text), '') FROM generate_series(1, 80) g) WHERE id = 1; ROLLBACK;
-- @t idx02 included_too_large infer
BEGIN; UPDATE more.wide_incl SET memo = (SELECT string_agg(md5(g::text), '') FROM generate_series(1, 80) g) WHERE id = 1; ROLLBACK;
-- @t idx03 expression_too_large infer
BEGIN; UPDATE more.wide_expr SET memo = (SELECT string_agg(md5(g::text), '') FROM generate_series(1, 80) g) WHERE id = 1; ROLLBACK;
-- @t idx04 null_takes_no_place infer
BEGIN; UPDATE more.wide_null SET memo = (SELECT left(string_agg(md5(g::text), ''), 2686) FROM generate_series(1, 90) g) WHERE id = 1; ROLLBACK;
-- @t idx05 expression_fails infer
BEGIN; UPDATE more.failing SET n = 2147483647 WHERE id = 1; UPDATE more.failing SET m = 4 WHERE id = 1; ROLLBACK;
-- @t idx06 predicate_fails infer
BEGIN; INSERT INTO more.failing(id, n) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET m = 4; ROLLBACK;
-- @t idx07 row_too_large infer
BEGIN; UPDATE more.broad SET memo = repeat('z', 4000) WHERE id = 1; ROLLBACK;
-- @t idx08 entry_of_several_rows infer
BEGIN; INSERT INTO more.wide_brin(id, memo) VALUES (10, (SELECT 'z' || string_agg(md5(g::text), '') FROM generate_series(1, 100) g)); ROLLBACK;
-- @t idx09 fixed_width works
BEGIN; UPDATE more.wide SET n = 7 WHERE id = 1; UPDATE patients SET visits = visits + 1, diagnosis = 'E11.9' WHERE id < 9; ROLLBACK;
-- @t chl01 check_of_a_child infer
BEGIN; UPDATE more.house SET visits = 200 WHERE id = 2; ROLLBACK;
-- @t chl02 unique_of_a_child infer
BEGIN; UPDATE more.home SET visits = 9 WHERE id IN (2, 4); ROLLBACK;
-- @t chl03 beside_the_child works
BEGIN; INSERT INTO more.home VALUES (10, 3); ROLLBACK;
-- The key of a house is not that of an heir, and who is one is decided by what is hidden.
-- @t chl04 key_beside_the_child deny
BEGIN; INSERT INTO more.house VALUES (10, 200); ROLLBACK; UPDATE more.house SET id = 11 WHERE id = 2;
-- @t mov01 check_of_a_partition infer
BEGIN; UPDATE more.moved SET region = 'w' WHERE id = 1; ROLLBACK;
-- @t mov02 unique_of_a_partition infer
BEGIN; UPDATE more.moved SET region = 'x' WHERE id = 6; ROLLBACK;
-- @t mov03 partitioned_again infer
BEGIN; UPDATE more.moved SET region = 'y' WHERE id = 1; ROLLBACK;
-- @t mov04 key_of_a_partition infer
BEGIN; UPDATE more.moved SET region = 'z' WHERE id = 6; ROLLBACK;
-- @t mov05 not_null_of_a_partition infer
BEGIN; UPDATE more.moved SET region = 'n' WHERE id = 3; ROLLBACK;
-- @t mov06 index_of_a_partition infer
BEGIN; UPDATE more.moved SET region = 'i' WHERE id = 4; ROLLBACK;
-- @t mov07 moved_by_merge infer
BEGIN; MERGE INTO more.moved m USING (VALUES (1)) v(i) ON m.id = v.i WHEN MATCHED THEN UPDATE SET region = 'w'; ROLLBACK;
-- @t mov08 moved_where_all_is_alike works
BEGIN; UPDATE more.shifted SET region = 'w' WHERE id = 1; UPDATE more.shifted SET id = 10 WHERE id = 1; ROLLBACK;
-- Under `more.moved` rows are partitioned by the hidden column, and an UPDATE finds, returns and fails in the order of the partitions:
-- it is refused whatever it assigns.
-- @t mov20 partitioned_below deny
BEGIN; UPDATE more.moved SET id = 10 WHERE id = 1 RETURNING id; ROLLBACK;
-- @t rls07 values mask
SELECT id, ssn FROM more.fenced ORDER BY id;
-- @t rec31 search infer
with recursive t(n, s) as (select id, ssn from patients where id = 1 union all select p.id, p.ssn from t join patients p on p.id = t.n + 1 and p.id < 20) search breadth first by s set o select n, o from t order by o, n;
-- @t rec32 cycle infer
with recursive t(n, s) as (select id, left(ssn, 1) from patients where id = 1 union all select p.id, left(p.ssn, 1) from t join patients p on p.id = t.n + 1) cycle s set again to 'y' default 'n' using way select * from t order by n; with recursive t(n, s) as (select id, left(ssn, 1) from patients where id = 1 union all select p.id, left(p.ssn, 1) from t join patients p on p.id = t.n + 1) cycle s set again using way select * from t order by n;
-- @t phy16 tableoid_star infer
select tableoid::regclass, * from patients order by id; select p.tableoid, p.* from more.events p order by p.id; select tableoid, ctid, * from more.events limit 1;
-- @t phy17 tableoid_star_filtered infer
select *, tableoid from orders order by id; select tableoid::regclass, * from more.shared; select tableoid, * from claims order by 2, 3;
-- @t phy18 catalog_xmin infer
select max(xmin::text::bigint), count(xmin), count(distinct age(xmin)) from pg_class; select age(xmin) from pg_attribute where attrelid = 'patients'::regclass order by 1;
-- @t sys27 locks_of_rows infer
begin; select id from patients for update; select mode, count(*) from pg_locks group by 1 order by 1; select count(*) from pg_cursors; rollback; select count(*), sum(numbackends), sum(tup_fetched), max(stats_reset) from pg_stat_database;
-- @t sys28 counts infer
select pg_stat_get_numscans(indexrelid), pg_stat_get_tuples_inserted(indrelid), pg_stat_get_live_tuples(indrelid), pg_stat_get_blocks_hit(indrelid) from pg_index where indrelid = 'patients'::regclass order by 1; select (c.oid).pg_stat_get_live_tuples from pg_class c where relname = 'patients'; select (t.o).pg_stat_get_numscans, (t.o).pg_stat_get_blocks_hit from (select 'patients_pkey'::regclass::oid) t(o);
-- @t sys29 large_objects infer
select count(*) from pg_largeobject_metadata; select lomacl from pg_largeobject_metadata limit 1; select umoptions from pg_user_mappings; select dictinitoption from pg_ts_dict order by 1 nulls last limit 1;
-- @t ses18 reset_all infer
set datestyle = 'German'; reset all; show standard_conforming_strings; select 'a\' || max(ssn) from patients; reset all; set standard_conforming_strings = off; select 'a\' || max(ssn) from patients;
-- @t ses19 role_stays deny
set role none; select max(ssn) from patients; set session authorization default; select max(ssn) from patients; reset role; select current_user = session_user, max(ssn) from patients;
-- @t tmp31 truncate infer
begin; create temp table patients (id int4, ssn text); truncate patients; select max(ssn) from public.patients; truncate public.patients; rollback; begin; truncate patients; rollback;
-- @t tmp32 drop_nothing infer
drop table if exists pg_temp.patients; drop table if exists nothing_here, patients; drop table if exists more.nothing_here; select max(ssn) from patients;
-- @t inh14 tableoid_in_a_view infer
select part, count(*) from more.v_yard group by 1 order by 1; select * from more.v_yard order by id;
-- @t inh15 only_in_a_view infer
select count(*) from more.v_yard_only; select max(id) from more.v_yard_only;
-- @t inh16 views_of_parents infer
select count(*), max(id) from more.yard where id > 15; select y from more.yard y order by id limit 1; copy more.yard to stdout; select visits, count(*) from more.yard group by id order by 1 limit 2;
-- @t phy19 ctid_of_a_parent infer
select id, ctid, xmin, cmax from more.plot order by id; select (p).ctid from more.plot p; select max(ctid) from more.plot; select (p.*).ctid from more.plot p;
-- @t phy20 sample_of_a_parent infer
select count(*) from more.plot tablesample system (50) repeatable (1); select count(*) from more.plot tablesample system (50);
-- @t phy21 ctid_in_a_view infer
select * from more.v_plot order by id; select max(lies) from more.v_plot;
-- @t phy22 sample_in_a_view infer
select count(*) from more.v_plot_sample;
-- @t phy23 ctid_of_a_written_parent infer
begin; update more.plot set visits = 1 where id = 300 returning ctid; rollback; begin; delete from more.plot where ctid > '(0,200)' returning id; rollback;
-- @t row31 filter_of_a_view mask
select * from more.v_pool order by id; select count(*), sum(amount) from more.v_pool; select * from more.v_pool_over order by id;
-- @t row32 errors_of_a_view infer
select count(*) from more.v_pool where 1 / (amount - 7) is not null; select count(*) from more.v_pool_over where 1 / (amount - 8) is not null;
-- @t row33 plan_of_a_view infer
explain select * from more.v_pool where amount = 7; explain (verbose) select id from more.v_pool_over where amount = 8;
-- @t msk01 bucket_of_a_small_number err
select dose from more.scaled order by id; select id from more.scaled where dose = 0 order by id;
-- @t msk02 bucket_of_many_digits err
select sum from more.scaled order by id; select max(sum) from more.scaled;
-- @t idx11 unique_text_of_a_fraction infer
BEGIN; SET LOCAL extra_float_digits = -15; UPDATE more.loose SET n = 3 WHERE id = 2; ROLLBACK;
-- @t idx12 failing_text_of_a_fraction infer
BEGIN; SET LOCAL extra_float_digits = -15; UPDATE more.loose_expr SET n = 3 WHERE id = 1; ROLLBACK;
-- @t idx13 failing_text_of_bytes infer
BEGIN; SET LOCAL bytea_output = escape; INSERT INTO more.loose_where(id, n) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = 3; ROLLBACK;
-- @t mov09 moved_with_text_of_a_fraction infer
BEGIN; SET LOCAL extra_float_digits = -15; UPDATE more.loose_moved SET region = 'w' WHERE id = 1; ROLLBACK;
-- @t idx14 loose_and_assigned works
BEGIN; UPDATE more.loose_expr SET n = 3, f = 100.5 WHERE id = 1; INSERT INTO more.loose_expr(id, n, f) VALUES (9, 1, 100.5); DELETE FROM more.loose WHERE id = 2; ROLLBACK;
-- @t num01 shared_sequence infer
BEGIN; INSERT INTO more.ticket(label) VALUES ('x') RETURNING id > 250; ROLLBACK;
-- @t num02 shared_sequence_by_word infer
BEGIN; INSERT INTO more.ticket VALUES (DEFAULT, 'x'); SELECT max(id) > 250 FROM more.ticket WHERE label = 'x'; ROLLBACK; BEGIN; UPDATE more.ticket SET id = DEFAULT RETURNING id > 250; ROLLBACK;
-- @t num03 shared_sequence_by_copy infer
BEGIN; COPY more.ticket(label) FROM STDIN;
x
\.
SELECT id > 250 FROM more.ticket WHERE label = 'x'; ROLLBACK;
-- @t num04 shared_sequence_by_merge infer
BEGIN; MERGE INTO more.ticket t USING (VALUES ('x')) v(l) ON t.label = v.l WHEN NOT MATCHED THEN INSERT (label) VALUES (v.l); SELECT max(id) > 250 FROM more.ticket WHERE label = 'x'; ROLLBACK;
-- @t num06 shared_sequence_of_a_table_like_it infer
BEGIN; CREATE TEMP TABLE z (LIKE more.ticket INCLUDING DEFAULTS); INSERT INTO z(label) VALUES ('x') RETURNING id > 250; ROLLBACK;
-- @t num05 number_given works
BEGIN; INSERT INTO more.ticket(id, label) VALUES (900, 'x'), (901, 'y') RETURNING id; UPDATE more.ticket SET label = 'z' WHERE id = 900; DELETE FROM more.ticket WHERE id = 901; ROLLBACK;
-- @t tra01 path_of_a_failed_transaction mask
BEGIN; SET search_path = more; SELECT 1 / 0; COMMIT; SELECT ssn, diagnosis FROM patients ORDER BY id LIMIT 1;
-- @t tra02 path_of_a_savepoint mask
BEGIN; SAVEPOINT a; SET search_path = more; ROLLBACK TO a; SELECT ssn, diagnosis FROM patients ORDER BY id LIMIT 1; COMMIT;
-- @t tra03 path_of_a_chain mask
BEGIN; SET search_path = more; COMMIT AND CHAIN; SET search_path = public; ROLLBACK; SELECT ssn, label FROM patients ORDER BY id LIMIT 1;
-- @t phy24 locks_of_foreign_keys infer
select id, xmax from more.doctor order by id; select id from more.doctor where xmax <> 0 order by id; select (d).xmax from more.doctor d order by id; select d.XMAX, U&"xm\0061x" from more.doctor d order by id;
-- @t phy25 locks_in_a_view infer
select * from more.v_doctor order by id; select count(distinct locked::text) from more.v_doctor;
-- @t phy26 locks_of_a_written_row infer
begin; update more.doctor set name = name where xmax::text <> '0' returning id; rollback; begin; update more.doctor set name = 'x' where id = 1 returning xmax::text = '0'; rollback;
-- @t vcd07 called_like_a_built_in_function infer
select * from more.v_upper order by id; select max(v) from more.v_upper;
-- @t vcd08 behind_an_operator_of_a_cleared_view infer
select * from more.v_behind order by id;
-- @t phy29 sizes_of_values infer
create temp table z as select id, diagnosis, ssn from patients; select pg_column_size(diagnosis), pg_column_size(z), pg_column_compression(ssn) from z; select sum(pg_column_size(p)), sum(pg_column_size(p.id)), max(pg_column_size(p.diagnosis)) from patients p; select p.pg_column_size from patients p; select pg_column_size((select ssn from patients where id = 1));
-- @t phy30 where_files_are infer
select pg_relation_filepath('patients'), pg_relation_size('patients'), pg_sequence_last_value('plain_seq'), pg_current_wal_lsn(), pg_xact_status(pg_current_xact_id()); select current_setting('data_directory', true); show all;
-- @t tmp33 like infer
create temp table z (like patients including all); insert into z select * from patients; select max(ssn), max(mrn) from z; create temp table y (like more.coded); create temp table x (like more.defaulted including defaults); insert into x (id) values (1); select * from x;
-- @t tmp34 keys_to_others infer
create temp table z (id int references patients (id)); create temp table y (ssn text references acct (ssn)); create temp table x (a int generated always as identity (sequence name public.plain_seq)); create temp table w (a serial, v d_chk);
-- @t tmp35 own_code infer
create temp table z as select id, ssn from patients; create index on z (f_sql(id)); alter table z alter column ssn type int using ssn::int; alter table z add check (f_chk(ssn)); alter table z add column w d_chk; analyze z; select most_common_vals::text, n_distinct from pg_stats where tablename = 'z'; vacuum (verbose) z;
-- @t tmp36 alter_others infer
create temp table z (id int); alter table patients add column x int; alter table z inherit patients; create index on patients (ssn); analyze patients; analyze; alter table z rename to patients; select max(ssn) from patients;
-- @t pro33 current_of infer
begin; declare c cursor for select id from patients order by id for update; fetch 1 c; update patients set visits = 1 where current of c; rollback; begin; declare c cursor for select id from orders order by id; fetch 1 c; delete from orders where current of c; rollback;
-- @t dom01 row_types infer
select (row(1, 'a', 'b')::more.coded_part).word; select (jsonb_populate_record(null::more.coded_part, '{"word": "123"}')).word; select jsonb_populate_record(null::more.coded, '{"word": "1"}'); select p::patients from patients p; select null::mv_pat; select (jsonb_populate_record(null::encounters, '{"id": 1}')).ssn_of; select 'x'::more.nest;
-- @t con01 deferred infer
begin; set constraints all deferred; insert into acct_ref (id, ssn) values (900, '123-45-6789'); update acct set admitted = '1900-01-01' where id = 1; set constraints all immediate; commit; begin; set constraints acct_ref_ssn_fkey deferred; rollback;
-- @t flt01 planner infer
set enable_seqscan = off; set enable_indexscan = off; set cpu_operator_cost = 1000; set from_collapse_limit = 1; select id from orders where 1 / (amount - 7) > 0 order by id; select id from more.shared where 1 / (amount - 7) > 0 order by id; select id from more.events where 10 / (amount - 7) > -1 order by id;
-- @t fun71 seeded infer
select setseed(0.25); select count(*) from orders where random() < 2; select random(); select setseed(0.25); select count(*) from patients where random() < 2 and ssn is null; select random();
-- @t fun72 xml_rows infer
select p.id, x.v from patients p, xmltable('/a' passing xmlelement(name a, p.ssn) columns v text path '.' default p.name) x order by 1; select x.* from xmltable('/a' passing '<a/>' columns v d_chk path '.') x;
-- @t fun73 rewritten_queries infer
select ts_rewrite('a & b'::tsquery, 'select ssn::tsquery, ssn::tsquery from patients'); select ts_rewrite('a'::tsquery, 'a'::tsquery, (select max(ssn) from patients)::tsquery);
-- ---- what tools may ask ----------------------------------------------------------------------
-- @t ask01 statistics mask
SELECT * FROM pg_stats WHERE tablename = 'patients'; SELECT * FROM pg_stats_ext; SELECT * FROM pg_stats_ext_exprs; SELECT count(*) FROM pg_stats;
-- @t ask02 counted mask
SELECT relname, seq_tup_read, n_live_tup FROM pg_stat_xact_user_tables ORDER BY 1; SELECT * FROM pg_stat_user_functions; SELECT * FROM pg_stat_wal; SELECT * FROM pg_stat_slru ORDER BY 1; SELECT * FROM pg_stat_bgwriter; SELECT relname, blks_hit FROM pg_statio_user_sequences ORDER BY 1; SELECT * FROM pg_statio_sys_tables ORDER BY relid;
-- @t ask03 widths mask
SELECT pg_column_size(ssn), pg_column_size(p), pg_column_compression(ssn), pg_relation_filepath('patients'), pg_sequence_last_value('plain_seq') FROM patients p ORDER BY id; SELECT sum(pg_column_size(p.*)) FROM more.people p;
-- @t ask04 settings infer
SELECT (pg_show_all_settings()).setting; SELECT s.setting FROM patients p, LATERAL pg_show_all_settings() s WHERE p.ssn LIKE '1%'; SELECT count(*) FROM pg_show_all_settings() AS pg_settings(ssn), patients WHERE patients.ssn = pg_settings.ssn;
-- @t ask05 settings_from_values infer
SELECT set_config('work_mem', ssn, false) FROM patients; SELECT set_config(p.ssn, '1', false) FROM patients p; SELECT set_config('work_mem', (SELECT ascii(max(ssn)) || 'MB' FROM patients), false); SHOW work_mem;
-- @t ask06 zone_without_fields infer
SET TIME ZONE INTERVAL '1 hour';
SELECT max(ssn) FROM patients;
SET TIME ZONE INTERVAL(3) '1 hour'; SET LOCAL TIME ZONE INTERVAL '1' DAY; SELECT max(ssn) FROM patients;
-- @t ask07 row_functions mask
SELECT information_schema._pg_truetypid(p.*, p.*) FROM patients p; SELECT information_schema._pg_truetypmod(a.*, t.*) FROM (SELECT ssn AS typtype, ssn AS typtypmod FROM patients) t, (SELECT ssn AS atttypmod FROM patients) a; SELECT information_schema._pg_index_position(1, id::int2) FROM patients ORDER BY id;
-- @t ask08 stars_beside mask
SELECT p.xmin, p.* FROM patients p JOIN encounters e ON e.patient_id = p.id ORDER BY p.id LIMIT 3; SELECT t.tableoid::regclass, t.*, p.* FROM more.events t JOIN patients p ON p.id = t.id ORDER BY p.id, t.id LIMIT 3; SELECT c.xmin, c.* FROM pg_class c WHERE relname = 'patients';
-- @t ask09 types_of_the_schema mask
SELECT ssn::information_schema.cardinal_number FROM patients ORDER BY id LIMIT 3; SELECT ssn::information_schema.yes_or_no, mrn::information_schema.character_data[] FROM patients ORDER BY id LIMIT 3;
-- @t ask10 grouped mask
SELECT table_name, count(*) FROM information_schema.columns GROUP BY table_name ORDER BY 1; SELECT c.oid, max(c.relpages) FROM pg_class c GROUP BY c.oid ORDER BY 1 LIMIT 3; SELECT relname, reltuples FROM pg_class GROUP BY oid;
-- @t ask11 foreign_options mask
SELECT * FROM information_schema.user_mapping_options; SELECT * FROM information_schema.foreign_table_options; SELECT * FROM information_schema.foreign_server_options; SELECT * FROM pg_seclabels; SELECT * FROM pg_seclabel;
-- @t bar01 by_name_sorted_by_hidden infer
SELECT id FROM patients ORDER BY ssn LIMIT 3;
-- @t bar02 result_named_as_hidden_in_expression infer
SELECT id, 0 AS ssn FROM patients ORDER BY ssn || '', id LIMIT 3;
-- @t bar03 result_named_as_hidden_grouped_by infer
SELECT count(*), 0 AS ssn FROM patients GROUP BY patients.ssn, ssn ORDER BY 1 DESC, 2 LIMIT 3;
-- @t bar04 result_named_as_hidden_in_window infer
SELECT id, rank() OVER (ORDER BY ssn), 1 AS ssn FROM patients ORDER BY 1 LIMIT 5;
-- @t bar05 result_named_as_hidden_picked_by infer
SELECT DISTINCT ON (patients.ssn) id, 1 AS ssn FROM patients ORDER BY patients.ssn, ssn, id LIMIT 3;
-- @t bar06 by_name_filtered_by_hidden infer
SELECT string_agg(id::text, ' ' ORDER BY id) FILTER (WHERE ssn < '5') AS id FROM patients;
-- @t bar07 whole_row_by_name mask
SELECT id, ARRAY[patients]::text AS ssn FROM patients ORDER BY id LIMIT 2;
-- @t bar08 column_called_as_function mask
SELECT id, left(ssn(patients), 3) AS ssn FROM patients ORDER BY id LIMIT 2;
-- @t bar09 named_from_inside infer
SELECT (SELECT count(*) FROM plain WHERE plain.id = patients.id AND patients.ssn < '5') AS ssn FROM patients ORDER BY id LIMIT 3;
-- @t bar10 place_by_name infer
SELECT name AS ctid FROM patients ORDER BY patients.ctid LIMIT 3;
-- ---- names after a search path of a transaction -------------------------------------------------------------------------
-- @t lsp01 names mask
BEGIN; SET LOCAL search_path = more; COMMIT; SELECT ssn, diagnosis FROM patients ORDER BY id LIMIT 1;
-- @t lsp02 names mask
BEGIN; SET LOCAL search_path = more; SELECT 1 / 0; COMMIT; SELECT ssn, diagnosis FROM patients ORDER BY id LIMIT 1;
-- @t lsp03 names mask
BEGIN; SET search_path = public; SET LOCAL search_path = more; COMMIT AND CHAIN; SELECT ssn, diagnosis FROM patients ORDER BY id LIMIT 1; ROLLBACK; SELECT ssn, diagnosis FROM patients ORDER BY id LIMIT 1;
-- @t lsp04 names mask
BEGIN; SAVEPOINT a; SET LOCAL search_path = more; ROLLBACK TO a; SELECT ssn, diagnosis FROM patients ORDER BY id LIMIT 1; RELEASE a; SELECT ssn FROM patients ORDER BY id LIMIT 1; COMMIT;
-- @t lsp05 names mask
BEGIN; SET LOCAL search_path = more \; COMMIT \; SELECT ssn FROM patients ORDER BY id LIMIT 1;
-- @t lsp06 names mask
SET LOCAL search_path = more \; SELECT ssn FROM patients ORDER BY id LIMIT 1; SELECT ssn FROM patients ORDER BY id LIMIT 1;
-- @t lsp07 names mask
BEGIN; SET LOCAL search_path = more; PREPARE q AS SELECT ssn, label FROM patients ORDER BY id LIMIT 1; EXECUTE q; COMMIT; EXECUTE q; PREPARE r AS SELECT ssn FROM patients ORDER BY id LIMIT 1; BEGIN; SET LOCAL search_path = more; EXECUTE r; ROLLBACK; EXECUTE r;
-- @t lsp08 names mask
BEGIN; SET LOCAL search_path = more; DECLARE c CURSOR WITH HOLD FOR SELECT ssn, label FROM patients ORDER BY id; COMMIT; FETCH 2 c; SELECT ssn, diagnosis FROM patients ORDER BY id LIMIT 1; CREATE TEMP TABLE patients AS SELECT 1 AS ssn; BEGIN; SET LOCAL search_path = more; SELECT * FROM patients; ROLLBACK; SELECT * FROM patients;
-- @t lsp09 names mask
BEGIN; SET LOCAL search_path = more; ROLLBACK \; SELECT ssn FROM patients ORDER BY id LIMIT 1; SELECT ssn FROM patients ORDER BY id LIMIT 1;
-- @t lsp10 names mask
SET search_path = more; SET search_path FROM CURRENT; SELECT label FROM patients ORDER BY id LIMIT 1; BEGIN; SET LOCAL search_path FROM CURRENT; SELECT label FROM patients ORDER BY id LIMIT 1; COMMIT; BEGIN; SET LOCAL search_path TO DEFAULT; SELECT ssn FROM patients ORDER BY id LIMIT 1; COMMIT; SELECT label FROM patients ORDER BY id LIMIT 1;
-- ---- grouping by a key, with what cannot be grouped by -------------------------------------------------------------------
-- @t pks07 values mask
SELECT s.id, s.sealed, s.sealed::text AS t, json_agg(s.sealed), s, row_to_json(s), (SELECT s.ssn) FROM more.sheet s GROUP BY s.id ORDER BY s.id;
-- @t pks08 order mask
SELECT s.id FROM more.sheet s GROUP BY s.id HAVING s.sealed IS NOT NULL OR s.id > 1 ORDER BY s.sealed::text, s::text, (SELECT s.ssn), s.id; SELECT s.id, row_number() OVER (ORDER BY s.sealed::text DESC, s.id) FROM more.sheet s GROUP BY s.id, ROLLUP (s.ssn) ORDER BY 2;
-- ---- what a short text may come to, and who else is there ------------------------------------
-- @t big01 doubled_columns err
SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT *, * FROM (SELECT id FROM plain) q) q) q) q) q) q) q) q) q) q) q) q) q) q) q) q) q) q) q) q) q) q) q) q;
-- @t big02 doubled_looks err
SELECT pg_get_function_arguments((pg_get_function_arguments((pg_get_function_arguments((pg_get_function_arguments((pg_get_function_arguments((pg_get_function_arguments((pg_get_function_arguments((pg_get_function_arguments((pg_get_function_arguments((pg_get_function_arguments((pg_get_function_arguments((pg_get_function_arguments((pg_get_function_arguments((pg_get_function_arguments((pg_get_function_arguments((pg_get_function_arguments((1)::text::oid))::text::oid))::text::oid))::text::oid))::text::oid))::text::oid))::text::oid))::text::oid))::text::oid))::text::oid))::text::oid))::text::oid))::text::oid))::text::oid))::text::oid))::text::oid);
-- @t con02 conflicts_of_pages infer
BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT id FROM more.bed WHERE id IN (1, 2, 3); COMMIT; SET default_transaction_isolation = serializable; SHOW default_transaction_isolation; SELECT set_config('default_transaction_isolation', 'serializable', false); SHOW default_transaction_isolation;
-- ---- rows that are placed by what is hidden: keys are of one relation each ---------------------------------------------------
-- @t inh17 key_of_the_parent_alone infer
BEGIN; INSERT INTO more.yard VALUES (18, 13); ROLLBACK; BEGIN; INSERT INTO more.yard VALUES (18, 13) ON CONFLICT DO NOTHING; ROLLBACK;
-- @t inh18 key_of_the_parent_moved infer
BEGIN; UPDATE more.yard SET id = 18 WHERE id = 2; ROLLBACK; BEGIN; UPDATE more.yard SET visits = visits + 1; ROLLBACK;
-- @t inh19 key_from_a_query infer
BEGIN; INSERT INTO more.yard SELECT id, 1 FROM generate_series(15, 16) id; ROLLBACK; BEGIN; INSERT INTO more.yard VALUES (18, 1) ON CONFLICT (id) DO UPDATE SET visits = 1; ROLLBACK;
-- @t inh20 key_to_the_child_alone infer
BEGIN; INSERT INTO more.lot_of VALUES (1, 4); ROLLBACK; BEGIN; INSERT INTO more.lot_of VALUES (1, 14) ON CONFLICT DO NOTHING; ROLLBACK;
-- @t inh21 key_of_the_child_alone infer
BEGIN; DELETE FROM more.owner WHERE id = 4; ROLLBACK; BEGIN; DELETE FROM more.owner WHERE id = 14; ROLLBACK;
-- @t inh22 locks_of_the_child_alone infer
SELECT id, xmax = 0 FROM more.owner ORDER BY id;
-- @t inh23 key_to_a_partition_alone infer
BEGIN; INSERT INTO more.wave_of VALUES (1, 4); ROLLBACK; BEGIN; INSERT INTO more.wave_of VALUES (1, 14); ROLLBACK;
-- @t inh24 policy_over_the_child_alone infer
SELECT id FROM more.fenced_low ORDER BY id; SELECT count(*) FROM more.fenced_low;
-- @t inh25 key_beside_the_child works
BEGIN; INSERT INTO more.lot_of (id) VALUES (1); ROLLBACK;
-- @t inh26 child_that_wants_a_value infer
SELECT id FROM more.twig_named ORDER BY id; SELECT count(*) FROM ONLY more.twig; SELECT id, tableoid::regclass::text FROM more.twig ORDER BY id;
-- @t inh27 written_child_that_wants_a_value infer
BEGIN; UPDATE more.twig SET ssn = NULL WHERE id = 4; ROLLBACK; BEGIN; INSERT INTO more.twig VALUES (4, NULL); ROLLBACK;
-- @t inh28 parent_of_a_child_that_wants_a_value works
SELECT id FROM more.twig ORDER BY id;
-- @t rls10 key_to_rows_that_are_left_out infer
SELECT count(*) FROM more.veiled; BEGIN; INSERT INTO more.veiled_of VALUES (1, 3); ROLLBACK;
-- @t rls11 key_from_rows_that_are_left_out infer
BEGIN; DELETE FROM more.veil_owner WHERE id = 3; ROLLBACK; SELECT id, xmax = 0 FROM more.veil_owner ORDER BY id;
-- @t inh29 order_of_a_parents_rows works
SELECT id, owner FROM more.lot; SELECT array_agg(id) FROM more.lot; SELECT id FROM more.lot WHERE owner > 5 LIMIT 3; COPY (SELECT id FROM more.lot) TO STDOUT; BEGIN; DECLARE c CURSOR FOR SELECT id FROM more.yard; FETCH 3 FROM c; ROLLBACK;
-- @t inh30 order_of_a_parents_deleted_rows infer
BEGIN; DELETE FROM more.twig RETURNING id; ROLLBACK; BEGIN; DELETE FROM more.yard RETURNING id; ROLLBACK; BEGIN; SELECT id FROM more.lot FOR UPDATE; ROLLBACK; SELECT id FROM more.twig; SELECT l.id FROM more.lot l JOIN more.yard y USING (id); SELECT DISTINCT owner FROM more.lot;
-- @t inh31 conditions_on_placed_rows infer
SELECT id FROM more.branch WHERE CASE id WHEN 8 THEN 1 / (id - 8) = 1 WHEN 9 THEN sqrt(8 - id) = 1 END; SELECT setseed(0.5); SELECT id FROM more.lot WHERE random() < 0.5; SELECT setseed(0.5); SELECT t.id FROM more.twig t JOIN plain p ON random() < 0.5 ORDER BY 1; SELECT setseed(0.5); COPY (SELECT id FROM more.branch WHERE random() < 0.5) TO STDOUT;
-- @t inh32 conditions_on_changed_placed_rows infer
BEGIN; SELECT setseed(0.5); DELETE FROM more.branch WHERE random() < 0.5; SELECT id FROM more.branch ORDER BY id; ROLLBACK; BEGIN; SELECT setseed(0.5); MERGE INTO more.twig t USING plain p ON p.id = 1 WHEN MATCHED AND random() < 0.5 THEN DELETE; SELECT id FROM more.twig ORDER BY id; ROLLBACK;
-- @t inh33 parent_with_a_check_of_its_own infer
SELECT id FROM ONLY more.nook ORDER BY id; SELECT id, tableoid::regclass FROM more.nook ORDER BY id; SELECT id FROM more.nook; BEGIN; UPDATE more.nook SET ssn = 'zz' WHERE id < 2; ROLLBACK; SELECT id FROM more.nook_child ORDER BY id;
-- @t inh34 child_that_wants_no_value infer
SELECT id FROM ONLY more.cove ORDER BY id; SELECT id, tableoid::regclass FROM more.cove ORDER BY id; SELECT id FROM more.cove; BEGIN; DELETE FROM ONLY more.cove; ROLLBACK; SELECT id FROM more.cove_child ORDER BY id;
-- @t inh35 check_of_one_parent infer
SELECT id FROM ONLY more.sire ORDER BY id; SELECT id, tableoid::regclass FROM more.sire ORDER BY id; SELECT id FROM more.sire; SELECT id FROM ONLY more.dam ORDER BY id; SELECT id, tableoid::regclass FROM more.dam ORDER BY id; SELECT id FROM more.dam; BEGIN; DELETE FROM more.sire RETURNING tableoid; ROLLBACK; SELECT id FROM more.foal ORDER BY id;
-- @t inh36 key_of_a_child infer
SELECT id FROM ONLY more.flock ORDER BY id; SELECT id, tableoid::regclass FROM more.flock ORDER BY id; SELECT id FROM more.flock; SELECT id FROM more.flock_ringed ORDER BY id;
-- @t inh37 rows_that_are_written_alike infer
SET extra_float_digits = -15; SELECT array_agg((id * 100)::int) FROM more.gauge; SELECT (id * 100)::int FROM more.gauge; SELECT id FROM more.gauge;
-- @t inh38 relation_beside_placed_rows works
SELECT id FROM more.gauge WHERE id < 1.05 ORDER BY id; SELECT count(*) FROM more.nook; SELECT count(*) FROM more.flock f JOIN more.sire s USING (id);
-- @t exe01 explained_table_from_a_prepared_statement infer
PREPARE q AS SELECT id FROM orders; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) CREATE TEMP TABLE zz AS EXECUTE q; EXPLAIN (FORMAT JSON) CREATE TEMP TABLE zz AS EXECUTE q; PREPARE r AS SELECT id FROM patients; EXPLAIN CREATE TEMP TABLE zz AS EXECUTE r; PREPARE s AS UPDATE patients SET visits = visits; EXPLAIN CREATE TEMP TABLE zz AS EXECUTE s;
-- @t exe02 explained_tables_that_are_made infer
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) CREATE TEMP TABLE zz AS SELECT id FROM orders; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT id INTO TEMP zz FROM orders; EXPLAIN CREATE TEMP TABLE zz AS SELECT id FROM orders;
-- @t rls12 rows_that_are_left_out_and_counted infer
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM more.veiled; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT 1 FROM plain p JOIN more.veiled v ON v.id = p.id; PREPARE q AS SELECT id FROM more.veiled; EXPLAIN EXECUTE q; EXPLAIN SELECT id FROM more.veiled;
-- @t rls13 place_of_rows_beside_those_left_out infer
SELECT id, ctid FROM more.veiled ORDER BY id; SELECT id FROM more.veiled WHERE ctid = '(0,5)'; SELECT id FROM more.veiled TABLESAMPLE BERNOULLI (50) REPEATABLE (1); SELECT id FROM more.veiled TABLESAMPLE SYSTEM (50); SELECT xmin IS NULL, id FROM more.veiled ORDER BY id;
-- @t rls14 relation_with_row_security works
SELECT id, owner FROM more.veiled WHERE id < 9 ORDER BY id; SELECT count(*) FROM more.veiled; SELECT v.id FROM more.veiled v JOIN more.veil_owner o ON o.id = v.owner ORDER BY 1 LIMIT 2;
-- @t lck01 locks_of_keys_that_are_looked_at_again infer
BEGIN; UPDATE more.seen_by SET id = id WHERE id = 1; UPDATE more.seen_by SET id = id WHERE id = 1; EXPLAIN (ANALYZE, WAL, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT id FROM more.doctor WHERE id = 1 FOR KEY SHARE; ROLLBACK; BEGIN; UPDATE more.seen_by SET id = id WHERE id = 1; UPDATE more.seen_by SET id = id WHERE id = 1; SELECT mxid_age('1'::xid) IS NULL; SAVEPOINT s; SELECT id FROM more.doctor WHERE id = 1 FOR UPDATE; ROLLBACK TO s; SELECT id FROM more.doctor ORDER BY id FOR NO KEY UPDATE SKIP LOCKED; ROLLBACK;
-- @t lck02 commands_that_keys_are_looked_at_in infer
CREATE TEMP TABLE x (a int); BEGIN; UPDATE acct_ref SET memo = memo; UPDATE acct_ref SET memo = memo; INSERT INTO x VALUES (1) RETURNING cmin; INSERT INTO plain VALUES (3, 'x') RETURNING cmin; SELECT max(cmin::text) FROM x; SELECT (x).cmax FROM x; ROLLBACK;
-- @t lck03 locks_beside_keys works
BEGIN; SELECT id FROM patients WHERE id = 1 FOR UPDATE; SELECT id FROM plain ORDER BY id LIMIT 1 FOR SHARE SKIP LOCKED; ROLLBACK;
-- @t wrt60 sub_selects_beside_what_is_written works
BEGIN; UPDATE patients p SET visits = s.n FROM (SELECT id, count(name) AS n FROM patients GROUP BY 1) s WHERE s.id = p.id; ROLLBACK; BEGIN; DELETE FROM patients p USING (SELECT id, ssn FROM patients) s WHERE s.id = p.id AND s.ssn = '123-45-6789'; ROLLBACK; BEGIN; MERGE INTO patients p USING (SELECT id, zip, visits FROM patients) s ON s.id = p.id WHEN MATCHED THEN UPDATE SET visits = s.visits; ROLLBACK;
-- @t wrt61 sub_selects_that_name_what_is_written infer
BEGIN; UPDATE patients p SET visits = 1 FROM (SELECT 1 AS id WHERE p.ssn = '123-45-6789') s WHERE s.id = p.id; ROLLBACK; BEGIN; UPDATE patients p SET visits = 1 FROM LATERAL (SELECT p.ssn AS x) s WHERE s.x = '123-45-6789'; ROLLBACK; BEGIN; UPDATE patients p SET visits = 1 FROM plain q JOIN plain r ON p.ssn = '123-45-6789' WHERE p.id = q.id; ROLLBACK; BEGIN; DELETE FROM patients USING (SELECT patients.ssn AS x) s WHERE s.x = '123-45-6789'; ROLLBACK; BEGIN; MERGE INTO patients p USING (SELECT p.ssn AS x) s ON s.x = '123-45-6789' WHEN MATCHED THEN DELETE; ROLLBACK;
-- @t grp60 group_by_a_key_that_children_have_too works
SELECT id, owner, count(*) FROM more.lot GROUP BY id, owner ORDER BY id LIMIT 2;
-- @t inh39 child_beside_one_with_a_check infer
SELECT id FROM more.colt ORDER BY id; SELECT count(*) FROM more.colt WHERE id < 25; BEGIN; DELETE FROM more.colt RETURNING id; ROLLBACK; SELECT id FROM more.sire;
-- @t inh40 unique_values_of_a_child_alone infer
SELECT id FROM more.hutch_one ORDER BY id; SELECT id FROM ONLY more.hutch; SELECT id, tableoid::regclass FROM more.hutch ORDER BY id; SELECT id FROM more.hutch; BEGIN; SELECT setseed(0.5); DELETE FROM more.hutch WHERE random() < 0.5 RETURNING id; ROLLBACK;
-- @t inh41 cleared_view_of_placed_rows infer
SELECT array_agg(id) FROM more.v_hutch; SELECT id FROM more.v_hutch LIMIT 2; SELECT id FROM more.v_hutch; BEGIN; DECLARE c CURSOR FOR SELECT id FROM more.v_hutch; FETCH 1 c; ROLLBACK;
-- @t rls15 views_of_places_beside_rows_left_out infer
SELECT * FROM more.v_veiled ORDER BY id; SELECT lies FROM more.v_veiled WHERE id = 7;
-- @t exe03 explained_writes_above_what_is_hidden infer
EXPLAIN UPDATE more.plot SET visits = visits; EXPLAIN DELETE FROM more.plot;
-- @t inh42 exclusions_of_a_child_alone infer
SELECT id FROM more.rack_one ORDER BY id; SELECT id FROM ONLY more.rack ORDER BY id; SELECT id, tableoid::regclass FROM more.rack ORDER BY id; SELECT id FROM more.rack;
-- @t nnd09 key_that_nobody_validated infer
BEGIN; UPDATE more.stray SET visits = 2 WHERE id = 1; UPDATE more.stray SET visits = 3 WHERE id = 1; ROLLBACK; BEGIN; UPDATE more.stray SET visits = 2 WHERE id = 2; UPDATE more.stray SET visits = 3 WHERE id = 2; ROLLBACK;
-- @t lck04 locks_through_views infer
BEGIN; UPDATE more.seen_by SET id = id WHERE id = 1; UPDATE more.seen_by SET id = id WHERE id = 1; EXPLAIN (ANALYZE, WAL, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT id FROM more.v_physician_kept WHERE id = 1; ROLLBACK; BEGIN; UPDATE more.seen_by SET id = id WHERE id = 1; UPDATE more.seen_by SET id = id WHERE id = 1; SAVEPOINT s; SELECT id FROM more.v_physician WHERE id = 1 FOR UPDATE; ROLLBACK TO s; SELECT s.id FROM (SELECT id FROM more.v_physician) s WHERE s.id = 1 FOR KEY SHARE; ROLLBACK TO s; EXPLAIN (ANALYZE, WAL, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT id FROM more.v_physician_kept FOR UPDATE; ROLLBACK;
-- @t inh43 relation_seen_whole_beside_one_with_a_check infer
SELECT id FROM more.pen_rest ORDER BY id; SELECT count(*) FROM more.pen_inner; BEGIN; INSERT INTO more.pen_rest VALUES (4, 1); ROLLBACK; BEGIN; INSERT INTO more.pen_rest VALUES (5, 1); ROLLBACK; BEGIN; INSERT INTO more.pen_of VALUES (1, 4); ROLLBACK; BEGIN; DELETE FROM more.pen_rest RETURNING id; ROLLBACK; SELECT id FROM more.pen;
-- @t inh44 cleared_view_with_a_filter_over_placed_rows infer
SELECT array_agg(id) FROM more.v_pen; SELECT id FROM more.v_pen LIMIT 3; SELECT array_agg(id) FROM more.v_pen_over; SELECT id FROM more.v_pen;
-- @t inh45 domain_of_a_child_alone infer
SELECT id, tableoid::regclass FROM more.lair ORDER BY id; SELECT id FROM more.lair_low ORDER BY id; SELECT id FROM more.lair_rest ORDER BY id; SELECT id FROM ONLY more.lair; SELECT id FROM more.lair;
-- @t nnd10 checks_that_follow_a_setting infer
SET timezone = 'UTC'; BEGIN; UPDATE more.span SET visits = 2; ROLLBACK; BEGIN; INSERT INTO more.span(id, visits) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET visits = 2; ROLLBACK; BEGIN; UPDATE more.span_one SET visits = 2 WHERE id = 1; ROLLBACK; SET quote_all_identifiers = on; BEGIN; UPDATE more.term SET visits = 2; ROLLBACK;
-- @t nnd11 key_that_compares_by_a_setting infer
SET timezone = 'America/Los_Angeles'; BEGIN; UPDATE more.feast_of SET visits = 2; UPDATE more.feast_of SET visits = 3; ROLLBACK;
-- @t num07 sequences_that_belong_to_others infer
BEGIN; INSERT INTO more.slip(label) VALUES ('x') RETURNING id > 100; ROLLBACK; BEGIN; INSERT INTO more.badge(label) VALUES ('x') RETURNING id > 100; ROLLBACK; BEGIN; INSERT INTO more.stub(label) VALUES ('x') RETURNING id > 100; ROLLBACK;
-- @t idx20 entries_of_several_hidden_values infer
BEGIN; UPDATE more.block SET visits = 2 WHERE id = 2; ROLLBACK;
