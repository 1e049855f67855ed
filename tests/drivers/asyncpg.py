"""asyncpg: everything prepared, binary and cached; introspection of types; COPY; executemany in one pipeline. See README.md."""

import os
import sys

# This file is called as its driver is: its own folder must not come first when the driver is imported.
sys.path = [folder for folder in sys.path if os.path.abspath(folder or ".") != os.path.dirname(os.path.abspath(__file__))]

import asyncio
import datetime
import decimal
import hashlib
import io
import json

import asyncpg

URL = sys.argv[1]
BIG = 10 * 1024 * 1024
results = {}


def plain(value):
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, str) and len(value) > 1000:
        return {"characters": len(value), "sha256": hashlib.sha256(value.encode()).hexdigest()}
    if isinstance(value, (datetime.date, datetime.datetime, datetime.timedelta, decimal.Decimal)):
        return str(value)
    if isinstance(value, (list, tuple, asyncpg.Record)):
        return [plain(item) for item in value]
    return value


async def seen(c, numbers, statements):
    """What each statement shows for each number, prepared, with the types of the columns."""
    found = []
    for text in statements:
        statement = await c.prepare(text)
        types = [attribute.type.oid for attribute in statement.get_attributes()]
        found += [{"types": types, "rows": plain(await statement.fetch(number))} for number in numbers]
    return found


async def seen_in_both_formats(numbers, statements):
    c = await asyncpg.connect(URL)
    found = {"binary": await seen(c, numbers, statements)}
    # The driver takes every type in binary that it knows so: text is asked for a type at a time.
    for kind, decoder in {"int4": int, "bool": lambda text: text == "t", "date": str, "bpchar": str, "text": str}.items():
        await c.set_type_codec(kind, schema="pg_catalog", encoder=str, decoder=decoder, format="text")
    found["text"] = await seen(c, numbers, statements)
    await c.close()
    return found


async def simple(c):
    await c.execute("select 1; select 2")
    return plain(await c.fetch("select 1 as one, 'two' as two, 3.5::numeric as three, date '2026-01-31' as four"))


async def prepared_reused(c):
    statement = await c.prepare("select $1::integer * 2")
    kinds = [p.name for p in statement.get_parameters()] + [a.name for a in statement.get_attributes()]
    return [kinds, [await statement.fetchval(n) for n in range(100)]]


async def cached(c):
    return [await c.fetchval("select $1::text || $2", "a", str(n)) for n in range(100)]


async def types(c):
    return plain(await c.fetchrow(
        "select 1::int2, 2::int4, 3::int8, 1.5::float8, 'x'::text, '\\x00ff'::bytea, true, timestamptz '2026-01-01 00:00+00', "
        "interval '1 day', '{\"a\": 1}'::jsonb, '10.0.0.0/8'::cidr::text, '1e-5'::numeric, int4range(1, 5)::text"))


async def nulls(c):
    return plain(await c.fetchrow("select null::text, $1::integer, '' as empty", None))


async def unicode(c):
    text = "Zoë 李 Ωμέγα 🩺 \u0301 O'Brien \\ %"
    row = await c.fetchrow("select $1::text, length($1)", text)
    return [row[0] == text, row[1], row[0]]


async def arrays(c):
    return plain(await c.fetchrow("select $1::integer[], $2::text[], array[[1,2],[3,4]]", [1, None, 3], ["a", None, ""]))


async def own_types(c):
    # Introspection: the driver asks the catalog about types that it does not know.
    await c.execute("create type driver_asyncpg.mood as enum ('low', 'high'); create type driver_asyncpg.pair as (a integer, b driver_asyncpg.mood)")
    await c.reload_schema_state()
    return [plain(await c.fetchval("select 'low'::driver_asyncpg.mood")), plain(await c.fetchval("select row(1, 'high')::driver_asyncpg.pair")),
            plain(await c.fetchval("select array['low', 'high']::driver_asyncpg.mood[]"))]


async def big_values(c):
    text, data = "x" * BIG, bytes(range(256)) * (BIG // 256)
    row = await c.fetchrow("select $1::text, $2::bytea", text, data)
    return [plain(row), row[0] == text, row[1] == data]


async def rollback(c):
    try:
        async with c.transaction():
            await c.execute("insert into driver_asyncpg.t (id) values (1)")
            raise ValueError
    except ValueError:
        pass
    failed = None
    async with c.transaction(isolation="serializable"):
        await c.execute("insert into driver_asyncpg.t (id, word) values (2, 'kept')")
        try:
            async with c.transaction():
                await c.execute("insert into driver_asyncpg.t (id) values (2)")
        except asyncpg.UniqueViolationError as error:
            failed = [error.sqlstate, error.constraint_name, error.message]
    return [failed, plain(await c.fetch("select id, word from driver_asyncpg.t order by id"))]


async def error_then_continue(c):
    found = []
    for text in ["select 1/0", "selekt", "select * from driver_asyncpg.gone", "select 'after'"]:
        try:
            found.append(plain(await c.fetch(text)))
        except asyncpg.PostgresError as error:
            found.append([error.sqlstate, error.message, error.position])
    return found


async def execute_many(c):
    await c.executemany("insert into driver_asyncpg.t (id, amount) values ($1, $2)", [(n, decimal.Decimal(n) / 4) for n in range(100, 2100)])
    found = []
    try:
        await c.executemany("insert into driver_asyncpg.t (id) values ($1)", [(5000,), (5001,), (5000,)])
    except asyncpg.UniqueViolationError as error:
        found.append(error.sqlstate)
    return [found, plain(await c.fetchrow("select count(*), sum(amount), max(id) from driver_asyncpg.t"))]


async def copy(c):
    records = [(n, f"wörd\t{n}", bytes([n % 256]) * 100) for n in range(10000, 12000)]
    status = await c.copy_records_to_table("t", schema_name="driver_asyncpg", columns=["id", "word", "data"], records=records)
    out = io.BytesIO()
    told = await c.copy_from_query("select id, word, data from driver_asyncpg.t where id >= $1 order by id", 10000, output=out, format="csv")
    source = io.BytesIO(b"20000,a\n20001,b\n")
    taken = await c.copy_to_table("t", schema_name="driver_asyncpg", columns=["id", "word"], source=source, format="csv")
    try:
        await c.copy_to_table("t", schema_name="driver_asyncpg", columns=["id"], source=io.BytesIO(b"no number\n"), format="csv")
        failed = None
    except asyncpg.PostgresError as error:
        failed = error.sqlstate
    return [status, told, plain(out.getvalue()), taken, failed, await c.fetchval("select 'after'")]


async def notify(c):
    heard = asyncio.Queue()
    await c.add_listener("driver_asyncpg", lambda connection, pid, channel, payload: heard.put_nowait([channel, payload]))
    other = await asyncpg.connect(URL)
    try:
        await other.execute("notify driver_asyncpg, 'first'")
        await other.execute("select pg_notify('driver_asyncpg', 'second')")
    finally:
        await other.close()
    return [await asyncio.wait_for(heard.get(), 30), await asyncio.wait_for(heard.get(), 30)]


async def cancel(c):
    # A cancelled task makes the driver send a CancelRequest; a later statement shows that the connection is good.
    found = []
    for _ in range(3):
        try:
            await asyncio.wait_for(c.execute("select pg_sleep(60)"), 0.3)
        except (asyncio.TimeoutError, TimeoutError):
            found.append("cancelled")
        found.append(await c.fetchval("select 'after'"))
    return found


async def cursor(c):
    async with c.transaction():
        walked = 0
        async for row in c.cursor("select n, repeat('x', n % 50) from generate_series(1, 1050) n", prefetch=100):
            walked += row[0] + len(row[1])
        held = await c.cursor("select n from generate_series(1, 100) n")
        skipped = await held.forward(50)
        return [walked, skipped, plain(await held.fetch(3))]


async def settings(c):
    return [str(c.get_server_version()), c.get_settings().client_encoding, c.get_settings().server_version]


async def pool(c):
    # What goes back to the pool is reset, and a row with an enumeration in it has the driver ask about its type.
    await c.execute("create type driver_asyncpg.pooled as enum ('a', 'b')")
    found = []
    async with asyncpg.create_pool(URL, min_size=1, max_size=2) as made:
        for _ in range(3):
            async with made.acquire() as one:
                found.append(await one.fetchval("select 'b'::driver_asyncpg.pooled"))
                await one.execute("set statement_timeout = 54321")
                found.append(plain(await one.fetch("show statement_timeout")))
        found.append(await made.fetchval("show statement_timeout"))
    return found


async def main():
    setup = await asyncpg.connect(URL)
    await setup.execute("drop schema if exists driver_asyncpg cascade; create schema driver_asyncpg; "
                        "create table driver_asyncpg.t (id integer primary key, word text, amount numeric, data bytea)")
    for body in [settings, simple, prepared_reused, cached, types, nulls, unicode, arrays, own_types, big_values, rollback, error_then_continue,
                 execute_many, copy, notify, cancel, cursor, pool]:
        connection = None
        try:
            connection = await asyncpg.connect(URL)
            results[body.__name__] = await body(connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            results[body.__name__] = {"error": getattr(error, "sqlstate", None) or str(error)}
        finally:
            if connection:
                await connection.close()
    await setup.execute("drop schema driver_asyncpg cascade")
    await setup.close()


if len(sys.argv) > 2:
    results = asyncio.run(seen_in_both_formats([int(number) for number in sys.argv[2].split(",")], sys.argv[3:]))
else:
    asyncio.run(main())
print(json.dumps(results, sort_keys=True, indent=1, ensure_ascii=False))
