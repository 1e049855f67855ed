-- A synthetic clinic: 20,000 patients and what is recorded about them. Loaded into an empty database by psql.
--
-- Every value is a function of its row number and column (`pick`), so two loads anywhere are equal byte for byte; nothing
-- depends on a seed, a clock or the order in which rows are made. Nobody here can be a real person: social security numbers
-- stand in areas that were never issued (000, 666, 900-999), telephone numbers in 555-0100 to 555-0199, provider numbers
-- have a wrong check digit, e-mail addresses end in example.org.

\set ON_ERROR_STOP on
set client_min_messages = warning;
set synchronous_commit = off;

create schema clinic;
comment on schema clinic is 'synthetic: no row describes a real person';
set search_path = clinic;

-- A number from 0 to `below` - 1 that depends on the row, the column and nothing else.
create function pick(row_number bigint, col text, below integer) returns integer
  language sql immutable strict parallel safe
  return (('x' || substr(md5(col || ':' || row_number), 1, 8))::bit(32)::bigint & 2147483647) % below;

create function choose(row_number bigint, col text, choices text[]) returns text
  language sql immutable strict parallel safe
  return choices[1 + pick(row_number, col, cardinality(choices))];

create table clinics (
  clinic_id  integer primary key,
  name       text not null unique,
  city       text not null,
  zip        char(5) not null
);

create table clinicians (
  clinician_id integer primary key,
  clinic_id    integer not null references clinics,
  npi          char(10) not null unique,
  family_name  text not null,
  given_name   text not null,
  specialty    text not null
);

create table patients (
  patient_id  integer primary key,
  mrn         text not null unique,
  ssn         char(11) not null,
  family_name text not null,
  given_name  text not null,
  birth_date  date not null,
  sex         char(1) not null check (sex in ('F', 'M', 'X')),
  phone       text not null,
  email       text,
  street      text not null,
  city        text not null,
  zip         char(5) not null,
  clinic_id   integer not null references clinics,
  insurer     text not null,
  member_id   text not null,
  deceased    boolean not null default false
);

create table encounters (
  encounter_id  integer primary key,
  patient_id    integer not null references patients,
  clinician_id  integer not null references clinicians,
  clinic_id     integer not null references clinics,
  started_at    timestamptz not null,
  reason        text not null,
  diagnosis     text not null,
  vitals        jsonb not null,
  note          text not null
);

create table medications (
  medication_id integer primary key,
  encounter_id  integer not null references encounters,
  patient_id    integer not null references patients,
  drug          text not null,
  dose          text not null,
  started_on    date not null,
  ended_on      date
);

create table claims (
  claim_id     integer primary key,
  encounter_id integer not null references encounters,
  patient_id   integer not null references patients,
  billed_on    date not null,
  codes        text[] not null,
  amount       numeric(10,2) not null,
  paid         numeric(10,2) not null,
  status       text not null check (status in ('open', 'paid', 'denied'))
);

insert into clinics
select n, (array['Northfield Family Clinic', 'Harbour Street Practice', 'St. Aldwyn Medical Centre', 'Elm Row Health', 'Lakeside Internal Medicine',
                 'Old Mill Paediatrics', 'Quarry Hill Surgery', 'Westgate Women''s Health'])[n],
       (array['Northfield', 'Port Hollis', 'Aldwyn', 'Elm Row', 'Lakeside', 'Old Mill', 'Quarry Hill', 'Westgate'])[n],
       to_char(99000 + n * 11, 'FM00000')
  from generate_series(1, 8) n;

-- A provider number is nine digits and a Luhn check digit over `80840` and them; ours is always one off.
create function wrong_npi(nine bigint) returns char(10)
  language sql immutable strict
  return nine::text || ((10 - (24 + (select sum(case when place % 2 = 1 then (2 * digit) / 10 + (2 * digit) % 10 else digit end)
                                       from (select place, substr(nine::text, place::integer, 1)::integer as digit
                                               from generate_series(1, 9) place) digits))::integer % 10) % 10 + 1) % 10;

insert into clinicians
select n, 1 + pick(n, 'clinician.clinic', 8), wrong_npi(100000000 + n * 7919),
       choose(n, 'clinician.family', array['Abara', 'Bergstrom', 'Castellanos', 'Dhillon', 'Eriksen', 'Farouk', 'Grünwald', 'Hosseini', 'Ito', 'Jankowska',
                                           'Kessler', 'Lindqvist', 'Mbeki', 'Novák', 'Okafor', 'Pereira', 'Quinn', 'Rosales', 'Sørensen', 'Tanaka']),
       choose(n, 'clinician.given', array['Amara', 'Björn', 'Chiara', 'Dev', 'Elena', 'Farid', 'Greta', 'Hassan', 'Ines', 'Jonas', 'Kofi', 'Leila', 'Mateo', 'Nadia', 'Otto']),
       choose(n, 'clinician.specialty', array['family medicine', 'internal medicine', 'paediatrics', 'cardiology', 'psychiatry', 'obstetrics', 'oncology', 'dermatology'])
  from generate_series(1, 120) n;

insert into patients
select n, 'MRN-' || to_char(1000000 + n, 'FM0000000'),
       -- Areas 900 to 999 for most, 000 and 666 for some: all three were never issued.
       case pick(n, 'ssn.kind', 20) when 0 then '000' when 1 then '666' else (900 + pick(n, 'ssn.area', 100))::text end
         || '-' || to_char(1 + pick(n, 'ssn.group', 99), 'FM00') || '-' || to_char(1 + pick(n, 'ssn.serial', 9999), 'FM0000'),
       choose(n, 'family', array['Adeyemi', 'Alvarez', 'Andersson', 'Baker', 'Banerjee', 'Becker', 'Brown', 'Chen', 'Cohen', 'Cruz', 'Davies', 'Diallo', 'Duarte', 'Evans',
                                 'Fischer', 'Fontaine', 'Garcia', 'Green', 'Haddad', 'Hansen', 'Hughes', 'Ibrahim', 'Jackson', 'Johnson', 'Kaya', 'Kim', 'Kowalski', 'Kumar',
                                 'Larsen', 'Lee', 'Lopez', 'Martin', 'Meyer', 'Miller', 'Müller', 'Nakamura', 'Nguyen', 'O''Brien', 'Olsen', 'Park', 'Patel', 'Petrov', 'Reyes',
                                 'Robinson', 'Rossi', 'Sánchez', 'Schmidt', 'Silva', 'Singh', 'Smith', 'Taylor', 'Thomas', 'Torres', 'Vargas', 'Walker', 'Weber', 'Williams',
                                 'Wilson', 'Wright', 'Yılmaz']),
       choose(n, 'given', array['Adam', 'Aisha', 'Alice', 'Amir', 'Anna', 'Arthur', 'Beatriz', 'Ben', 'Carla', 'Carlos', 'Chloé', 'Daniel', 'David', 'Elif', 'Emma', 'Eric',
                                'Fatima', 'Felix', 'Gabriel', 'Hana', 'Henry', 'Ivan', 'Jack', 'James', 'Jin', 'José', 'Julia', 'Karim', 'Kate', 'Laura', 'Leo', 'Lina', 'Lucas',
                                'Maria', 'Mei', 'Mia', 'Mohamed', 'Nina', 'Noah', 'Oliver', 'Olga', 'Paul', 'Priya', 'Rosa', 'Samuel', 'Sara', 'Sofia', 'Thomas', 'Victor', 'Zoë']),
       date '2026-06-30' - (pick(n, 'birth', 33000) + 30),
       (array['F', 'M', 'F', 'M', 'F', 'M', 'F', 'M', 'F', 'X'])[1 + pick(n, 'sex', 10)],
       '(' || (200 + pick(n, 'phone.area', 800)) || ') 555-01' || to_char(pick(n, 'phone', 100), 'FM00'),
       case when pick(n, 'email.has', 10) < 7 then 'patient' || n || '@example.org' end,
       (1 + pick(n, 'house', 980)) || ' ' || choose(n, 'street', array['Acacia Avenue', 'Birch Lane', 'Canal Street', 'Dale Road', 'Fern Close', 'Garden Row', 'High Street',
                                                                  'Kiln Lane', 'Meadow Way', 'Orchard Drive', 'Park Terrace', 'Station Road']),
       c.city, to_char(99000 + pick(n, 'zip', 90), 'FM00000'), c.clinic_id,
       choose(n, 'insurer', array['Alder Mutual', 'Beacon Health Plan', 'Concord Assurance', 'public', 'self-pay']),
       'M' || to_char(pick(n, 'member.a', 100000), 'FM00000') || to_char(pick(n, 'member.b', 10000), 'FM0000'),
       pick(n, 'deceased', 50) = 0
  from generate_series(1, 20000) n join clinics c on c.clinic_id = 1 + pick(n, 'clinic', 8);

-- Two to four encounters for each patient, three on average; notes repeat the name and the MRN, as real notes do.
insert into encounters
select row_number() over (order by p.patient_id, visit), p.patient_id, 1 + pick(visit_key, 'clinician', 120), p.clinic_id,
       -- Between 2021-01-01 and 2026-06-30, and not before birth.
       timestamptz '2026-06-30 18:00:00+00' - make_interval(mins => pick(visit_key, 'minutes', least(2800000, 1440 * (date '2026-06-30' - p.birth_date)))),
       reason, diagnosis,
       jsonb_build_object('systolic', 95 + pick(visit_key, 'systolic', 75), 'diastolic', 55 + pick(visit_key, 'diastolic', 45),
                          'pulse', 50 + pick(visit_key, 'pulse', 60), 'weight_kg', round(4 + pick(visit_key, 'weight', 1100) / 10.0, 1)),
       p.given_name || ' ' || p.family_name || ' (' || p.mrn || ') seen for ' || reason || '. '
         || choose(visit_key, 'history', array['Symptoms for three days, no fever.', 'Known to us for years, no change since the last visit.', 'Came with a relative who reports poor sleep.',
                                               'Works nights and skips meals.', 'Recently moved; previous records requested.', 'Stopped the medication by themselves two weeks ago.'])
         || ' ' || choose(visit_key, 'finding', array['Lungs clear, abdomen soft.', 'Mild tenderness on the left side.', 'Blood pressure raised on both arms.', 'No focal neurological signs.',
                                                      'Skin warm and dry, small rash on the forearm.', 'Mood low, denies thoughts of self-harm.'])
         || ' Impression: ' || diagnosis || '. '
         || choose(visit_key, 'plan', array['Review in two weeks.', 'Bloods taken, call with results.', 'Referred to a specialist.', 'Advice given, return if worse.', 'Started treatment, see list.'])
         || ' Contact: ' || p.phone || '.'
  from patients p
 cross join lateral generate_series(1, 2 + pick(p.patient_id, 'visits', 3)) visit
 cross join lateral (select p.patient_id * 10::bigint + visit as visit_key) key
 cross join lateral (select choose(visit_key, 'reason', array['cough', 'chest pain', 'back pain', 'headache', 'annual check', 'medication review', 'rash', 'low mood', 'dizziness', 'abdominal pain']) as reason,
                            choose(visit_key, 'diagnosis', array['J06.9 acute upper respiratory infection', 'I10 essential hypertension', 'M54.5 low back pain', 'G43.9 migraine', 'E11.9 type 2 diabetes',
                                                                 'F32.1 depressive episode', 'L30.9 dermatitis', 'Z00.0 general examination', 'B20 HIV disease', 'K21.9 reflux disease']) as diagnosis) what;

insert into medications
select row_number() over (order by encounter_id, item), encounter_id, patient_id,
       (array['amoxicillin', 'lisinopril', 'ibuprofen', 'sumatriptan', 'metformin', 'sertraline', 'hydrocortisone', 'omeprazole', 'bictegravir', 'amlodipine'])[drug],
       (array['500 mg three times a day', '10 mg daily', '400 mg as needed', '50 mg as needed', '850 mg twice a day', '50 mg daily', '1 % twice a day', '20 mg daily', '50 mg daily', '5 mg daily'])[drug],
       started_at::date, case when pick(key, 'med.ended', 3) > 0 then started_at::date + 5 + pick(key, 'med.days', 90) end
  from (select e.encounter_id, e.patient_id, e.started_at at time zone 'UTC' as started_at, item, e.encounter_id * 10::bigint + item as key,
               1 + pick(e.encounter_id * 10::bigint + item, 'drug', 10) as drug
          from encounters e cross join lateral generate_series(1, pick(e.encounter_id, 'meds', 3)) item) list;

insert into claims
select encounter_id, encounter_id, patient_id, (started_at at time zone 'UTC')::date + 1 + pick(encounter_id, 'billed', 20),
       array[choose(encounter_id, 'code', array['99202', '99203', '99213', '99214', '99395'])]
         || case when pick(encounter_id, 'code.more', 3) = 0 then array[choose(encounter_id, 'code2', array['36415', '80053', '93000', '71046'])] else '{}' end,
       amount, case status when 'paid' then amount - 20 when 'denied' then 0 else 0 end, status
  from (select encounter_id, patient_id, started_at, (6000 + pick(encounter_id, 'amount', 44000)) / 100.0 as amount,
               (array['paid', 'paid', 'paid', 'paid', 'open', 'denied'])[1 + pick(encounter_id, 'status', 6)] as status from encounters) bills;

create index on clinicians (clinic_id);
create index on patients (family_name, given_name);
create index on patients (birth_date);
create index on patients (clinic_id);
create index on encounters (patient_id, started_at);
create index on encounters (clinician_id);
create index on encounters (clinic_id);
create index on medications (patient_id);
create index on medications (encounter_id);
create index on claims (patient_id);
create index on claims (encounter_id);
create index on claims (status, billed_on);

drop function wrong_npi(bigint);
drop function choose(bigint, text, text[]);
drop function pick(bigint, text, integer);

reset search_path;
analyze clinic.clinics, clinic.clinicians, clinic.patients, clinic.encounters, clinic.medications, clinic.claims;
