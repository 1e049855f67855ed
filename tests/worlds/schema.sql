-- Two-world schema. Objects of the original corpus first (unchanged definitions), then extra
-- objects for attacks the original corpus has no table for. Data: data_a.sql / data_b.sql / data_c.sql.
DROP DATABASE IF EXISTS clinic;
CREATE DATABASE clinic TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
\c clinic
CREATE EXTENSION pg_stat_statements; CREATE EXTENSION dblink; CREATE EXTENSION tablefunc;
CREATE EXTENSION pgcrypto; CREATE EXTENSION pageinspect; CREATE EXTENSION hstore;
CREATE TABLE patients(id int primary key, mrn text, name text, ssn text, dob date, zip text, email text, diagnosis text, meta jsonb, tags text[], visits int);
CREATE TABLE encounters(id int primary key, patient_id int references patients(id), note text, cost numeric);
CREATE TABLE plain(id int, label text);
CREATE VIEW v_pat AS SELECT id, name AS label, ssn || '/' || mrn AS code FROM patients;
CREATE VIEW v_pat2 AS SELECT code AS c FROM v_pat;
CREATE MATERIALIZED VIEW mv_pat AS SELECT id, ssn AS s FROM patients;
CREATE FUNCTION f_sql(i int) RETURNS text LANGUAGE sql STABLE AS $$ SELECT ssn FROM patients WHERE id=i $$;
CREATE FUNCTION f_atomic(i int) RETURNS text LANGUAGE sql STABLE BEGIN ATOMIC SELECT ssn FROM patients WHERE id=i; END;
CREATE FUNCTION f_plpgsql(i int) RETURNS text LANGUAGE plpgsql STABLE AS $$ DECLARE r text; BEGIN EXECUTE 'SELECT ss'||'n FROM patients WHERE id=$1' INTO r USING i; RETURN r; END $$;
-- ---- extra objects -------------------------------------------------------------------------
-- inheritance and partitioning (tagged: staff.ssn, claims.member_ssn; children must inherit the tag)
CREATE TABLE staff(id int primary key, ssn text, grade int);
CREATE TABLE staff_exec(bonus int) INHERITS (staff);
CREATE TABLE claims(id int, member_ssn text, region text, amount numeric) PARTITION BY LIST (region);
CREATE TABLE claims_e PARTITION OF claims FOR VALUES IN ('e');
CREATE TABLE claims_w PARTITION OF claims FOR VALUES IN ('w');
-- write oracles (tagged: acct.ssn, acct.dob; acct.gen is generated from ssn; acct_ref.ssn references acct.ssn)
CREATE TABLE acct(id int primary key, ssn text UNIQUE, dob date, admitted date, visits int,
                  gen text GENERATED ALWAYS AS (left(ssn,3)) STORED, CHECK (admitted > dob));
CREATE TABLE acct_ref(id int primary key, ssn text REFERENCES acct(ssn), memo text);
CREATE TABLE acct_t(id int primary key, ssn text, visits int);
CREATE FUNCTION trg_notice() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'audit %', OLD.ssn; RETURN NEW; END$$;
CREATE TRIGGER t1 BEFORE UPDATE ON acct_t FOR EACH ROW EXECUTE FUNCTION trg_notice();
-- row filter (policy: tenant = 't1' only; rows of other tenants are hidden and differ between worlds)
CREATE TABLE orders(id int primary key, tenant text, amount int);
-- user-defined code reachable without an obvious function call
CREATE FUNCTION leak(plain) RETURNS text LANGUAGE sql STABLE AS $$ SELECT string_agg(ssn, ',') FROM patients $$;
CREATE FUNCTION leak_any(anyelement) RETURNS text LANGUAGE sql STABLE AS $$ SELECT string_agg(ssn, ',') FROM patients $$;
CREATE FUNCTION f_chk(text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$BEGIN RETURN NOT EXISTS (SELECT 1 FROM patients WHERE ssn LIKE $1||'%'); END$$;
CREATE DOMAIN d_chk AS text CHECK (f_chk(VALUE));
CREATE FUNCTION op_leak(int,int) RETURNS text LANGUAGE sql STABLE AS $$ SELECT ssn FROM patients WHERE id=$1 $$;
CREATE OPERATOR @@@ (FUNCTION=op_leak, LEFTARG=int, RIGHTARG=int);
CREATE FUNCTION upper(varchar) RETURNS text LANGUAGE sql STABLE AS $$ SELECT string_agg(ssn, ',') FROM patients $$;
CREATE TYPE mood AS ENUM ('ok','bad');
CREATE INDEX patients_md5 ON patients(md5(ssn));
CREATE SEQUENCE plain_seq;
-- ---- the schema `more`: what the attacks of more_adversarial.sql need ------------------------
CREATE SCHEMA more;
-- hidden: ssn, born, notes. The unique constraint and the partial unique index mix hidden columns with others.
CREATE TABLE more.people(id int primary key, kin int, ssn text, born date NOT NULL DEFAULT '1900-01-01', notes text, visits int DEFAULT 0,
                         UNIQUE (kin, ssn), CHECK (visits < 100 OR ssn LIKE '9%'));
CREATE UNIQUE INDEX people_low ON more.people(visits) WHERE ssn < 'm' AND visits > 50;
-- A name that `public` has as well, with the tags the other way round: ssn is clear, label is hidden.
CREATE TABLE more.patients(id int primary key, ssn text, label text);
-- A hidden column whose type is another table's row, and a table of a composite type (hidden: occupant; ssn).
CREATE TABLE more.bed(id int primary key, ward text, occupant public.patients);
CREATE TYPE more.person AS (name text, ssn text);
CREATE TABLE more.typed OF more.person;
-- An exclusion constraint over hidden columns (low, high, span).
CREATE TABLE more.booking(id int primary key, room int, low int, high int, span int GENERATED ALWAYS AS (high - low) STORED,
                          EXCLUDE USING gist (int4range(low, high) WITH &&));
-- Inheritance over three levels and from two parents (hidden: elder.secret, other.token).
CREATE TABLE more.elder(id int primary key, secret text);
CREATE TABLE more.other(token text);
CREATE TABLE more.middle(extra int) INHERITS (more.elder);
CREATE TABLE more.younger(last int) INHERITS (more.middle, more.other);
-- Partitions of partitions, one of them attached with its columns in another order (hidden: secret; rows: tenant = 't1').
CREATE TABLE more.events(id int, tenant text, secret text, amount int) PARTITION BY LIST (tenant);
CREATE TABLE more.events_t1 PARTITION OF more.events FOR VALUES IN ('t1') PARTITION BY RANGE (id);
CREATE TABLE more.events_t1_low PARTITION OF more.events_t1 FOR VALUES FROM (0) TO (20);
CREATE TABLE more.events_t1_high(secret text, amount int, tenant text, id int);
ALTER TABLE more.events_t1 ATTACH PARTITION more.events_t1_high FOR VALUES FROM (20) TO (1000000);
CREATE TABLE more.events_rest PARTITION OF more.events DEFAULT;
-- Rows of other tenants are hidden here, and referenced from elsewhere (rows: tenant = 't1').
CREATE TABLE more.shared(id int primary key, tenant text, amount int, label text);
CREATE TABLE more.link(id int primary key, shared_id int REFERENCES more.shared(id) ON DELETE CASCADE);
CREATE TABLE more.kin_of(id int primary key, person int REFERENCES more.people(id) ON UPDATE CASCADE ON DELETE SET NULL);
-- Views: joins, predicates on what is hidden, functions, stars, aggregates, recursion, check options, security barriers.
CREATE VIEW more.v_join AS SELECT p.id, p.ssn AS s, e.note AS n FROM public.patients p JOIN public.encounters e ON e.patient_id = p.id;
CREATE VIEW more.v_where AS SELECT id FROM public.patients WHERE ssn < '5';
CREATE VIEW more.v_order AS SELECT id FROM public.patients ORDER BY ssn;
CREATE VIEW more.v_func AS SELECT public.f_sql(1) AS v;
CREATE VIEW more.v_star AS SELECT * FROM public.patients;
CREATE VIEW more.v_alias(a, b) AS SELECT id, ssn FROM public.patients;
CREATE VIEW more.v_agg AS SELECT diagnosis, min(ssn) AS lowest, count(*) AS n FROM public.patients GROUP BY diagnosis;
CREATE VIEW more.v_pk AS SELECT p.id, p.name, p.visits, count(*) AS n FROM public.patients p JOIN public.encounters e ON e.patient_id = p.id GROUP BY p.id;
CREATE VIEW more.v_whole AS SELECT p AS row FROM public.patients p;
CREATE VIEW more.v_barrier WITH (security_barrier) AS SELECT id, amount FROM public.orders WHERE tenant <> 't1';
CREATE VIEW more.v_updatable AS SELECT id, visits, ssn FROM public.patients WHERE visits > 3 WITH CHECK OPTION;
CREATE VIEW more.v_same AS SELECT ssn AS id, id AS ssn FROM public.patients;
CREATE RECURSIVE VIEW more.v_rec(n, s) AS SELECT 1, (SELECT ssn FROM public.patients WHERE id = 1) UNION ALL SELECT n + 1, s FROM v_rec WHERE n < 3;
-- Rules and row security.
CREATE TABLE more.ruled(id int primary key, ssn text, visits int);
CREATE RULE ruled_tells AS ON UPDATE TO more.ruled DO ALSO SELECT OLD.ssn;
CREATE TABLE more.guarded(id int primary key, ssn text);
ALTER TABLE more.guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY low ON more.guarded USING (ssn < 'm');
CREATE STATISTICS more.patients_together ON ssn, zip FROM public.patients;
-- Columns and functions with the names of what later grammars treat as constructs of their own (hidden: "system_user").
CREATE TABLE more.odd(id int primary key, "system_user" text, "json_value" text, "merge_action" text);
CREATE FUNCTION more.json_exists(text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT string_agg(ssn, ',') FROM public.patients $$;
CREATE FUNCTION more.json_value(text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT string_agg(ssn, ',') FROM public.patients $$;
CREATE FUNCTION more.json_query(text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT string_agg(ssn, ',') FROM public.patients $$;
CREATE FUNCTION more.json_scalar(text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT string_agg(ssn, ',') FROM public.patients $$;
CREATE FUNCTION more.json_serialize(text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT string_agg(ssn, ',') FROM public.patients $$;
CREATE FUNCTION more.merge_action() RETURNS text LANGUAGE sql STABLE AS $$ SELECT string_agg(ssn, ',') FROM public.patients $$;
CREATE FUNCTION more.lower(int) RETURNS text LANGUAGE sql STABLE AS $$ SELECT ssn FROM public.patients WHERE id = $1 $$;
CREATE FUNCTION more.ssn_of(public.encounters) RETURNS text LANGUAGE sql STABLE AS $$ SELECT ssn FROM public.patients WHERE id = $1.patient_id $$;
CREATE FUNCTION more.rows_of() RETURNS SETOF public.patients LANGUAGE sql STABLE AS $$ SELECT * FROM public.patients $$;
CREATE FUNCTION more.fold(text, text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT coalesce($1, '') || (SELECT ssn FROM public.patients WHERE id = 1) $$;
CREATE AGGREGATE more.gather(text) (SFUNC = more.fold, STYPE = text);
CREATE PROCEDURE more.tell() LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', (SELECT string_agg(ssn, ',') FROM public.patients); END $$;
CREATE FUNCTION more.plus(int, int) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE NOTICE '%', (SELECT ssn FROM public.patients WHERE id = 1); RETURN $1 OPERATOR(pg_catalog.+) $2; END $$;
CREATE OPERATOR more.+ (FUNCTION = more.plus, LEFTARG = int, RIGHTARG = int);
CREATE DOMAIN more.checked AS int CHECK (public.f_chk(VALUE::text));
CREATE TYPE more.nest AS (inside more.checked);
CREATE DOMAIN more.plain_text AS text;
CREATE TABLE more.domained(id int primary key, word more.plain_text, ssn more.plain_text);
CREATE TABLE more.defaulted(id int primary key, told text DEFAULT public.f_sql(1), ssn text DEFAULT 'none');
COMMENT ON TABLE more.people IS 'who is related to whom';
COMMENT ON COLUMN more.people.ssn IS 'social security number';
-- Partitions by a hidden column (born), and a hidden column (code) whose default meets a unique index.
CREATE TABLE more.by_birth(id int, born date, visits int) PARTITION BY RANGE (born);
CREATE TABLE more.born_early PARTITION OF more.by_birth FOR VALUES FROM ('1900-01-01') TO ('1960-01-01');
CREATE TABLE more.born_late PARTITION OF more.by_birth FOR VALUES FROM ('1960-01-01') TO ('2100-01-01');
CREATE TABLE more.preset(id int primary key DEFAULT 950, code text UNIQUE DEFAULT 'first', visits int);
-- Columns whose type has code of its own (everything clear): whatever hands such a value on lets the caller choose others.
CREATE TABLE more.coded(id int primary key, word public.d_chk, words public.d_chk[]);
CREATE TABLE more.coded_part(id int primary key, word public.d_chk, ssn text);
CREATE VIEW more.v_coded AS SELECT id, word FROM more.coded;
-- Views over what is seen whole, whose own queries call what a restricted caller may not call; and a default that does.
CREATE VIEW more.v_operator AS SELECT id, id OPERATOR(public.@@@) id AS v FROM public.plain;
CREATE VIEW more.v_xml AS SELECT query_to_xml('select ssn from public.patients order by id', true, false, '')::text AS v;
CREATE VIEW more.v_next AS SELECT nextval('public.plain_seq') AS v;
CREATE VIEW more.v_cast AS SELECT id, (id * 100 + 23)::text::public.d_chk AS v FROM public.plain;
CREATE VIEW more.v_through AS SELECT v FROM more.v_operator;
CREATE TABLE more.told(id int primary key, told text DEFAULT query_to_xml('select ssn from public.patients order by id', true, false, '')::text);
-- Partitions of which one is split by a hidden column (ssn), and children that have rows by it.
CREATE TABLE more.split(id int, region text, ssn text) PARTITION BY LIST (region);
CREATE TABLE more.split_e PARTITION OF more.split FOR VALUES IN ('e') PARTITION BY RANGE (ssn);
CREATE TABLE more.split_e_low PARTITION OF more.split_e FOR VALUES FROM (MINVALUE) TO ('m');
CREATE TABLE more.split_e_high PARTITION OF more.split_e FOR VALUES FROM ('m') TO (MAXVALUE);
CREATE TABLE more.split_w PARTITION OF more.split FOR VALUES IN ('w');
CREATE TABLE more.branch(id int, ssn text);
CREATE TABLE more.branch_low(CHECK (ssn < 'm')) INHERITS (more.branch);
CREATE TABLE more.branch_high(CHECK (ssn >= 'm')) INHERITS (more.branch);
-- Row security for everybody but superusers: by a hidden column of the table's own, by another table's, and by what is clear.
CREATE TABLE more.fenced(id int primary key, ssn text);
CREATE POLICY low ON more.fenced USING (ssn < 'm');
CREATE TABLE more.fenced_afar(id int primary key, label text);
CREATE POLICY low ON more.fenced_afar USING (EXISTS (SELECT FROM public.patients p WHERE p.id = fenced_afar.id AND p.ssn < '5'));
CREATE TABLE more.fenced_clear(id int primary key, label text);
CREATE POLICY high ON more.fenced_clear USING (id > 5 AND EXISTS (SELECT FROM public.plain p WHERE p.id <> fenced_clear.id));
ALTER TABLE more.fenced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE more.fenced_afar ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE more.fenced_clear ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE VIEW more.v_fenced AS SELECT id, label FROM more.fenced_afar;
-- What judges a write by a hidden value besides (hidden: every ssn and born, and the two columns of styled). A NULL that is a value to a unique index.
CREATE TABLE more.lone(id int primary key, memo text, ssn text, UNIQUE NULLS NOT DISTINCT (ssn));
CREATE TABLE more.lone_expr(id int primary key, memo text, ssn text);
CREATE UNIQUE INDEX ON more.lone_expr ((coalesce(ssn, 'none')));
CREATE TABLE more.lone_null(id int primary key, memo text, ssn text);
CREATE UNIQUE INDEX ON more.lone_null ((1)) WHERE ssn IS NULL;
-- Checks that rows may violate: not validated (by the data scripts), or other under other settings.
CREATE TABLE more.late(id int primary key, visits int, ssn text);
CREATE TABLE more.styled(id int primary key, visits int, at timestamptz, word text,
                         CHECK (at::date >= '2000-02-01'), CHECK (word::date >= '2000-02-01'));
-- Indexes and rows that fail at a hidden value.
CREATE TABLE more.wide(id int primary key, memo text, ssn text, n int, born date);
CREATE INDEX ON more.wide (memo, ssn);
CREATE INDEX ON more.wide (n, ssn);
CREATE TABLE more.wide_incl(id int primary key, memo text, ssn text);
CREATE INDEX ON more.wide_incl (memo) INCLUDE (ssn);
CREATE TABLE more.wide_expr(id int primary key, memo text, ssn text);
CREATE INDEX ON more.wide_expr ((memo || ssn));
CREATE TABLE more.wide_null(id int primary key, memo text, born date);
CREATE INDEX ON more.wide_null (memo, born);
CREATE TABLE more.wide_brin(id int primary key, memo text, ssn text);
CREATE INDEX ON more.wide_brin USING brin (memo, ssn);
CREATE TABLE more.failing(id int primary key, n int, m int, ssn text);
CREATE INDEX ON more.failing ((n / length(ssn)));
CREATE INDEX ON more.failing (m) WHERE 10 / (m - length(ssn)) > 0;
CREATE TABLE more.broad(id int primary key, memo text, ssn text);
ALTER TABLE more.broad ALTER memo SET STORAGE PLAIN, ALTER ssn SET STORAGE PLAIN;
-- Parents that are seen whole, whose children have more.
CREATE TABLE more.house(id int primary key, visits int);
CREATE TABLE more.heir(ssn text, CHECK (visits < 100 OR ssn LIKE '9%'), UNIQUE (visits, ssn)) INHERITS (more.house);
CREATE TABLE more.home(id int, visits int);
CREATE TABLE more.home_heir(ssn text) INHERITS (more.home);
CREATE UNIQUE INDEX ON more.home_heir (visits) WHERE ssn LIKE '9%';
-- Partitions by what is seen, each with something of its own over what is hidden.
CREATE TABLE more.known(ssn text primary key);
CREATE TABLE more.moved(id int, region text, ssn text) PARTITION BY LIST (region);
CREATE TABLE more.moved_e PARTITION OF more.moved FOR VALUES IN ('e');
CREATE TABLE more.moved_w PARTITION OF more.moved (CHECK (ssn LIKE '9%')) FOR VALUES IN ('w');
CREATE TABLE more.moved_x PARTITION OF more.moved FOR VALUES IN ('x');
CREATE UNIQUE INDEX ON more.moved_x (ssn);
CREATE TABLE more.moved_y PARTITION OF more.moved FOR VALUES IN ('y') PARTITION BY RANGE (ssn);
CREATE TABLE more.moved_y_low PARTITION OF more.moved_y FOR VALUES FROM (MINVALUE) TO ('5');
CREATE TABLE more.moved_z PARTITION OF more.moved FOR VALUES IN ('z');
ALTER TABLE more.moved_z ADD FOREIGN KEY (ssn) REFERENCES more.known(ssn);
CREATE TABLE more.moved_n PARTITION OF more.moved FOR VALUES IN ('n');
ALTER TABLE more.moved_n ALTER ssn SET NOT NULL;
CREATE TABLE more.moved_i PARTITION OF more.moved FOR VALUES IN ('i');
CREATE INDEX ON more.moved_i ((10 / (length(ssn) - 1)));
-- The same without.
CREATE TABLE more.shifted(id int, region text, ssn text, CHECK (ssn <> ''), FOREIGN KEY (ssn) REFERENCES more.known(ssn)) PARTITION BY LIST (region);
CREATE INDEX ON more.shifted (ssn);
CREATE TABLE more.shifted_e PARTITION OF more.shifted FOR VALUES IN ('e');
CREATE TABLE more.shifted_w PARTITION OF more.shifted FOR VALUES IN ('w');
-- Parents that are seen whole, with views of them: in which of the two a row is, follows from what is hidden in one (yard), and how
-- rows lie, from how wide it is (plot).
CREATE TABLE more.yard(id int primary key, visits int);
CREATE TABLE more.yard_low(ssn text, CHECK (ssn < 'm')) INHERITS (more.yard);
CREATE VIEW more.v_yard AS SELECT tableoid::regclass::text AS part, id FROM more.yard;
CREATE VIEW more.v_yard_only AS SELECT id FROM ONLY more.yard;
CREATE TABLE more.plot(id int primary key, visits int);
CREATE TABLE more.plot_wide(ssn text) INHERITS (more.plot);
CREATE VIEW more.v_plot AS SELECT id, ctid AS lies FROM more.plot;
CREATE VIEW more.v_plot_sample AS SELECT id FROM more.plot TABLESAMPLE SYSTEM (50) REPEATABLE (1);
-- A view with a row filter of its own, and all clear, of a table that is hidden but for its keys.
CREATE TABLE more.pool(id int primary key, tenant text, amount int);
CREATE VIEW more.v_pool AS SELECT id, tenant, amount FROM more.pool;
CREATE VIEW more.v_pool_over AS SELECT id, amount FROM more.v_pool;
-- Numbers that are seen masked, at the ends of what their types hold.
CREATE TABLE more.scaled(id int primary key, dose double precision, sum numeric(20,0));
-- Indexes that are others under other settings (hidden: f, b), and a generated column that is.
CREATE TABLE more.loose(id int primary key, n int, f float8);
CREATE UNIQUE INDEX ON more.loose ((f::text));
CREATE INDEX ON more.loose (n);
CREATE TABLE more.loose_expr(id int primary key, n int, f float8);
CREATE INDEX ON more.loose_expr ((10 / (length(f::text) - 1)));
CREATE INDEX ON more.loose_expr (n);
CREATE TABLE more.loose_where(id int primary key, n int, b bytea);
CREATE INDEX ON more.loose_where (n) WHERE 10 / (length(b::text) - 4) > 0;
CREATE TABLE more.loose_moved(id int, region text, f float8, up text GENERATED ALWAYS AS (f::text) STORED, CHECK (length(up) > 1))
  PARTITION BY LIST (region);
CREATE TABLE more.loose_moved_e PARTITION OF more.loose_moved FOR VALUES IN ('e');
CREATE TABLE more.loose_moved_w PARTITION OF more.loose_moved FOR VALUES IN ('w');
-- Numbers that rows of other tenants are given, too (rows of ticket_of: tenant = 't1').
CREATE SEQUENCE more.numbers;
CREATE TABLE more.ticket(id int primary key default nextval('more.numbers'), label text);
CREATE TABLE more.ticket_of(id int primary key default nextval('more.numbers'), tenant text, amount int);
-- A table that is all clear, and one whose hidden column points to it.
CREATE TABLE more.doctor(id int primary key, name text);
CREATE TABLE more.seen_by(id int primary key, doctor int REFERENCES more.doctor(id));
CREATE VIEW more.v_doctor AS SELECT id, xmax AS locked FROM more.doctor;
-- Views that are cleared, and call code of the target's own that is called like a built-in function or stands behind an operator; and
-- one that calls what may be called.
CREATE VIEW more.v_upper AS SELECT id, public.upper(label::varchar) AS v FROM public.plain;
CREATE VIEW more.v_behind AS SELECT id, id OPERATOR(public.@@@) id AS v FROM public.plain;
CREATE VIEW more.v_pairs AS SELECT id, akeys(hstore('k', label)) AS keys, hstore('k', label) -> 'k' AS value FROM public.plain;
-- Columns of types that cannot be grouped by (hidden: ssn, sealed).
CREATE TABLE more.sheet(id int primary key, name text, doc json, place point, ssn text, sealed xml);
CREATE VIEW more.v_sheet AS SELECT s.id, s.name, s.doc, s.place, s.sealed, count(*) AS n FROM more.sheet s GROUP BY s.id;
-- Keys and a policy that ask of one relation alone, in which rows are by a hidden column (ssn; born): a row's place would be told.
CREATE TABLE more.owner(id int primary key);
CREATE TABLE more.lot(id int primary key, owner int);
CREATE TABLE more.lot_low(ssn text, CHECK (ssn < 'm'), UNIQUE (id), FOREIGN KEY (owner) REFERENCES more.owner(id)) INHERITS (more.lot);
CREATE TABLE more.lot_of(id int primary key, lot int REFERENCES more.lot_low(id));
CREATE TABLE more.wave(id int, born date) PARTITION BY RANGE (born);
CREATE TABLE more.wave_early PARTITION OF more.wave (UNIQUE (id)) FOR VALUES FROM (MINVALUE) TO ('1960-01-01');
CREATE TABLE more.wave_late PARTITION OF more.wave FOR VALUES FROM ('1960-01-01') TO (MAXVALUE);
CREATE TABLE more.wave_of(id int primary key, early int REFERENCES more.wave_early(id));
CREATE TABLE more.fenced_low(id int primary key, label text);
CREATE POLICY low ON more.fenced_low USING (EXISTS (SELECT FROM more.lot_low l WHERE l.id = fenced_low.id));
ALTER TABLE more.fenced_low ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- A child that wants a value of a hidden column (ssn) of its parent's.
CREATE TABLE more.twig(id int primary key, ssn text);
CREATE TABLE more.twig_named() INHERITS (more.twig);
ALTER TABLE more.twig_named ALTER ssn SET NOT NULL;
-- Rows that row security leaves out (id <= 5), and keys to and from them.
CREATE TABLE more.veil_owner(id int primary key);
CREATE TABLE more.veiled(id int primary key, owner int REFERENCES more.veil_owner(id));
CREATE POLICY high ON more.veiled USING (id > 5);
ALTER TABLE more.veiled ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE TABLE more.veiled_of(id int primary key, veiled int REFERENCES more.veiled(id));
-- Which rows are where, by what children and parents do not have in common.
CREATE TABLE more.nook(id int, ssn text, CHECK (ssn < 'm') NO INHERIT);
CREATE TABLE more.nook_child() INHERITS (more.nook);
CREATE TABLE more.cove(id int, ssn text NOT NULL);
CREATE TABLE more.cove_child() INHERITS (more.cove);
ALTER TABLE more.cove_child ALTER ssn DROP NOT NULL;
CREATE TABLE more.dam(id int, ssn text, CHECK (ssn < 'm'));
CREATE TABLE more.sire(id int, ssn text);
CREATE TABLE more.foal() INHERITS (more.dam, more.sire);
CREATE TABLE more.ring(ssn text primary key);
CREATE TABLE more.flock(id int, ssn text);
CREATE TABLE more.flock_ringed(FOREIGN KEY (ssn) REFERENCES more.ring(ssn)) INHERITS (more.flock);
CREATE TABLE more.gauge(id float8, ssn text);
CREATE TABLE more.gauge_low(CHECK (ssn < 'm')) INHERITS (more.gauge);
CREATE TABLE more.colt() INHERITS (more.sire);
CREATE TABLE more.hutch(id int, ssn text);
CREATE TABLE more.hutch_one(UNIQUE (ssn)) INHERITS (more.hutch);
CREATE VIEW more.v_hutch AS SELECT id FROM more.hutch;
CREATE VIEW more.v_veiled AS SELECT id, ctid AS lies FROM more.veiled;
CREATE TABLE more.rack(id int, low int);
CREATE TABLE more.rack_one(EXCLUDE USING gist (int4range(low, low + 5) WITH &&)) INHERITS (more.rack);
CREATE TABLE more.stray(id int, visits int, ring text);
-- Views that lock what hidden keys point to.
CREATE VIEW more.v_physician AS SELECT id, name FROM more.doctor;
CREATE VIEW more.v_physician_kept AS SELECT id, name FROM more.doctor FOR KEY SHARE;
-- Rows beside those that a check places, keys and a child of theirs, a cleared view with a filter, and a domain that decides.
CREATE TABLE more.pen(id int, visits int);
CREATE TABLE more.pen_low(ssn text, CHECK (ssn < 'm')) INHERITS (more.pen);
CREATE TABLE more.pen_rest(PRIMARY KEY (id)) INHERITS (more.pen);
CREATE TABLE more.pen_inner(memo text) INHERITS (more.pen_rest);
CREATE TABLE more.pen_of(id int primary key, pen int REFERENCES more.pen_rest(id));
CREATE VIEW more.v_pen AS SELECT id, visits FROM more.pen;
CREATE VIEW more.v_pen_over AS SELECT id FROM more.v_pen;
CREATE DOMAIN more.low_text AS text CHECK (VALUE < 'm');
CREATE TABLE more.lair(id int);
CREATE TABLE more.lair_low(ssn more.low_text) INHERITS (more.lair);
CREATE TABLE more.lair_rest(ssn text) INHERITS (more.lair);
-- What says that it is immutable, and follows a setting: checks, indexes and keys of rows that stood under another one.
CREATE TABLE more.span(id int primary key, visits int, since timestamptz, until timestamptz, CHECK (age(until, since) <= interval '1 mon'));
CREATE TABLE more.span_one(id int primary key, visits int, since timestamptz, until timestamptz);
CREATE UNIQUE INDEX ON more.span_one ((1)) WHERE age(until, since) >= interval '1 mon';
CREATE INDEX ON more.span_one (visits);
CREATE TABLE more.term(id int primary key, visits int, ssn text, CHECK (length(quote_ident(ssn)) <> 5));
CREATE TABLE more.feast(at timestamptz primary key);
CREATE TABLE more.feast_of(id int primary key, visits int, born date REFERENCES more.feast(at));
-- Sequences that others draw from: named where it runs, of an identity, and of a column without a default.
CREATE TABLE more.slip(id int primary key default nextval('more.numbers'::text::regclass), label text);
CREATE TABLE more.badge_of(id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant text);
CREATE TABLE more.badge(id int primary key default nextval('more.badge_of_id_seq'), label text);
CREATE SEQUENCE more.stubs;
CREATE TABLE more.stub_of(id int primary key, tenant text, no int);
ALTER SEQUENCE more.stubs OWNED BY more.stub_of.no;
CREATE TABLE more.stub(id int primary key default nextval('more.stubs'), label text);
-- An index that keeps several hidden values in one entry, and room on another page.
CREATE TABLE more.block(id int, visits int, memo varchar(2000), ssn text);
CREATE INDEX ON more.block USING brin (ssn) WITH (pages_per_range = 1);
