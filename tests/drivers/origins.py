"""Whether the columns of statements are said to be of a table, statement by statement in one session. Prints a JSON array:
for each, whether the first column has an origin; null where nothing is described. With `portal:` before it a statement is
bound, and its portal described."""

import json
import struct
import sys

from wire import Line, frame, text

line = Line(sys.argv[1], timeout=30)


def asked(statement):
    if not statement.startswith("portal:"):
        return frame(b"Q", text(statement))
    parse = frame(b"P", text("") + text(statement.removeprefix("portal:")) + struct.pack("!H", 0))
    bind = frame(b"B", text("") + text("") + struct.pack("!HHH", 0, 0, 0))
    execute = frame(b"E", text("") + struct.pack("!I", 0))
    return parse + bind + frame(b"D", b"P" + text("")) + execute + frame(b"S")


def has_origin(statement):
    line.send(asked(statement))
    found = None
    while True:
        kind, body = line.receive()
        if kind == b"E":
            raise SystemExit(f"{statement}: {body}")
        if kind == b"T":
            name = body.index(b"\0", 2)
            found = struct.unpack("!I", body[name + 1 : name + 5])[0] != 0
        if kind == b"Z":
            return found


print(json.dumps([has_origin(statement) for statement in sys.argv[2:]]))
