-- A schema with everything that a catalog has to get right. `odd.json` beside it holds what the queries said of it on
-- PostgreSQL 15, without the rows about pg_catalog and information_schema.
create extension hstore;
create schema app;
create type app.mood as enum ('a', 'b');
create domain app.pos as numeric(10,2) check (value > 0);
create domain app.pos2 as app.pos not null;
create domain app.plain as varchar(7);
create type app.pair as (a int, b app.pos);
create function app.whole_text(anyelement) returns text language sql immutable as $$select 'x'::text$$;
create table app.people (
  id int primary key, name varchar(20) not null, mood app.mood, amounts app.pos[], price app.pos2, code app.plain, pair app.pair,
  tags hstore, "Odd ""name" text, up text generated always as (upper(name) || coalesce(code, '')) stored, gone int,
  seen timestamp(3) with time zone, letter "char", three char(3), check (id > 0 and length(name) > 2),
  exclude using btree (id with =) where (name <> 'x'));
alter table app.people drop column gone;
create unique index on app.people (lower(name)) where code is not null;
create table app.staff (badge text) inherits (app.people);
create table app.visits (id int, day date, note text, primary key (id, day)) partition by range (day, id);
create table app.visits_2020 partition of app.visits for values from ('2020-01-01', 0) to ('2021-01-01', 0) partition by range (day);
create table app.visits_2020_a partition of app.visits_2020 for values from ('2020-01-01') to ('2021-01-01');
create table app.keyed (a int, b text, c int) partition by range (c, lower(b));
create table app.orders (
  id int references app.people on delete cascade, day date, visit int, check (orders.* is not null),
  foreign key (visit, day) references app.visits (id, day));
create unique index on app.orders (app.whole_text(orders));
create view app.names as select p.id, p.name, upper(p.name) as loud from app.people p join app.orders using (id);
create view app.calling as select app.whole_text(o) from app.orders o;
create materialized view app.kept as select id, name from app.people;
create function app.f(app.mood) returns int language sql immutable as 'select 1';
create cast (app.mood as int) with function app.f(app.mood);
create function app.eq(app.mood, int) returns bool language sql immutable as 'select true';
create operator app.= (leftarg = app.mood, rightarg = int, function = app.eq);
create operator app.~~~ (leftarg = app.mood, rightarg = int, function = app.eq);
-- What judges writes besides: NULLs that are not distinct, checks that rows may violate, indexes and rows that may fail, and what
-- a partition has of its own.
create table app.judged (
  id int primary key, memo text, ssn text, short varchar(9), due date, n int, note text,
  unique nulls not distinct (ssn), check (n > 0), check (due < current_date), check (due > 'today'::text::date));
alter table app.judged add constraint late check (ssn like '9%') not valid;
create index on app.judged (memo, ssn);
create index on app.judged (n, ssn);
create index on app.judged (ssn, id);
create index on app.judged (n) include (note, short);
create index on app.judged (n, short);
create index on app.judged (n, due);
create unique index on app.judged (memo) include (ssn);
create index on app.judged using brin (due, note);
create index on app.judged using brin (ssn);
create index on app.judged ((n / length(ssn)));
create table app.broad (id int not null, a text, b text);
alter table app.broad alter a set storage plain;
create table app.moved (id int, region text, ssn text, label text, code varchar(9), word text, sum int generated always as (id + 1) stored)
  partition by list (region);
create index on app.moved (label);
alter table app.moved add check (id > 0);
create table app.moved_a partition of app.moved for values in ('a');
create table app.moved_b (id int, region text, ssn text not null, label text, code varchar(9), word text, check (code is not null),
  sum int generated always as (id + 1) stored, constraint moved_id_check check (id > 0));
create index on app.moved_b (word);
create index on app.moved_b (code);
alter table app.moved attach partition app.moved_b for values in ('b');
create unique index on only app.moved (region, ssn);
-- Indexes and a generated column that are others under other settings, and some that only look like it.
create table app.loose (id int primary key, n int, f float8, b bytea, place point, k int, data jsonb);
create unique index on app.loose ((f::text));
create index on app.loose (k) where length(b::text) > 3;
create index on app.loose ((textin(point_out(place))));
create index on app.loose ((f || ''));
create index on app.loose ((n::text));
create index on app.loose (((data ->> 'age')::int));
create index on app.loose ((f + 1));
create table app.loose_parts (id int, region text, f float8, up text generated always as (f::text) stored) partition by list (region);
create table app.loose_part partition of app.loose_parts for values in ('a');
