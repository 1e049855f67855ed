"""An executor for two_world.py in its `jsonl:` form: what a driver sees, by prepared statements and binary results.

One argument: a connection string. Each case runs in a session of its own, statement by statement through the extended
protocol (Parse, Describe, Bind, Execute) with binary results; everything that the protocol shows is printed: parameter
types, column names, types, sizes, origins (table and column), values as they came, command tags, transaction state,
every field of errors and notices, notifications. Where a case has literals that can be parameters, it runs a second
time with them as parameters, first as text, in a session of its own. COPY data that follows its statement in the script
is sent. What psql alone understands (lines that begin with a backslash) is left out.

A statement that ran into --timeout-ms makes the case count as timed out. --simple sends each script as one simple query
string instead. --keep N uses a session for N cases, with ROLLBACK and DISCARD ALL between them: for many generated ones.
"""

import os
import sys

# This folder must not come first when the driver is imported.
sys.path = [folder for folder in sys.path if os.path.abspath(folder or ".") != os.path.dirname(os.path.abspath(__file__))]

import argparse
import json
import re

from psycopg import pq

FIELDS = sorted(pq.DiagnosticField, key=int)
# Where in PostgreSQL's own source an error was raised: kept, since it tells causes apart.
STATUS = pq.ExecStatus


def lexed(sql):
    """Tokens of a script as (kind, text): string, dollar, quoted, comment, space, word, number, other."""
    at, end = 0, len(sql)
    while at < end:
        rest = sql[at:]
        match = re.match(r"\s+", rest)
        kind = "space"
        if not match:
            match, kind = re.match(r"--[^\n]*", rest), "comment"
        if not match and rest.startswith("/*"):
            depth, to = 1, 2
            while depth and to < len(rest):
                if rest.startswith("/*", to):
                    depth, to = depth + 1, to + 2
                elif rest.startswith("*/", to):
                    depth, to = depth - 1, to + 2
                else:
                    to += 1
            yield "comment", rest[:to]
            at += to
            continue
        if not match:
            match, kind = re.match(r"[eE]'(?:[^'\\]|\\.|'')*'?", rest, re.S), "escaped"
        if not match:
            match, kind = re.match(r"(?:[bBxXnN]|[uU]&)'(?:[^']|'')*'?", rest), "typed"
        if not match:
            match, kind = re.match(r"'(?:[^']|'')*'?", rest), "string"
        if not match:
            match, kind = re.match(r'(?:[uU]&)?"(?:[^"]|"")*"?', rest), "quoted"
        if not match:
            tag = re.match(r"\$(?:[A-Za-z_\x80-\uffff][\w]*)?\$", rest)
            if tag:
                close = rest.find(tag.group(), tag.end())
                to = len(rest) if close < 0 else close + len(tag.group())
                yield "dollar", rest[:to]
                at += to
                continue
        if not match:
            match, kind = re.match(r"[A-Za-z_\x80-\uffff][\w$]*", rest), "word"
        if not match:
            match, kind = re.match(r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\$\d+", rest), "number"
        if not match:
            match, kind = re.match(r".", rest, re.S), "other"
        yield kind, match.group()
        at += match.end()


def statements(script):
    """The statements of a script as lists of tokens, each with the COPY data lines that follow it."""
    lines = [line for line in script.split("\n") if not line.startswith("\\") or line == "\\."]
    script = "\n".join(lines)
    found, current, depth, atomic = [], [], 0, 0
    tokens, at = list(lexed(script)), 0
    offset = 0
    while at < len(tokens):
        kind, text = tokens[at]
        at += 1
        offset += len(text)
        if kind == "other" and text in "()":
            depth += 1 if text == "(" else -1
        word = text.upper() if kind == "word" else ""
        if word == "ATOMIC":
            atomic += 1
        elif atomic and word == "CASE":
            atomic += 1
        elif atomic and word == "END":
            atomic -= 1
        if kind == "other" and text == ";" and depth <= 0 and not atomic:
            spoken = [(k, t) for k, t in current if k not in ("space", "comment")]
            if spoken:
                data = None
                if spoken[0][1].upper() == "COPY" and any(t.upper() == "STDIN" for _, t in spoken):
                    # What follows on the next lines up to `\.` is data.
                    rest = script[offset:].lstrip(" ")
                    body = rest[1:] if rest.startswith("\n") else rest
                    lines, ended = [], False
                    for line in body.split("\n"):
                        if line == "\\.":
                            ended = True
                            break
                        lines.append(line)
                    data = "".join(line + "\n" for line in lines) if ended else ""
                    if ended:
                        skip = len(script) - len(body) + len(data) + len("\\.\n")
                        script = script[skip:]
                        tokens, at, offset = list(lexed(script)), 0, 0
                found.append((current, data))
            current, depth = [], 0
            continue
        current.append((kind, text))
    if any(kind not in ("space", "comment") for kind, _ in current):
        found.append((current, None))
    return found


OPERATORS = set("=<>~|,(+-*/")
NOT_VALUES = {"INTERVAL", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "AS", "ESCAPE", "FORMAT", "ZONE", "IN", "IS", "SET", "TO", "BY"}


def with_parameters(tokens):
    """The statement with string literals and compared numbers as $n, and their values; no values where there are none."""
    first = next((text.upper() for kind, text in tokens if kind == "word"), "")
    if first not in ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "VALUES", "MERGE"):
        return None, []
    out, values, before, before_that = [], [], "", ""
    for index, (kind, text) in enumerate(tokens):
        after = next((t for k, t in tokens[index + 1:] if k not in ("space", "comment")), "")
        takes = before and (before[-1] in OPERATORS or before.upper() in ("LIKE", "ILIKE", "AND", "BETWEEN", "THEN", "ELSE", "WHEN"))
        if kind == "string" and takes and before.upper() not in NOT_VALUES and after != "." and text.endswith("'") and len(text) > 1:
            values.append(text[1:-1].replace("''", "'"))
            out.append(f"${len(values)}")
        elif kind == "number" and text.isdigit() and before in ("=", "<", ">", "<=", ">=") and after != ".":
            values.append(text)
            out.append(f"${len(values)}")
        else:
            out.append(text)
        if kind not in ("space", "comment"):
            before_that, before = before, text
    return "".join(out), values


def printable(raw):
    return "\\N" if raw is None else raw.decode("utf-8", "backslashreplace").encode("unicode_escape").decode("ascii")


def diagnosed(result, out):
    for field in FIELDS:
        value = result.error_field(field)
        if value is not None:
            out.append(f"  {field.name}: {printable(value)}")


# Types that have no binary form: aclitem and its array.
TEXT_ONLY = {1033, 1034}


class Session:
    newest = 0

    def __init__(self, url, timeout_ms):
        self.out, self.err, self.timed_out = [], [], False
        self.connection = pq.PGconn.connect(url.encode())
        if self.connection.status != pq.ConnStatus.OK:
            self.err.append("FATAL: " + printable(self.connection.error_message))
            return
        self.connection.notice_handler = self.notice
        if timeout_ms:
            self.connection.exec_(b"SET statement_timeout = %d" % timeout_ms)

    def learn_newest(self):
        """The newest table's and type's id. What is made later is made by a case, and its id is chance."""
        result = self.connection.exec_(b"SELECT greatest((SELECT max(oid) FROM pg_class), (SELECT max(oid) FROM pg_type))")
        if result.status == STATUS.TUPLES_OK:
            Session.newest = int(result.get_value(0, 0))

    def known(self, oid):
        return str(oid) if oid <= Session.newest else "new"

    def is_open(self):
        return self.connection.status == pq.ConnStatus.OK

    def notice(self, result):
        severity = printable(result.error_field(pq.DiagnosticField.SEVERITY))
        self.err.append(f"notice {severity}")
        diagnosed(result, self.err)

    def failed(self, result):
        state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        self.timed_out |= state == "57014"
        severity = printable(result.error_field(pq.DiagnosticField.SEVERITY) or b"ERROR")
        primary = printable(result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message)
        self.err.append(f"{severity}:  {state}: {primary}")
        diagnosed(result, self.err)

    def shown(self, result):
        count = result.nfields
        for at in range(count):
            self.out.append(
                f"column {printable(result.fname(at))} type {self.known(result.ftype(at))} mod {result.fmod(at)} size {result.fsize(at)}"
                f" format {result.fformat(at)} from {self.known(result.ftable(at))}.{result.ftablecol(at)}"
            )
        for row in range(result.ntuples):
            self.out.append("|".join(printable(result.get_value(row, at)) for at in range(count)))

    def take(self, result, data):
        status = result.status
        if status in (STATUS.FATAL_ERROR, STATUS.BAD_RESPONSE, STATUS.NONFATAL_ERROR):
            self.failed(result)
        elif status == STATUS.COPY_OUT:
            while True:
                size, chunk = self.connection.get_copy_data(0)
                if size < 0:
                    break
                self.out.append("copy " + printable(bytes(chunk)))
            self.take(self.connection.get_result(), None)
        elif status == STATUS.COPY_IN:
            if data:
                self.connection.put_copy_data(data.encode())
            self.connection.put_copy_end()
            self.take(self.connection.get_result(), None)
        else:
            self.shown(result)
            self.out.append(printable(result.command_status or b""))

    def prepared(self, text, values, data):
        connection = self.connection
        result = connection.prepare(b"", text.encode())
        if result.status != STATUS.COMMAND_OK:
            return self.failed(result)
        result = connection.describe_prepared(b"")
        if result.status == STATUS.COMMAND_OK:
            types = " ".join(self.known(result.param_type(at)) for at in range(result.nparams))
            binary = not any(result.ftype(at) in TEXT_ONLY for at in range(result.nfields))
            self.out.append(f"parameters [{types}]")
            if result.nparams > len(values):
                values = values + [None] * (result.nparams - len(values))
        else:
            return self.failed(result)
        given = [None if value is None else value.encode() for value in values]
        self.take(connection.exec_prepared(b"", given or None, result_format=int(binary)), data)

    def after(self):
        self.connection.consume_input()
        while self.is_open():
            told = self.connection.notifies()
            if told is None:
                break
            self.out.append(f"notified {printable(told.relname)} {printable(told.extra)}")
        self.out.append("-- " + pq.TransactionStatus(self.connection.transaction_status).name)

    def run(self, script, parametrised):
        used = False
        for tokens, data in statements(script):
            if not self.is_open():
                break
            text, values = "".join(text for _, text in tokens).strip(), []
            if parametrised:
                other, found = with_parameters(tokens)
                if found:
                    text, values, used = other.strip(), found, True
            self.prepared(text, values, data)
            self.after()
        return used

    def run_simple(self, script):
        lines = [line for line in script.split("\n") if not line.startswith("\\")]
        self.connection.send_query("\n".join(lines).encode())
        while self.is_open() and (result := self.connection.get_result()) is not None:
            self.take(result, None)
        self.after()


def has_values(script):
    return any(with_parameters(tokens)[1] for tokens, _ in statements(script))


class Kept:
    """Gives sessions: a new one each time, or one for some cases."""

    def __init__(self, url, timeout_ms, keep):
        self.url, self.timeout_ms, self.keep = url, timeout_ms, keep
        self.session, self.used = None, 0

    def give(self):
        if self.session and self.session.is_open() and self.used < self.keep and self.cleaned():
            self.session.out, self.session.err, self.session.timed_out = [], [], False
            self.used += 1
            return self.session
        self.end()
        self.session, self.used = Session(self.url, self.timeout_ms), 1
        return self.session

    def cleaned(self):
        connection = self.session.connection
        if connection.transaction_status != pq.TransactionStatus.IDLE:
            connection.exec_(b"ROLLBACK")
        done = connection.exec_(b"DISCARD ALL").status == STATUS.COMMAND_OK
        if done and self.timeout_ms:
            done = connection.exec_(b"SET statement_timeout = %d" % self.timeout_ms).status == STATUS.COMMAND_OK
        return done and self.session.is_open()

    def end(self):
        if self.session:
            self.session.connection.finish()
            self.session = None


def answer(kept, script, timeout_ms, simple):
    out, err = [], []
    ways = ["simple"] if simple else ["prepared"] + (["parameters"] if has_values(script) else [])
    for way in ways:
        session = kept.give()
        out.append(f"== {way}")
        if session.is_open():
            if simple:
                session.run_simple(script)
            else:
                session.run(script, way == "parameters")
        if kept.keep <= 1:
            kept.end()
        out += session.out
        # Not every literal can be a parameter: PostgreSQL's own refusals of that are no verdict on the case.
        err += [f"({way}) {line}" for line in session.err] if way == "parameters" else session.err
        if session.timed_out and timeout_ms:
            return None
    return {"out": "\n".join(out), "err": "\n".join(err), "rc": 0}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("--timeout-ms", type=int, default=0)
    arguments.add_argument("--simple", action="store_true")
    arguments.add_argument("--keep", type=int, default=1)
    arguments = arguments.parse_args()
    first = Session(arguments.url, 0)
    if first.is_open():
        first.learn_newest()
    first.connection.finish()
    kept = Kept(arguments.url, arguments.timeout_ms, arguments.keep)
    for line in sys.stdin:
        asked = json.loads(line)
        told = answer(kept, asked["sql"], arguments.timeout_ms, arguments.simple)
        told = {"timeout": True} if told is None else told
        print(json.dumps({"id": asked["id"], **told}), flush=True)


if __name__ == "__main__":
    main()
