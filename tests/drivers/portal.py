"""A portal whose name is a cursor's afterwards: what FETCH and Execute of that name give. See README.md."""

import json
import struct
import sys

from wire import Line, frame, text

URL, BEFORE, DECLARE = sys.argv[1:4]
FETCH = "fetch all from c"
BOUND = frame(b"P", text("") + text("select 1") + bytes(2)) + frame(b"B", text("c") + text("") + bytes(6))
EXECUTED = frame(b"E", text("c") + bytes(4))
SYNC = frame(b"S")

line = Line(URL, timeout=30)


def ask(data):
    """What comes up to readiness: the only value of each row, and the messages of errors."""
    line.send(data)
    said = []
    while True:
        kind, body = line.receive()
        if kind == b"D":
            said.append(body[struct.calcsize("!HI") :].decode())
        elif kind == b"E":
            said.extend(field[1:].decode() for field in body.split(b"\0") if field[:1] == b"M")
        elif kind == b"Z":
            return said


def query(sql):
    return ask(frame(b"Q", text(sql)))


said = []
for last in (frame(b"Q", text(FETCH)), EXECUTED + SYNC):
    query("begin; savepoint a")
    ask(BOUND + SYNC)
    if BEFORE:
        query(BEFORE)
        query(DECLARE)
        said.append(ask(last))
    else:
        said.append(query(f"{DECLARE}; {FETCH}"))
    query("rollback")
print(json.dumps(said))
