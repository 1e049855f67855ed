"""Binds with and without an Execute, by hand, and what the target says beside results. Prints a JSON object: case -> the
answers, each as its kind, its length with the header, and for errors the code and the beginning of the message."""

import json
import struct
import sys

from wire import Line, frame, text

CASES = sys.argv[2:]
line = Line(sys.argv[1], timeout=30)


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
        kind, body = line.receive()
        answers.append(short(kind, body))
        count -= kind == end
    return answers


def all_of(*messages):
    line.send(b"".join(messages))
    return until(b"Z", sum(message[:1] in b"QS" for message in messages))


PATIENTS = "substr(table_to_xml('clinic.patients', true, false, '')::text, 1, 40000)"
ROWS = "select patient_id from clinic.patients where patient_id <= 3 order by 1"
NOTICES = f"do $$begin for i in 1..5 loop raise notice '%', {PATIENTS}; end loop; end$$"


def flushed():
    line.send(parse(ROWS) + bind() + describe() + FLUSH)
    answers = until(b"T")
    line.send(execute() + SYNC)
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
        line.send(parse(ROWS) + bind() + describe() + FLUSH)
        return until(b"T") + until(b"E")
    if case == "terminated":
        line.send(parse("select pg_terminate_backend(pg_backend_pid())") + bind() + execute() + SYNC)
        return until(b"E")
    if case == "after":
        return all_of(query("select 'goes on'"))
    raise SystemExit(f"no case {case}")


print(json.dumps({case: run(case) for case in CASES}))
if not {"held", "terminated"} & set(CASES):
    line.send(frame(b"X"))
