"""An MCP server over Streamable HTTP that does what its tools are called, also what no server may do.

    hostile_http.py PORT LOG [DESCRIPTION]
"""

import json
import queue
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, LOG, *DESCRIPTION = sys.argv[1:]
TOOLS = [
    "echo", "pretty", "tells", "asks", "expires", "slow", "other_id", "text_id", "result_and_error", "batch", "nested", "not_utf8", "not_json",
    "too_long", "too_long_event", "too_long_line", "endless", "endless_comments", "two_answers", "redirects", "see_other",
    "accepted", "no_kind", "html", "breaks_off", "breaks_off_stream", "ends_stream", "hangs_up", "silent", "forgets", "own_error",
    "status_400", "status_401", "status_403", "status_429", "status_500", "status_503",
]
answers = queue.Queue()
gone = set()


def description():
    return open(DESCRIPTION[0], encoding="utf-8").read() if DESCRIPTION else "does as it is called"


def message(**members):
    return json.dumps({"jsonrpc": "2.0", **members})


def result(text):
    return {"content": [{"type": "text", "text": text}], "later": {"x": [1, 2]}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def whole(self, status, body=b"", kind="application/json", **headers):
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        if kind:
            self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def stream(self, *pieces):
        """An event stream; it ends with the connection."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("connection", "close")
        self.close_connection = True
        self.end_headers()
        for piece in pieces:
            self.event(piece)

    def event(self, data):
        self.wfile.write(f"event: message\r\ndata: {data}\r\n\r\n".encode())
        self.wfile.flush()

    def do_DELETE(self):
        self.note()
        self.whole(405)

    def do_GET(self):
        self.note()
        self.whole(405)

    def note(self, body=None):
        headers = {name.lower(): value for name, value in self.headers.items()}
        with open(LOG, "a", encoding="utf-8") as log:
            print(json.dumps({"method": self.command, "path": self.path, "headers": headers, "body": body}), file=log)

    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.note(said)
        if "method" not in said:
            answers.put(said)
            return self.whole(202, kind=None)
        number, method = said.get("id"), said["method"]
        if self.headers.get("mcp-session-id") in gone:
            return self.whole(404)
        if method == "initialize":
            fine = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "hostile", "version": "1"}}
            return self.whole(200, message(id=number, result=fine), mcp_session_id=f"session-{time.monotonic_ns()}")
        if method == "tools/list":
            tools = [{"name": name, "description": description() if name == "echo" else name, "inputSchema": {"type": "object"}} for name in TOOLS]
            return self.whole(200, message(id=number, result={"tools": tools}))
        if number is None:
            return self.whole(202, kind=None)
        return self.call(number, said["params"]["name"], said["params"].get("arguments", {}))

    def call(self, number, name, arguments):
        fine = message(id=number, result=result(json.dumps(arguments)))
        if name == "pretty":
            self.whole(200, json.dumps(json.loads(fine), indent=2), kind="Application/JSON; charset=utf-8")
        elif name == "tells":
            self.stream(message(method="notifications/message", params={"level": "info", "data": "x"}), fine)
        elif name == "asks":
            self.stream(message(id="mine", method="sampling/createMessage", params={"messages": [], "maxTokens": 1}))
            self.event(message(id=number, result=result(json.dumps(answers.get(timeout=20)))))
        elif name == "slow":
            time.sleep(5)
            self.whole(200, fine)
        elif name == "expires":
            gone.add(self.headers["mcp-session-id"])
            self.whole(200, fine)
        elif name == "other_id":
            self.whole(200, message(id=number + 1, result=result("x")))
        elif name == "text_id":
            self.whole(200, message(id=str(number), result=result("x")))
        elif name == "result_and_error":
            self.whole(200, message(id=number, result=result("x"), error={"code": 1, "message": "both"}))
        elif name == "batch":
            self.whole(200, f"[{fine}]")
        elif name == "nested":
            self.whole(200, '{"jsonrpc":"2.0","id":%d,"result":{"x":%s' % (number, "[" * 3_000_000))
        elif name == "not_utf8":
            self.whole(200, b'{"jsonrpc":"2.0","id":%d,"result":{"x":"\xff"}}' % number)
        elif name == "not_json":
            self.whole(200, "starting up, please wait")
        elif name == "too_long":
            self.whole(200, message(id=number, result=result("x" * 5_000_000)))
        elif name == "too_long_event":
            self.stream(message(id=number, result=result("x" * 5_000_000)))
        elif name == "too_long_line":
            self.stream()
            while True:
                self.wfile.write(b"x" * 65536)
        elif name == "endless":
            self.stream()
            while True:
                self.event(message(method="notifications/message", params={"level": "info", "data": "again"}))
        elif name == "endless_comments":
            self.stream()
            while True:
                self.wfile.write(b": nothing\n\n" * 1000)
        elif name == "two_answers":
            self.stream(fine, fine)
        elif name in ("redirects", "see_other"):
            self.whole(307 if name == "redirects" else 303, location="/stolen")
        elif name == "accepted":
            self.whole(202, kind=None)
        elif name == "no_kind":
            self.whole(200, fine, kind=None)
        elif name == "html":
            self.whole(200, "<p>please log in", kind="text/html")
        elif name == "breaks_off":
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "1000")
            self.close_connection = True
            self.end_headers()
            self.wfile.write(fine[:20].encode())
        elif name == "breaks_off_stream":
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.close_connection = True
            self.end_headers()
            self.wfile.write(b"400\r\ndata: " + fine[:20].encode())
        elif name == "ends_stream":
            self.stream(message(method="notifications/message", params={}))
        elif name == "hangs_up":
            self.close_connection = True
        elif name == "silent":
            time.sleep(600)
        elif name == "forgets":
            self.whole(404, message(id="server-error", error={"code": -32600, "message": "Session not found"}))
        elif name == "own_error":
            self.whole(400, message(id=number, error={"code": -32602, "message": "no such note"}))
        elif name.startswith("status_"):
            self.whole(int(name.removeprefix("status_")), "the bed of 219-09-9999 is taken", kind="text/plain")
        else:
            self.whole(200, fine)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


Server(("127.0.0.1", int(PORT)), Handler).serve_forever()
