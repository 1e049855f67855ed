"""Binds with and without an Execute, by hand, and what the target says beside results. Prints a JSON object: case -> the
answers, each as its kind, its length with the header, and for errors the code and the beginning of the message."""

import base64
import hashlib
import hmac
import json
import os
import socket
import struct
import sys
import urllib.parse

URL, CASES = urllib.parse.urlsplit(sys.argv[1].strip()), sys.argv[2:]
line = socket.create_connection((URL.hostname, URL.port), timeout=30)
arrived = b""


def text(value):
    return value.encode() + b"\0"


def frame(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


def receive():
    global arrived
    while len(arrived) < 5 or len(arrived) < 1 + struct.unpack("!I", arrived[1:5])[0]:
        more = line.recv(65536)
        if not more:
            raise SystemExit("the server went away")
        arrived += more
    length = struct.unpack("!I", arrived[1:5])[0]
    kind, body, arrived = arrived[:1], arrived[5 : 1 + length], arrived[1 + length :]
    return kind, body


def log_in():
    """SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677)."""
    user, password = urllib.parse.unquote(URL.username), urllib.parse.unquote(URL.password)
    body = struct.pack("!I", 196608) + text("user") + text(user) + text("database") + text(URL.path[1:]) + b"\0"
    line.sendall(struct.pack("!I", len(body) + 4) + body)
    nonce = base64.b64encode(os.urandom(18)).decode()
    first = f"n=,r={nonce}"
    while True:
        kind, body = receive()
        if kind == b"E":
            raise SystemExit(body)
        if kind == b"Z":
            return
        if kind != b"R":
            continue
        step = struct.unpack("!I", body[:4])[0]
        if step == 10:
            data = ("n,," + first).encode()
            line.sendall(frame(b"p", text("SCRAM-SHA-256") + struct.pack("!I", len(data)) + data))
        elif step == 11:
            server = body[4:].decode()
            said = dict(part.split("=", 1) for part in server.split(","))
            salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(said["s"]), int(said["i"]))
            without = f"c=biws,r={said['r']}"
            key = hmac.digest(salted, b"Client Key", "sha256")
            signed = hmac.digest(hashlib.sha256(key).digest(), f"{first},{server},{without}".encode(), "sha256")
            proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signed))).decode()
            line.sendall(frame(b"p", f"{without},p={proof}".encode()))


def parse(sql, name=""):
    return frame(b"P", text(name) + text(sql) + struct.pack("!H", 0))


def bind(portal="", name="", values=()):
    carried = b"".join(struct.pack("!i", len(value)) + value for value in values)
    return frame(b"B", text(portal) + text(name) + struct.pack("!HH", 0, len(values)) + carried + struct.pack("!H", 0))


def describe(portal=""):
    return frame(b"D", b"P" + text(portal))


def execute(portal="", rows=0):
    return frame(b"E", text(portal) + struct.pack("!I", rows))


def query(sql):
    return frame(b"Q", text(sql))


SYNC, FLUSH = frame(b"S"), frame(b"H")


def short(kind, body):
    said = [kind.decode(), len(body) + 5]
    if kind in b"E":
        fields = dict((field[:1], field[1:]) for field in body.decode().split("\0") if field)
        said += [fields["C"], fields["M"][:60]]
    return said


def until(end, count=1):
    answers = []
    while count:
        kind, body = receive()
        answers.append(short(kind, body))
        count -= kind == end
    return answers


def all_of(*messages):
    line.sendall(b"".join(messages))
    return until(b"Z", sum(message[:1] in b"QS" for message in messages))


PATIENTS = "substr(table_to_xml('clinic.patients', true, false, '')::text, 1, 40000)"
ROWS = "select patient_id from clinic.patients where patient_id <= 3 order by 1"
NOTICES = f"do $$begin for i in 1..5 loop raise notice '%', {PATIENTS}; end loop; end$$"


def flushed():
    line.sendall(parse(ROWS) + bind() + describe() + FLUSH)
    answers = until(b"T")
    line.sendall(execute() + SYNC)
    return answers + until(b"Z")


def run(case):
    if case == "planned":
        # The planner works the value out for its estimate, and what it fails with holds the table.
        return all_of(parse(f"select 1 from clinic.patients where patient_id = ({PATIENTS})::int"), bind(), SYNC)
    if case == "left":
        return all_of(parse(ROWS), bind(), describe(), SYNC)
    if case == "parse":
        return all_of(parse(f"select '{'a' * 6000}'::int"), SYNC)
    if case == "flushed":
        return flushed()
    if case == "twice":
        return all_of(query("begin"), parse(ROWS), bind("p"), execute("p", 1), execute("p", 1), SYNC, query("commit"))
    if case == "crossed":
        return all_of(parse(ROWS, "s"), bind("a", "s"), bind("b", "s"), execute("b"), execute("a"), SYNC)
    if case == "skipped":
        return all_of(parse("select 1 / $1::int"), bind("", "", [b"0"]), execute(), parse(ROWS), bind(), execute(), SYNC)
    if case == "large":
        return all_of(parse("select length($1::text)"), bind("", "", [b"x" * 3_000_000]), execute(), SYNC)
    if case == "large_left":
        return all_of(parse("select length($1::text)"), bind("", "", [b"x" * 3_000_000]), SYNC)
    if case == "notices":
        return all_of(query(NOTICES))
    if case == "slow_notice":
        return all_of(query(f"do $$begin raise notice '%', {PATIENTS}; perform pg_sleep(25); end$$"))
    if case == "held":
        # Bound, answered, and left like that.
        line.sendall(parse(ROWS) + bind() + describe() + FLUSH)
        return until(b"T") + until(b"E")
    if case == "after":
        return all_of(query("select 'goes on'"))
    raise SystemExit(f"no case {case}")


log_in()
print(json.dumps({case: run(case) for case in CASES}))
if "held" not in CASES:
    line.sendall(frame(b"X"))
