-- One line a table: name, rows, digest of every value in the order of the key. Equal on every machine.
\set QUIET on
set timezone = 'UTC';
set datestyle = 'ISO, YMD';
select 'clinics', count(*), md5(string_agg(md5(t::text), '' order by clinic_id)) from clinic.clinics t
union all select 'clinicians', count(*), md5(string_agg(md5(t::text), '' order by clinician_id)) from clinic.clinicians t
union all select 'patients', count(*), md5(string_agg(md5(t::text), '' order by patient_id)) from clinic.patients t
union all select 'encounters', count(*), md5(string_agg(md5(t::text), '' order by encounter_id)) from clinic.encounters t
union all select 'medications', count(*), md5(string_agg(md5(t::text), '' order by medication_id)) from clinic.medications t
union all select 'claims', count(*), md5(string_agg(md5(t::text), '' order by claim_id)) from clinic.claims t;
