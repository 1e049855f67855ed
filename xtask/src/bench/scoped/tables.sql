-- A million people and a million visits, and what compares two statements on them. Nobody here can be a real person:
-- social security numbers stand in the area 000, which was never issued.

\set ON_ERROR_STOP on
set client_min_messages = warning;

create schema measured;
set search_path = measured;

create table people (
  person_id   integer primary key,
  clinic_id   integer not null,
  family_name text not null,
  ssn         text not null,
  birth_date  date not null,
  zip         text not null,
  balance     integer not null
);
insert into people
  select n, n % 40, 'Family ' || n, '000-' || lpad((n % 99)::text, 2, '0') || '-' || lpad((n % 9999)::text, 4, '0'),
    date '1930-01-01' + n % 30000, lpad((n % 99999)::text, 5, '0'), n % 1000
  from generate_series(1, 1000000) n;

-- The same, of which some see only the rows of half of the clinics.
create table members (like people including all);
insert into members select * from people;

create table visits (
  visit_id   integer primary key,
  person_id  integer not null references people,
  started_on date not null,
  amount     integer not null,
  note       text not null
);
insert into visits
  select n, 1 + (n::bigint * 7919) % 1000000, date '2020-01-01' + n % 2000, n % 500, 'A note of visit ' || n
  from generate_series(1, 1000000) n;
create index on visits (person_id);

vacuum (freeze, analyze) people;
vacuum (freeze, analyze) members;
vacuum (freeze, analyze) visits;

-- Milliseconds that the database itself counts for two statements: executing and planning, the mean without the highest
-- and the lowest tenth. Both run on the same keys, which take the place of 4242424 in their texts; who is first alternates.
-- What is planned before is planned once: executing it is all that is left, with caches that no planning has emptied.
create function compare(
  plain text, other text, runs integer, planned boolean,
  out plain_execution double precision, out other_execution double precision,
  out plain_planning double precision, out other_planning double precision
)
language plpgsql as $$
declare
  texts text[] := array[plain, other];
  key text;
  side integer;
  shown json;
begin
  create temporary table took (side integer, execution double precision, planning double precision) on commit drop;
  if planned then
    perform set_config('plan_cache_mode', 'force_generic_plan', true);
    for side in 0..1 loop
      execute format('prepare side_%s(integer) as %s', side, replace(texts[side + 1], '4242424', '$1'));
    end loop;
    texts := array['execute side_0(4242424)', 'execute side_1(4242424)'];
  end if;
  for run in 1..runs loop
    key := 1 + floor(random() * 980000)::integer;
    for turn in 0..1 loop
      side := (run + turn) % 2;
      execute 'explain (analyze, timing off, format json) ' || replace(texts[side + 1], '4242424', key) into shown;
      insert into took values (side, (shown->0->>'Execution Time')::double precision,
        (shown->0->>'Planning Time')::double precision);
    end loop;
  end loop;
  if planned then
    deallocate side_0;
    deallocate side_1;
  end if;
  with bounds as (
    select took.side, percentile_cont(array[0.1, 0.9]) within group (order by execution) as e,
      percentile_cont(array[0.1, 0.9]) within group (order by planning) as p
    from took group by took.side
  ), middle as (
    select took.side, avg(execution) filter (where execution between e[1] and e[2]) as execution,
      avg(planning) filter (where planning between p[1] and p[2]) as planning
    from took join bounds using (side) group by took.side
  )
  select zero.execution, one.execution, zero.planning, one.planning
    into plain_execution, other_execution, plain_planning, other_planning
  from middle zero, middle one where zero.side = 0 and one.side = 1;
end
$$;
