"""What the listener makes of openings that no driver of ours would send. Prints a JSON object: case -> what happened."""

import json
import socket
import ssl
import struct
import sys
import time
from urllib.parse import urlsplit, unquote

from wire import Scram

url = urlsplit(sys.argv[1])
HOST, PORT = url.hostname, url.port
USER, PASSWORD, DATABASE = url.username, unquote(url.password), url.path[1:]
SSL_REQUEST, GSS_REQUEST, CANCEL = 80877103, 80877104, 80877102


def plain():
    connection = socket.create_connection((HOST, PORT), timeout=10)
    connection.settimeout(10)
    return connection


def ask(connection, code):
    connection.sendall(struct.pack("!ii", 8, code))
    return connection.recv(1).decode() or "closed"


def context(alpn=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if alpn:
        made.set_alpn_protocols([alpn])
    return made


def tls():
    connection = plain()
    assert ask(connection, SSL_REQUEST) == "S"
    return context().wrap_socket(connection)


def startup(connection, version=(3, 0), **options):
    pairs = {"user": USER, "database": DATABASE, **options}
    body = struct.pack("!hh", *version)
    for name, value in pairs.items():
        body += name.encode() + b"\0" + value.encode() + b"\0"
    connection.sendall(struct.pack("!i", len(body) + 5) + body + b"\0")


def exactly(connection, count):
    out = b""
    while len(out) < count:
        piece = connection.recv(count - len(out))
        if not piece:
            raise EOFError
        out += piece
    return out


def message(connection):
    kind = exactly(connection, 1).decode()
    length = struct.unpack("!i", exactly(connection, 4))[0]
    return kind, exactly(connection, length - 4)


def send(connection, kind, body=b""):
    connection.sendall(kind.encode() + struct.pack("!i", len(body) + 4) + body)


def said(body):
    fields = {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}
    return f"{fields.get('S')} {fields.get('C')}"


def outcome(connection):
    """The next thing that the other side says, in a few words."""
    try:
        kind, body = message(connection)
    except (EOFError, ConnectionError, ssl.SSLError, TimeoutError) as error:
        return "closed" if not isinstance(error, TimeoutError) else "silent"
    return said(body) if kind == "E" else kind


def begin(scram, connection):
    """Send the first message; what the server says to it."""
    kind, body = message(connection)
    assert kind == "R" and body[:4] == struct.pack("!i", 10), (kind, body)
    send(connection, "p", scram.initial())
    kind, body = message(connection)
    assert kind == "R", (kind, body)
    return body[4:].decode()


def login(version=(3, 0), **options):
    """A session that is ready: the connection, its key, and what was negotiated."""
    connection, scram, key, negotiated = tls(), Scram(PASSWORD), None, None
    startup(connection, version, **options)
    connection_peek = connection
    # NegotiateProtocolVersion comes before authentication.
    if version != (3, 0) or options:
        first = exactly(connection, 1)
        length = struct.unpack("!i", exactly(connection, 4))[0]
        body = exactly(connection, length - 4)
        if first == b"E":
            raise RuntimeError(said(body))
        if first == b"v":
            negotiated = struct.unpack("!ii", body[:8])
            server_first = begin(scram, connection)
        else:
            assert first == b"R", first
            send(connection_peek, "p", scram.initial())
            kind, body = message(connection)
            server_first = body[4:].decode()
    else:
        server_first = begin(scram, connection)
    send(connection, "p", scram.final(server_first))
    while True:
        kind, body = message(connection)
        if kind == "K":
            key = (struct.unpack("!i", body[:4])[0], body[4:])
        if kind == "E":
            raise RuntimeError(said(body))
        if kind == "Z":
            return connection, key, negotiated


def rows(connection, sql):
    send(connection, "Q", sql.encode() + b"\0")
    kinds = ""
    while True:
        kind, body = message(connection)
        kinds += said(body) if kind == "E" else kind
        if kind == "Z":
            return kinds


cases = {}


def case(function):
    try:
        cases[function.__name__] = function()
    except Exception as error:  # a case that breaks is a result too
        cases[function.__name__] = f"{type(error).__name__}: {error}"


@case
def gss_then_tls():
    connection = plain()
    first = ask(connection, GSS_REQUEST)
    second = ask(connection, SSL_REQUEST)
    connection = context().wrap_socket(connection)
    startup(connection)
    kind, body = message(connection)
    return [first, second, kind, body[4:].decode().strip("\0").split("\0")]


@case
def tls_asked_for_twice():
    connection = plain()
    ask(connection, SSL_REQUEST)
    connection = context().wrap_socket(connection)
    connection.sendall(struct.pack("!ii", 8, SSL_REQUEST))
    return outcome(connection)


@case
def plain_text_where_tls_is_wanted():
    connection = plain()
    startup(connection)
    return outcome(connection)


@case
def clear_bytes_behind_the_request():
    # What is sent before the handshake must never be read as if it had come through it.
    connection = plain()
    connection.sendall(struct.pack("!ii", 8, SSL_REQUEST) + struct.pack("!ii", 8, GSS_REQUEST))
    first = connection.recv(1).decode()
    if first == "S":
        try:
            context().wrap_socket(connection)
            return "went on"
        except (ssl.SSLError, ConnectionError, OSError):
            return "closed"
    return first or "closed"


@case
def direct_tls_with_alpn():
    connection = context("postgresql").wrap_socket(plain())
    startup(connection)
    return [connection.selected_alpn_protocol(), outcome(connection)]


@case
def direct_tls_without_alpn():
    try:
        connection = context().wrap_socket(plain())
        startup(connection)
        return outcome(connection)
    except (ssl.SSLError, ConnectionError, OSError):
        return "closed"


@case
def direct_tls_for_another_protocol():
    try:
        connection = context("http/1.1").wrap_socket(plain())
        startup(connection)
        return outcome(connection)
    except (ssl.SSLError, ConnectionError, OSError):
        return "closed"


@case
def protocol_3_2_has_long_keys():
    connection, key, negotiated = login((3, 2))
    return [len(key[1]), negotiated]


@case
def protocol_3_0_has_short_keys():
    return len(login()[1][1])


@case
def a_newer_minor_version_is_negotiated():
    connection, key, negotiated = login((3, 9))
    return [list(negotiated), rows(connection, "select 1")]


@case
def an_unknown_protocol_option_is_negotiated():
    return list(login((3, 0), **{"_pq_.nothing": "1"})[2])


@case
def protocol_2_is_refused():
    connection = tls()
    startup(connection, (2, 0))
    return outcome(connection)


def sized(length):
    connection = tls()
    connection.sendall(struct.pack("!i", length) + b"\0\3\0\0")
    return outcome(connection)


@case
def lengths_that_cannot_be():
    return [sized(length) for length in (0, 3, 7, 1 << 20, -1)]


@case
def a_truncated_startup():
    connection = plain()
    connection.sendall(struct.pack("!ihh", 100, 3, 0) + b"user")
    connection.shutdown(socket.SHUT_WR)
    return outcome(connection)


@case
def a_role_in_the_options():
    return login(options="-c role=postgres")[1]


@case
def replication():
    return login(replication="database")[1]


@case
def a_replayed_exchange():
    connection, scram = tls(), Scram(PASSWORD)
    startup(connection)
    final = scram.final(begin(scram, connection))
    send(connection, "p", final)
    assert message(connection)[1][:4] == struct.pack("!i", 12)
    again = tls()
    startup(again)
    begin(scram, again)
    send(again, "p", final)
    return outcome(again)


def cancelled(version, spoil):
    connection, (pid, secret), _ = login(version)
    send(connection, "Q", b"select pg_sleep(4)\0")
    # Until the server runs it: a cancel that comes before is nobody's.
    time.sleep(1)
    if spoil:
        secret = secret[:-1] + bytes([secret[-1] ^ 1])
    asking = tls()
    asking.sendall(struct.pack("!iii", 12 + len(secret), CANCEL, pid) + secret)
    kind = ""
    while kind not in ("E", "C"):
        kind, body = message(connection)
    return said(body) if kind == "E" else "ran to its end"


@case
def cancel_with_a_long_key():
    return cancelled((3, 2), False)


@case
def cancel_with_a_short_key():
    return cancelled((3, 0), False)


@case
def cancel_with_a_wrong_key():
    return cancelled((3, 2), True)


def parse(name, sql):
    return b"P" + sized_body(name.encode() + b"\0" + sql.encode() + b"\0\0\0")


def bind(portal, statement):
    return b"B" + sized_body(portal.encode() + b"\0" + statement.encode() + b"\0" + b"\0" * 6)


def execute(portal="", rows=0):
    return b"E" + sized_body(portal.encode() + b"\0" + struct.pack("!i", rows))


def sized_body(body):
    return struct.pack("!i", len(body) + 4) + body


SYNC = b"S\0\0\0\4"


def query(sql):
    return b"Q" + sized_body(sql.encode() + b"\0")


def until_ready(connection, times):
    out = []
    while times:
        kind, body = message(connection)
        out.append(said(body) if kind == "E" else kind)
        times -= kind == "Z"
    return " ".join(out)


@case
def fetch_from_a_portal_of_the_extended_protocol():
    connection, _, _ = login()
    connection.sendall(query("begin"))
    until_ready(connection, 1)
    connection.sendall(parse("", "select 1 as secret") + bind("p1", "") + SYNC)
    until_ready(connection, 1)
    connection.sendall(query("fetch all from p1"))
    return until_ready(connection, 1)


@case
def execute_of_a_name_whose_definition_is_not_answered():
    connection, _, _ = login()
    connection.sendall(parse("s", "select 'old'") + SYNC)
    until_ready(connection, 1)
    close = b"C" + sized_body(b"Ss\0")
    failing = parse("", "select 1/0") + bind("", "") + execute()
    connection.sendall(failing + close + parse("s", "select 'new'") + SYNC + query("execute s"))
    return until_ready(connection, 2)


@case
def a_suspended_call_leaves_the_session_usable():
    connection, _, _ = login()
    connection.sendall(query("create or replace procedure pg_temp.two(out a integer) language sql as 'select 2'"))
    until_ready(connection, 1)
    connection.sendall(parse("", "call pg_temp.two(null)") + bind("", "") + execute(rows=1) + SYNC)
    first = until_ready(connection, 1)
    return [first, rows(connection, "select 1")]


@case
def a_query_between_an_error_and_its_sync():
    connection, _, _ = login()
    connection.sendall(parse("kept", "select 5") + SYNC)
    until_ready(connection, 1)
    failing = parse("", "select 1/0") + bind("", "") + execute()
    connection.sendall(failing + query("select 'skipped'") + SYNC)
    first = until_ready(connection, 1)
    connection.sendall(parse("next", "select 6") + SYNC)
    until_ready(connection, 1)
    connection.sendall(bind("", "next") + execute() + SYNC)
    return [first, until_ready(connection, 1)]


@case
def a_function_call_message():
    connection, _, _ = login()
    send(connection, "F", struct.pack("!ihhh", 1, 0, 0, 0))
    first = ""
    while True:
        kind, body = message(connection)
        first += said(body) if kind == "E" else ""
        if kind == "Z":
            return [first, rows(connection, "select 1")]


LONG = "x" * 1_000_000


def hoarded(connection, keep):
    """How many times that is kept, and what is said to the next one."""
    for n in range(60):
        connection.sendall(keep(n))
        told = until_ready(connection, 1)
        if "ERROR" in told:
            return [n, told]
    return "all of them"


@case
def a_hoard_of_prepared_statements():
    connection, _, _ = login()
    keep = lambda name: b"P" + sized_body(f"{name}\0select $1 /*{name}{LONG}*/\0".encode() + struct.pack("!hi", 1, 25))
    first = hoarded(connection, lambda n: keep(f"s{n}") + SYNC)
    connection.sendall(query("deallocate all"))
    until_ready(connection, 1)
    connection.sendall(keep("s") + SYNC)
    return [first, until_ready(connection, 1)]


@case
def a_hoard_of_portals():
    connection, _, _ = login()
    connection.sendall(query("begin"))
    until_ready(connection, 1)
    keep = lambda n: parse("", f"select {n} /*{LONG}*/") + bind(f"p{n}", "") + SYNC
    first = hoarded(connection, keep)
    connection.sendall(query("rollback"))
    until_ready(connection, 1)
    connection.sendall(keep(1))
    return [first, until_ready(connection, 1)]


@case
def a_hoard_of_cursors():
    connection, _, _ = login()
    connection.sendall(query("begin"))
    until_ready(connection, 1)
    return hoarded(connection, lambda n: query(f"declare c{n} cursor for select {n} /*{LONG}*/"))


@case
def a_hoard_of_temporary_tables():
    connection, _, _ = login()
    return hoarded(connection, lambda n: query(f"create temporary table t{n} as select {n} as n /*{LONG}*/"))


@case
def a_pipeline_of_long_statements():
    # Each takes the place of the one before: what they come to together is not kept, so the pipeline goes on.
    connection, _, _ = login()
    for n in range(60):
        connection.sendall(parse("", f"select {n} /*{LONG}*/"))
    connection.sendall(bind("", "") + execute() + SYNC)
    return until_ready(connection, 1).count("1")


@case
def names_that_stand_for_too_much():
    connection, _, _ = login()
    connection.sendall(parse("s", f"select 1 /*{LONG}*/") + SYNC)
    until_ready(connection, 1)
    return [rows(connection, "execute s;" * 2), rows(connection, "execute s;" * 3)]


@case
def many_values_at_once():
    connection, _, _ = login()
    many, value = 200, b"v" * 60_000
    connection.sendall(parse("", f"select {'+'.join(f'length(${n + 1}::text)' for n in range(many))}"))
    values = b"".join(struct.pack("!i", len(value)) + value for _ in range(many))
    connection.sendall(b"B" + sized_body(b"\0\0" + struct.pack("!hh", 0, many) + values + b"\0\0"))
    connection.sendall(execute() + SYNC)
    out = ""
    while "Z" not in out:
        kind, body = message(connection)
        out += body[6:].decode() if kind == "D" else said(body) if kind == "E" else kind
    return out


@case
def an_unknown_message():
    connection, _, _ = login()
    send(connection, "?", b"what")
    return outcome(connection)


@case
def a_length_below_itself():
    connection, _, _ = login()
    connection.sendall(b"Q" + struct.pack("!i", 2))
    return outcome(connection)


@case
def a_truncated_message():
    connection, _, _ = login()
    connection.sendall(b"Q" + struct.pack("!i", 100) + b"select")
    # Under TLS, which would forget its keys otherwise.
    socket.socket.shutdown(connection, socket.SHUT_WR)
    return outcome(connection)


@case
def a_password_after_login():
    connection, _, _ = login()
    send(connection, "p", b"again\0")
    return outcome(connection)


@case
def others_notice_nothing():
    return rows(login()[0], "select 1")


print(json.dumps(cases, indent=1))
