"""psycopg 3, held open: runs the same prepared statement each time a line comes in, and prints what it saw. See README.md."""

import os
import sys

# This file is called as its driver is: its own folder must not come first when the driver is imported.
sys.path = [folder for folder in sys.path if os.path.abspath(folder or ".") != os.path.dirname(os.path.abspath(__file__))]

import json

import psycopg

URL, SQL = sys.argv[1], sys.argv[2]

connection = psycopg.connect(URL, autocommit=True, prepare_threshold=0)
text = connection.cursor()
binary = connection.cursor(binary=True)


def seen(cursor, **how):
    try:
        cursor.execute(SQL, (1,), **how)
        return {"rows": [[str(value) for value in row] for row in cursor.fetchall()]}
    except psycopg.Error as error:
        return {"error": error.sqlstate, "message": str(error.diag.message_primary)}


def piped():
    """Two uses, one group: what changes in between reaches neither or the second."""
    try:
        with connection.pipeline():
            first, second = connection.cursor(), connection.cursor()
            first.execute(SQL, (1,))
            second.execute(SQL, (1,))
            rows = first.fetchall() + second.fetchall()
        return {"rows": [[str(value) for value in row] for row in rows]}
    except psycopg.Error as error:
        return {"error": error.sqlstate, "message": str(error.diag.message_primary)}


held = {}


def cursor():
    """A cursor that DECLARE made stays what it was filled with."""
    try:
        if not held:
            connection.execute("begin")
            held["cursor"] = psycopg.ServerCursor(connection, "held")
            held["cursor"].execute("select patient_id from clinic.patients order by patient_id")
        return {"rows": [[str(value) for value in row] for row in held["cursor"].fetchmany(2)]}
    except psycopg.Error as error:
        held.clear()
        connection.execute("rollback")
        return {"error": error.sqlstate, "message": str(error.diag.message_primary)}


for line in sys.stdin:
    word = line.strip()
    if word == "prepared":
        said = {"text": seen(text), "binary": seen(binary), "piped": piped()}
    elif word == "cursor":
        said = cursor()
    elif word == "in_transaction":
        # A failed transaction in which the statement is bound, then the same outside.
        connection.execute("begin")
        try:
            connection.execute("select 1/0")
        except psycopg.Error:
            pass
        inside = seen(text)
        connection.execute("rollback")
        said = {"inside": inside, "outside": seen(text)}
    else:
        said = seen(connection.cursor(), prepare=False) if word == "once" else {"error": word}
    print(json.dumps(said), flush=True)
