"""An MCP server over standard input and output, for figures: it answers as soon as it can, asks the database, or waits.

    server.py FOLDER      where `wire.py` is
"""

import json
import os
import sys
import time

TOOLS = ["echo", "ask", "waits"]
line = None


def ask(sql):
    global line, wire
    if line is None:
        sys.path.append(sys.argv[1])
        import wire

        line = wire.Line(os.environ["DSN"], timeout=60)
    line.send(wire.frame(b"Q", wire.text(sql)))
    said = []
    while True:
        kind, body = line.receive()
        if kind == b"Z":
            return said
        if kind in b"DE":
            said.append(kind.decode() + body.decode("latin-1"))


def called(name, arguments):
    if name == "ask":
        return json.dumps(ask(arguments["sql"]))
    if name == "waits":
        time.sleep(arguments["seconds"])
    return json.dumps(arguments)


def answer(method, params):
    if method == "initialize":
        return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "figures", "version": "1"}}
    if method == "tools/list":
        return {"tools": [{"name": name, "description": name, "inputSchema": {"type": "object"}} for name in TOOLS]}
    if method != "tools/call":
        return None
    return {"content": [{"type": "text", "text": called(params["name"], params["arguments"])}]}


for text in sys.stdin:
    message = json.loads(text)
    if "id" in message:
        result = answer(message["method"], message.get("params", {}))
        unknown = {"error": {"code": -32601, "message": "no such method"}}
        said = {"result": result} if result else unknown
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **said}), flush=True)
