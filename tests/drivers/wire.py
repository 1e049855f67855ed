"""What the programs here that speak PostgreSQL's protocol by themselves have in common: frames, and the login."""

import base64
import hashlib
import hmac
import os
import socket
import struct
import urllib.parse


def text(value):
    return value.encode() + b"\0"


def frame(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


class Scram:
    """SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677), as the client."""

    def __init__(self, password):
        self.password = password
        self.first = f"n=,r={base64.b64encode(os.urandom(18)).decode()}"

    def initial(self):
        """The body of the first message."""
        data = f"n,,{self.first}".encode()
        return text("SCRAM-SHA-256") + struct.pack("!I", len(data)) + data

    def final(self, server):
        """The body of the second, for what the server said."""
        said = dict(part.split("=", 1) for part in server.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(said["s"]), int(said["i"]))
        key, without = hmac.digest(salted, b"Client Key", "sha256"), f"c=biws,r={said['r']}"
        signed = hmac.digest(hashlib.sha256(key).digest(), f"{self.first},{server},{without}".encode(), "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signed))).decode()
        return f"{without},p={proof}".encode()


class Line:
    """A connection that is logged in."""

    def __init__(self, url, timeout=None):
        url = urllib.parse.urlsplit(url.strip())
        self.socket = socket.create_connection((url.hostname, url.port), timeout=timeout)
        self.arrived = b""
        self.log_in(urllib.parse.unquote(url.username), urllib.parse.unquote(url.password), url.path[1:])

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """Kind and body of the next message."""
        while len(self.arrived) < 5 or len(self.arrived) < 1 + struct.unpack("!I", self.arrived[1:5])[0]:
            more = self.socket.recv(65536)
            if not more:
                raise SystemExit("the server went away")
            self.arrived += more
        length = struct.unpack("!I", self.arrived[1:5])[0]
        kind, body = self.arrived[:1], self.arrived[5 : 1 + length]
        self.arrived = self.arrived[1 + length :]
        return kind, body

    def log_in(self, user, password, database):
        body = struct.pack("!I", 196608) + text("user") + text(user) + text("database") + text(database) + b"\0"
        self.send(struct.pack("!I", len(body) + 4) + body)
        scram = Scram(password)
        while True:
            kind, body = self.receive()
            if kind == b"E":
                raise SystemExit(body)
            if kind == b"Z":
                return
            if kind != b"R":
                continue
            step = struct.unpack("!I", body[:4])[0]
            if step == 10:
                self.send(frame(b"p", scram.initial()))
            elif step == 11:
                self.send(frame(b"p", scram.final(body[4:].decode())))
