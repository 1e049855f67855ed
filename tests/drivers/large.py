"""A bytea of N bytes from the database and one to it, in binary form, held nowhere here: prints what came and what went."""

import socket
import struct
import sys
from urllib.parse import unquote, urlsplit

from wire import Scram

url, SIZE = urlsplit(sys.argv[1]), int(sys.argv[2])
USER, PASSWORD, DATABASE = url.username, unquote(url.password), url.path[1:]
PIECE = bytes(range(256)) * 1024


class Client:
    def __init__(self):
        self.socket = socket.create_connection((url.hostname, url.port))
        self.input = self.socket.makefile("rb", buffering=1 << 20)

    def send(self, kind, body=b""):
        self.socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def head(self):
        """Type and length of the next message; an error ends everything."""
        kind, length = struct.unpack("!ci", self.input.read(5))
        if kind == b"E":
            sys.exit(self.input.read(length - 4).replace(b"\0", b" ").decode())
        return kind, length - 4

    def until(self, wanted):
        while True:
            kind, length = self.head()
            body = self.input.read(length)
            if kind == wanted:
                return body

    def login(self):
        pairs = f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
        self.socket.sendall(struct.pack("!ihh", len(pairs) + 8, 3, 0) + pairs)
        self.until(b"R")
        scram = Scram(PASSWORD)
        self.send(b"p", scram.initial())
        self.send(b"p", scram.final(self.until(b"R")[4:].decode()))
        self.until(b"Z")

    def parse(self, statement):
        self.send(b"P", b"\0" + statement.encode() + b"\0" + struct.pack("!h", 0))

    def run(self):
        self.send(b"E", b"\0" + struct.pack("!i", 0))
        self.send(b"S")

    def receive(self):
        """The size of the one value of the one row that comes, read in pieces."""
        while self.head_of_row() is None:
            pass
        count, size = struct.unpack("!hi", self.input.read(6))
        assert count == 1, count
        left = size
        while left > 0:
            left -= len(self.input.read(min(left, 1 << 20)))
        self.until(b"Z")
        return size

    def head_of_row(self):
        kind, length = self.head()
        if kind == b"D":
            return length
        self.input.read(length)
        return None


def received():
    client = Client()
    client.login()
    # Made by doubling: parsing so long a literal would cost the server more than sending it.
    client.parse(f"select convert_to(repeat('x', {SIZE}), 'SQL_ASCII')")
    client.send(b"B", b"\0\0" + struct.pack("!hhhh", 0, 0, 1, 1))
    client.run()
    return client.receive()


def sent():
    client = Client()
    client.login()
    client.parse("select length($1::bytea)::text")
    before, after = b"\0\0" + struct.pack("!hhhi", 1, 1, 1, SIZE), struct.pack("!hh", 1, 0)
    client.socket.sendall(b"B" + struct.pack("!i", 4 + len(before) + SIZE + len(after)) + before)
    left = SIZE
    while left > 0:
        piece = PIECE[: min(left, len(PIECE))]
        client.socket.sendall(piece)
        left -= len(piece)
    client.socket.sendall(after)
    client.run()
    while client.head_of_row() is None:
        pass
    count, size = struct.unpack("!hi", client.input.read(6))
    return client.input.read(size).decode()


print("received", received())
print("sent", sent())
