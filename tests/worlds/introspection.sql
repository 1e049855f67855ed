-- What psql's own commands ask. Only psql understands these; they must work for everybody and show hidden columns with their types.
-- @t psql01 psql works
\d
-- @t psql02 psql works
\d+
-- @t psql03 psql works
\d patients
-- @t psql04 psql works
\d+ patients
-- @t psql05 psql works
\d encounters
-- @t psql06 psql works
\d+ acct
-- @t psql07 psql works
\d v_pat
-- @t psql08 psql works
\d+ more.v_join
-- @t psql09 psql works
\d+ mv_pat
-- @t psql10 psql works
\d claims
-- @t psql11 psql works
\d+ claims
-- @t psql12 psql works
\d claims_e
-- @t psql13 psql works
\d more.events_t1
-- @t psql14 psql works
\d staff
-- @t psql15 psql works
\d+ staff_exec
-- @t psql16 psql works
\d more.people
-- @t psql17 psql works
\d+ more.booking
-- @t psql18 psql works
\d more.typed
-- @t psql19 psql works
\d more.bed
-- @t psql20 psql works
\d+ more.ruled
-- @t psql21 psql works
\d+ more.guarded
-- @t psql22 psql works
\d acct_t
-- @t psql23 psql works
\d patients_pkey
-- @t psql24 psql works
\d patients_md5
-- @t psql25 psql works
\d plain_seq
-- @t psql26 psql works
\d more.*
-- @t psql27 psql works
\dt
-- @t psql28 psql works
\dt *.*
-- @t psql29 psql works
\dt+ more.*
-- @t psql30 psql works
\dv
-- @t psql31 psql works
\dv+ more.*
-- @t psql32 psql works
\dm
-- @t psql33 psql works
\dm+
-- @t psql34 psql works
\di
-- @t psql35 psql works
\di+ more.*
-- @t psql36 psql works
\ds
-- @t psql37 psql works
\ds+
-- @t psql38 psql works
\dE
-- @t psql39 psql works
\df
-- @t psql40 psql works
\df more.*
-- @t psql41 psql works
\df+ f_sql
-- @t psql42 psql works
\da more.*
-- @t psql43 psql works
\do more.*
-- @t psql44 psql works
\dn
-- @t psql45 psql works
\dn+
-- @t psql46 psql works
\dT
-- @t psql47 psql works
\dT+ mood
-- @t psql48 psql works
\dD more.*
-- @t psql49 psql works
\du
-- @t psql50 psql works
\dg+
-- @t psql51 psql works
\l
-- @t psql52 psql works
\dp
-- @t psql53 psql works
\dp more.*
-- @t psql54 psql works
\ddp
-- @t psql55 psql works
\dx
-- @t psql56 psql works
\dx+ hstore
-- @t psql57 psql works
\dC hstore
-- @t psql58 psql works
\dc
-- @t psql59 psql works
\dO
-- @t psql60 psql works
\dL
-- @t psql61 psql works
\db
-- @t psql62 psql works
\dd
-- @t psql63 psql works
\dF
-- @t psql64 psql works
\dA
-- @t psql65 psql works
\dAc btree text
-- @t psql66 psql works
\dy
-- @t psql67 psql works
\dP
-- @t psql68 psql works
\dP+ more.*
-- @t psql69 psql works
\dRp
-- @t psql70 psql works
\dRs
-- @t psql71 psql works
\des
-- @t psql72 psql works
\dew
-- @t psql73 psql works
\det
-- @t psql74 psql works
\drds
-- @t psql75 psql works
\dX more.*
-- @t psql76 psql works
\dconfig search_path
-- @t psql77 psql works
\sf f_sql
-- @t psql78 psql works
\sf+ f_plpgsql
-- @t psql79 psql works
\sv v_pat
-- @t psql80 psql works
\sv+ more.v_join
-- @t psql81 psql works
\z patients
-- @t psql82 psql works
\encoding
-- @t psql83 psql works
\dS pg_class
-- @t psql84 psql works
\d pg_catalog.pg_attribute
-- @t psql85 psql works
\d information_schema.columns
-- @t psql86 psql works
\d nothing_of_that_name
-- @t psql87 psql works
select * from patients limit 1 \gdesc
-- @t psql88 psql works
select e.id, e.ssn, p.dob, p.meta from more.people e, patients p limit 0 \gdesc
-- @t psql89 psql works
select p.diagnosis, p.visits % 3 as v, count(*) from patients p group by 1, 2 order by 1, 2 \crosstabview
-- @t psql90 psql works
select 'select count(*) from ' || quote_ident(tablename) from pg_tables where schemaname = 'public' and tablename in ('patients', 'plain') order by 1 \gexec
-- @t psql91 psql works
\x
select id, ssn, name, dob from patients order by id limit 2;
-- @t psql92 psql works
\pset null '(null)'
select id, ssn from patients order by id limit 2;
-- @t psql93 psql works
select diagnosis as d from patients order by id limit 1 \gset
\echo :d
-- @t psql94 psql works
\copy (select id, ssn, diagnosis from patients order by id limit 3) to stdout csv header
-- @t psql95 psql works
\copy encounters (id, note) to stdout
-- @t psql96 psql err
select 1/0 as x;
\errverbose
-- @t psql97 psql works
\timing off
select 1;
-- @t psql98 psql works
\dF
\dF+
-- @t psql99 psql works
\dFd
\dFd+
-- @t psql100 psql works
\dFp
\dFp+
-- @t psql101 psql works
\dFt
\dFt+
-- @t psql102 psql works
\dl
\lo_list+
-- @t psql103 psql works
\deu
\deu+
-- @t psql104 psql works
\dconfig+ search_path
