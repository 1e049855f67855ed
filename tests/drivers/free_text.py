"""psycopg 3: what a caller sees of free text, in both formats, prepared and from a cursor at the server. See README.md."""

import os
import sys

# This file is called as its driver is: its own folder must not come first when the driver is imported.
sys.path = [folder for folder in sys.path if os.path.abspath(folder or ".") != os.path.dirname(os.path.abspath(__file__))]

import json

import psycopg

URL, SQL = sys.argv[1], sys.argv[2]

connection = psycopg.connect(URL, autocommit=True, prepare_threshold=0)


def rows(cursor, **how):
    cursor.execute(SQL, (0,), **how)
    found = cursor.fetchall()
    return [[type(value).__name__ for value in row] + [json.dumps(row, default=str)] for row in found]


said = {"text": rows(connection.cursor()), "binary": rows(connection.cursor(binary=True))}
said["again"] = rows(connection.cursor(binary=True))
with connection.transaction():
    said["cursor"] = rows(psycopg.ServerCursor(connection, "kept"), binary=True)
    with connection.pipeline():
        said["piped"] = rows(connection.cursor(binary=True))
print(json.dumps(said))
