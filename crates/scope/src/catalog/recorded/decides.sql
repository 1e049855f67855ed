-- What decides which rows are where, which types have code, and what the target runs by itself. `decides.json` beside it holds
-- what the queries said of it on PostgreSQL 15, without the rows about pg_catalog and information_schema.
create schema app;
create role app_owner;
create role app_reader login;
create role app_freed login bypassrls;
create function app.check_it(text) returns bool language plpgsql as $$ begin return true; end $$;
create domain app.word as text check (app.check_it(value));
create domain app.wide as app.word;
create domain app.price as numeric(10,2) check (value > 0);
create domain app.prices as app.price[];
create type app.pair as (a int, b app.price);
create type app.span as range (subtype = app.price);
create table app.coded (
  a app.word, b app.wide, c app.price[], d app.prices, e app.prices[], f app.pair, g app.pair[], h app.span, i nummultirange,
  j app.price default 1);
create view app.shown as select a, c from app.coded;
create function app.same(int, int) returns bool language sql as 'select true';
create operator app.=== (function = app.same, leftarg = int, rightarg = int);
create table app.defaults (
  id serial, at timestamptz default now(), xml text default query_to_xml('select 1', true, false, '')::text,
  code text default ('x'::app.word)::text, up text check (upper(up) = up and pg_backend_pid() > 0));
create index on app.defaults ((upper(xml)));
create table app.tree (id int, ssn text, check (id > 0));
create table app.low (check (ssn < '5')) inherits (app.tree);
create table app.deep (own int, check (deep.* is not null)) inherits (app.low);
create table app.plain () inherits (app.tree);
create table app.named () inherits (app.plain);
alter table app.named alter ssn set not null;
create table app.parted (id int, region text, ssn text) partition by list (region);
create table app.parted_e partition of app.parted for values in ('e') partition by range (ssn);
create table app.parted_e_low partition of app.parted_e (check (id > 3)) for values from (minvalue) to ('5');
create table app.parted_w partition of app.parted for values in ('w');
create table app.fenced (id int, ssn text, tenant text);
create policy own on app.fenced using (ssn < '5' and tenant = current_setting('app.tenant') and id operator(app.===) 3);
create policy adding on app.fenced for insert with check (app.check_it(tenant));
create table app.fenced_afar (id int, label text);
create policy afar on app.fenced_afar for select using (
  exists (select from app.tree t where t.id = fenced_afar.id) and label::app.word <> 'x' and app.check_it(label));
create policy whole on app.fenced_afar for delete using (exists (select from app.plain p where p.* is not null));
create table app.fenced_by_nothing (id int);
alter table app.fenced owner to app_owner;
alter table app.fenced enable row level security;
alter table app.fenced_afar enable row level security, force row level security;
alter table app.fenced_by_nothing enable row level security;
create type app.mood as enum ('a', 'b');
create function app.compare(app.mood, app.mood) returns int language sql immutable as 'select 1';
create operator class app.moods default for type app.mood using btree as
  operator 1 < (anyenum, anyenum), operator 2 <= (anyenum, anyenum), operator 3 = (anyenum, anyenum),
  operator 4 >= (anyenum, anyenum), operator 5 > (anyenum, anyenum), function 1 app.compare(app.mood, app.mood);
create function app.trigger() returns event_trigger language plpgsql as $$ begin end $$;
create event trigger on_tags on ddl_command_end when tag in ('CREATE TABLE', 'GRANT') execute function app.trigger();
create event trigger on_all on sql_drop execute function app.trigger();
create event trigger on_nothing on ddl_command_end execute function app.trigger();
alter event trigger on_nothing disable;
create type app.tone as enum ('a', 'b');
create function app.alike(app.tone, app.tone) returns bool language sql immutable as 'select true';
create operator app.~=~ (function = app.alike, leftarg = app.tone, rightarg = app.tone);
create operator class app.tones default for type app.tone using btree as
  operator 1 < (anyenum, anyenum), operator 2 <= (anyenum, anyenum), operator 3 app.~=~,
  operator 4 >= (anyenum, anyenum), operator 5 > (anyenum, anyenum), function 1 (app.tone, app.tone) enum_cmp(anyenum, anyenum);
create function app.apart(time, time) returns float8 language sql immutable as 'select 1.0::float8';
create type app.hours as range (subtype = time, subtype_diff = app.apart);
create domain app.open_at as app.hours;
create type app.sent;
create function app.sent_in(cstring) returns app.sent language internal immutable strict as 'textin';
create function app.sent_out(app.sent) returns cstring language internal immutable strict as 'textout';
create type app.sent (input = app.sent_in, output = app.sent_out, like = text);
create function app.sent_send(app.sent) returns bytea language plpgsql as $$ begin return ''; end $$;
alter type app.sent set (send = app.sent_send);
create table app.spans (a app.hours, b app.hours_multirange, c app.open_at, d int4range, e app.sent);
create view app.calling as select app.same(t.id, 1) as a from app.tree t;
create view app.comparing as select t.id operator(app.===) 1 as a from app.tree t;
