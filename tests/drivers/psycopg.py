"""psycopg 3: prepared statements after five uses, pipeline mode, COPY, server cursors. See README.md."""

import os
import sys

# This file is called as its driver is: its own folder must not come first when the driver is imported.
sys.path = [folder for folder in sys.path if os.path.abspath(folder or ".") != os.path.dirname(os.path.abspath(__file__))]

import datetime
import decimal
import hashlib
import json
import threading

import psycopg

URL = sys.argv[1]
BIG = 10 * 1024 * 1024
results = {}


def case(body):
    try:
        with psycopg.connect(URL, autocommit=True) as connection:
            results[body.__name__] = body(connection)
    except psycopg.Error as error:
        results[body.__name__] = {"error": error.sqlstate or str(error)}
    return body


def plain(value):
    if isinstance(value, (bytes, memoryview)):
        value = bytes(value)
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, str) and len(value) > 1000:
        return {"characters": len(value), "sha256": hashlib.sha256(value.encode()).hexdigest()}
    if isinstance(value, (datetime.date, datetime.datetime, decimal.Decimal)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def rows(cursor):
    return [plain(row) for row in cursor.fetchall()]


def seen(cursor, placeholder, numbers, statements):
    """What each statement shows for each number, prepared, with the types of the columns."""
    found = []
    for statement in statements:
        for number in numbers:
            cursor.execute(statement.replace("$1", placeholder), (number,), prepare=True)
            found.append({"types": [d.type_code for d in cursor.description], "rows": rows(cursor)})
    return found


if len(sys.argv) > 2:
    asked = [int(number) for number in sys.argv[2].split(",")], sys.argv[3:]
    with psycopg.connect(URL, autocommit=True) as connection:
        print(json.dumps({"text": seen(connection.cursor(), "%t", *asked), "binary": seen(connection.cursor(binary=True), "%b", *asked)}))
    sys.exit()

with psycopg.connect(URL, autocommit=True) as setup:
    setup.execute("drop schema if exists driver_psycopg cascade")
    setup.execute("create schema driver_psycopg")
    setup.execute("create table driver_psycopg.t (id integer primary key, word text, amount numeric, at timestamptz, data bytea, list integer[])")


@case
def connect(c):
    return [c.info.server_version, c.info.parameter_status("client_encoding"), c.info.parameter_status("standard_conforming_strings")]


@case
def simple(c):
    cursor = c.execute("select 1 as one, 'two' as two, 3.5::numeric as three, date '2026-01-31' as four")
    return [rows(cursor), [d.name for d in cursor.description], [d.type_code for d in cursor.description]]


@case
def several_results(c):
    cursor = c.execute("select 1; select 2; select 3")
    found = [rows(cursor)]
    while cursor.nextset():
        found.append(rows(cursor))
    return found


@case
def prepared_reused(c):
    return [c.execute("select %s::integer * 2", (n,), prepare=True).fetchone()[0] for n in range(100)]


@case
def binary(c):
    cursor = c.cursor(binary=True)
    cursor.execute("select 1::int2, 2::int4, 3::int8, 1.5::float8, 'x'::text, '\\x00ff'::bytea, true, timestamptz '2026-01-01 00:00+00' at time zone 'UTC'")
    return rows(cursor)


@case
def nulls(c):
    return rows(c.execute("select null::text, %s::integer, %t::text, '' as empty", (None, None)))


@case
def unicode(c):
    text = "Zoë 李 Ωμέγα 🩺 \u0301 O'Brien \\ %"
    row = c.execute("select %s::text, length(%s::text)", (text, text)).fetchone()
    return [row[0] == text, row[1], row[0]]


@case
def arrays(c):
    return rows(c.execute("select %s::integer[], %s::text[], array[[1,2],[3,4]], array[null, 'a,b', '\"']::text[]", ([1, None, 3], ["a", None, ""])))


@case
def big_values(c):
    text, data = "x" * BIG, bytes(range(256)) * (BIG // 256)
    row = c.execute("select %s::text, %b::bytea", (text, data)).fetchone()
    return [plain(row), row[0] == text, bytes(row[1]) == data]


@case
def rollback(c):
    try:
        with c.transaction():
            c.execute("insert into driver_psycopg.t (id) values (1)")
            raise ValueError
    except ValueError:
        pass
    with c.transaction():
        c.execute("insert into driver_psycopg.t (id, word) values (2, 'kept')")
        try:
            with c.transaction():
                c.execute("insert into driver_psycopg.t (id) values (2)")
        except psycopg.errors.UniqueViolation as error:
            failed = [error.sqlstate, error.diag.constraint_name, error.diag.message_primary]
    return [failed, rows(c.execute("select id, word from driver_psycopg.t order by id"))]


@case
def error_then_continue(c):
    found = []
    for text in ["select 1/0", "selekt", "select * from driver_psycopg.gone", "select 'after'"]:
        try:
            found.append(rows(c.execute(text)))
        except psycopg.Error as error:
            found.append([error.sqlstate, error.diag.message_primary, error.diag.statement_position])
    return found


@case
def failed_transaction(c):
    c.execute("begin")
    found = []
    for text in ["select 1/0", "select 1", "rollback", "select 2"]:
        try:
            cursor = c.execute(text)
            found.append(rows(cursor) if cursor.description else cursor.statusmessage)
        except psycopg.Error as error:
            found.append(error.sqlstate)
    return found


@case
def pipeline(c):
    with c.pipeline():
        cursors = [c.execute("select %s::integer + 1", (n,)) for n in range(50)]
    good = [cursor.fetchone()[0] for cursor in cursors]
    found = []
    try:
        with c.pipeline() as p:
            c.execute("select 1")
            c.execute("select 1/0")
            c.execute("select 2")
            p.sync()
    except psycopg.Error as error:
        found.append(error.sqlstate)
    return [good, found, rows(c.execute("select 'after'"))]


@case
def execute_many(c):
    with c.cursor() as cursor:
        cursor.executemany("insert into driver_psycopg.t (id, amount) values (%s, %s)", [(n, decimal.Decimal(n) / 4) for n in range(100, 200)])
        cursor.executemany("update driver_psycopg.t set word = 'w' || id where id = %s returning word", [(100,), (101,)], returning=True)
        found = [rows(cursor)]
        while cursor.nextset():
            found.append(rows(cursor))
    return [found, rows(c.execute("select count(*), sum(amount) from driver_psycopg.t where id between 100 and 199"))]


@case
def copy(c):
    cursor = c.cursor()
    with cursor.copy("copy driver_psycopg.t (id, word, data) from stdin") as copying:
        for n in range(1000, 3000):
            copying.write_row((n, f"wörd\t{n}\n", bytes([n % 256]) * 100))
    counted = cursor.rowcount
    digest = hashlib.sha256()
    with cursor.copy("copy (select id, word, data from driver_psycopg.t where id >= 1000 order by id) to stdout") as copying:
        for block in copying:
            digest.update(block)
    with cursor.copy("copy (select id, word from driver_psycopg.t where id between 1000 and 1002 order by id) to stdout (format binary)") as copying:
        copying.set_types(["int4", "text"])
        binary_rows = [list(row) for row in copying.rows()]
    try:
        with cursor.copy("copy driver_psycopg.t (id) from stdin") as copying:
            copying.write("not a number\n")
    except psycopg.Error as error:
        failed = error.sqlstate
    return [counted, digest.hexdigest(), binary_rows, failed, rows(c.execute("select 'after'"))]


@case
def notify(c):
    c.execute("listen driver_psycopg")
    with psycopg.connect(URL, autocommit=True) as other:
        other.execute("select pg_notify('driver_psycopg', 'first')")
        other.execute("notify driver_psycopg, 'second'")
    found = []
    for notice in c.notifies(timeout=30, stop_after=2):
        found.append([notice.channel, notice.payload])
    return found


@case
def notices(c):
    heard = []
    c.add_notice_handler(lambda diagnostic: heard.append([diagnostic.severity, diagnostic.message_primary]))
    c.execute("drop table if exists driver_psycopg.gone")
    return heard


@case
def cancel(c):
    ended = threading.Event()

    def insist():
        # A request that arrives before the statement does nothing: ask until the statement has ended.
        while not ended.wait(0.1):
            c.cancel_safe(timeout=10)

    thread = threading.Thread(target=insist)
    thread.start()
    try:
        c.execute("select pg_sleep(60)")
        found = "not cancelled"
    except psycopg.Error as error:
        found = error.sqlstate
    finally:
        ended.set()
        thread.join()
    for _ in range(50):
        # A last request may still hit the next statement.
        try:
            return [found, rows(c.execute("select 'after'"))]
        except psycopg.errors.QueryCanceled:
            pass
    return found


@case
def server_cursor(c):
    with c.transaction(), c.cursor(name="walk") as cursor:
        cursor.itersize = 100
        cursor.execute("select n, repeat('x', n % 50) from generate_series(1, 1050) n")
        walked = sum(len(row[1]) + row[0] for row in cursor)
    with c.transaction(), c.cursor(name="jump", scrollable=True) as cursor:
        cursor.execute("select n from generate_series(1, 100) n")
        cursor.scroll(50)
        jumped = [rows(cursor)[0], cursor.scroll(-10), cursor.fetchone()[0]]
    return [walked, jumped]


@case
def streamed(c):
    return sum(row[0] for row in c.cursor().stream("select n from generate_series(1, 5000) n"))


with psycopg.connect(URL, autocommit=True) as setup:
    setup.execute("drop schema driver_psycopg cascade")

print(json.dumps(results, sort_keys=True, indent=1, ensure_ascii=False))
