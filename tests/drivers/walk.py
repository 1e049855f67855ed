"""A random walk through the extended protocol, by hand: what is sent depends on the seed and on what was answered only, so
that two servers which behave alike get the same walk. Prints each group of messages with its answers. See README.md."""

import json
import random
import struct
import sys

from wire import Line, frame, text

SEED, GROUPS = int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(SEED)
line = Line(sys.argv[1])

INT4 = 23
STATEMENTS = [
    ("select patient_id, family_name from clinic.patients where patient_id <= $1 order by 1", [INT4]),
    ("select patient_id, family_name from clinic.patients where patient_id <= $1 order by 1", []),
    ("select family_name from clinic.patients where patient_id = 3 or $1 = 8", [INT4]),
    ("select 1 / ($1::integer - 2)", []),
    ("select agee from clinic.patients where patient_id = $1", [INT4]),
    ("selec $1", [INT4]),
    ("begin", []),
    ("commit", []),
    ("rollback", []),
    ("", []),
]
QUERIES = [
    "begin", "begin", "commit", "rollback", "savepoint a", "rollback to a", "select family_name from clinic.patients where patient_id < 4",
    "select 1/0", "select 1; select 2", "", "deallocate s0", "deallocate all", "declare c cursor for select family_name from clinic.patients",
    "fetch 2 from c", "close c", "prepare q as select count(family_name) from clinic.patients", "execute q", "deallocate q",
]
NAMES, PORTALS = ["", "s0", "s1"], ["", "p0", "p1"]
# What is at hand: only for choosing what makes sense, which the answers may prove wrong.
status = "I"
parameters = {}
prepared_sql = False
unnamed = False
bound = set()
several = 1


def extended():
    """One message of the extended protocol."""
    global unnamed
    what = chance.choices(["parse", "bind", "describe_s", "describe_p", "execute", "close_s", "close_p", "flush"], [5, 8, 3, 3, 8, 1, 1, 1])[0]
    # Behind groups that are not answered yet the unnamed statement is a guess.
    name, portal = chance.choice(NAMES if several == 1 else NAMES[1:]), chance.choice(PORTALS)
    if name == "" and not unnamed and what in ("bind", "describe_s"):
        name = "s0"
    if what == "parse":
        sql, types = chance.choice(STATEMENTS)
        parameters[name] = "$1" in sql
        unnamed |= name == ""
        return f"parse {name}: {sql}", frame(b"P", text(name) + text(sql) + struct.pack("!H", len(types)) + b"".join(struct.pack("!I", oid) for oid in types))
    if what == "bind":
        binary = chance.random() < 0.3
        value = struct.pack("!i", chance.randint(0, 4)) if binary else str(chance.randint(0, 4)).encode()
        count = int(parameters.get(name, False) if chance.random() < 0.95 else chance.random() < 0.5)
        if chance.random() < 0.05:
            value = b"x" * 300_000
        values = struct.pack("!I", len(value)) + value if count else b""
        body = struct.pack("!HHH", 1, int(binary), count) + values + struct.pack("!HH", 1, int(chance.random() < 0.5))
        bound.add(portal)
        return f"bind {portal} to {name}", frame(b"B", text(portal) + text(name) + body)
    if what == "describe_s" and status == "E":
        # What has to be prepared again first cannot be, except what ends the transaction.
        return "flush", frame(b"H")
    if what == "describe_s":
        return f"describe statement {name}", frame(b"D", b"S" + text(name))
    if what in ("execute", "describe_p") and status == "E" and portal not in bound:
        # A portal from before the failure: PostgreSQL's own backends do not always survive that.
        return "flush", frame(b"H")
    if what == "describe_p":
        return f"describe portal {portal}", frame(b"D", b"P" + text(portal))
    if what == "execute":
        return f"execute {portal}", frame(b"E", text(portal) + struct.pack("!I", chance.choice([0, 0, 1])))
    if what == "close_s":
        return f"close statement {name}", frame(b"C", b"S" + text(name))
    if what == "close_p":
        return f"close portal {portal}", frame(b"C", b"P" + text(portal))
    return "flush", frame(b"H")


def answers():
    """What comes back, to the next ReadyForQuery: all that must not depend on who answers."""
    global status
    said = []
    while True:
        kind, body = line.receive()
        if kind in b"EN":
            fields = dict((part[:1], part[1:].decode()) for part in body.split(b"\0") if part)
            code = fields[b"C"]
            # A portal that is not there: ours is the code for a statement that is not there.
            code = "26000" if code == "34000" else code
            # In a failed transaction everything fails; which of several reasons is told depends on who looks first.
            said.append((kind + b" ").decode() + ("(any)" if status == "E" else code))
        elif kind == b"T":
            count, rest, names = struct.unpack("!H", body[:2])[0], body[2:], []
            for _ in range(count):
                name, rest = rest.split(b"\0", 1)
                names.append(f"{name.decode()}:{struct.unpack('!I', rest[6:10])[0]}:{struct.unpack('!H', rest[16:18])[0]}")
                rest = rest[18:]
            said.append("T " + ",".join(names))
        elif kind == b"C":
            said.append("C " + body[:-1].decode())
        elif kind == b"t":
            said.append("t " + body.hex())
        elif kind == b"Z":
            status = body.decode()
            said.append("Z " + status)
            return said
        elif kind != b"S":
            said.append(kind.decode())


for _ in range(GROUPS):
    flips = status == "I" and chance.random() < 0.4
    if flips:
        prepared_sql = False
        print(json.dumps({"flip": True}), flush=True)
        sys.stdin.readline()
    asked, data, ends = [], b"", 0
    if chance.random() < 0.35:
        sql = chance.choice(QUERIES)
        if sql == "execute q" and not prepared_sql:
            sql = "select 1"
        unnamed = False
        asked, data, ends = [sql], frame(b"Q", text(sql)), 1
    else:
        several = chance.choice([1, 1, 1, 2, 3])
        for _ in range(several):
            bound.clear()
            for _ in range(chance.randint(1, 7)):
                word, message = extended()
                asked.append(word)
                data += message
            asked.append("sync")
            data += frame(b"S")
            ends += 1
    line.send(data)
    said = [word for _ in range(ends) for word in answers()]
    if "C PREPARE" in said:
        prepared_sql = True
    print(json.dumps({"asked": asked, "said": said}), flush=True)
