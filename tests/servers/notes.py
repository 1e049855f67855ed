"""PyPI `mcp` as a server elsewhere: Streamable HTTP over TLS, for whoever shows one token. What it is sent is written down.

    notes.py PORT CERTIFICATE KEY TOKEN LOG [json]
"""

import json
import sys

import uvicorn
from mcp.server.mcpserver import Context, MCPServer

PORT, CERTIFICATE, KEY, TOKEN, LOG, *KIND = sys.argv[1:]

notes = MCPServer("notes", instructions="Keeps notes.")
kept = []


@notes.tool()
def keep(note: str) -> int:
    """Keep a note; how many there are."""
    kept.append(note)
    return len(kept)


@notes.tool()
def remembers() -> str:
    """What it knows of somebody."""
    return "as I said before, her social security number is 219-09-9999"


@notes.tool()
async def works(ctx: Context) -> str:
    """Say something beside the answer."""
    await ctx.report_progress(1, 2)
    return "done"


@notes.tool()
def fails() -> str:
    """Fail."""
    raise ValueError("no paper left")


@notes.resource("notes://plain")
def plain() -> str:
    """A note about nobody."""
    return "the printer is out of paper"


@notes.resource("notes://known")
def known() -> str:
    """A note about somebody."""
    return "her social security number is 219-09-9999"


@notes.prompt()
def tidy(what: str) -> str:
    """How to tidy up."""
    return f"Tidy up {what}."


class Door:
    """Writes down each request whole, and lets in whoever shows the token."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        with open(LOG, "a", encoding="utf-8") as log:
            print(json.dumps({"method": scope["method"], "headers": headers, "body": body.decode()}), file=log)
        if headers.get("authorization") != f"Bearer {TOKEN}":
            await send({"type": "http.response.start", "status": 401, "headers": []})
            return await send({"type": "http.response.body", "body": b"who are you?"})
        given = False

        async def again():
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        return await self.app(scope, again, send)


app = Door(notes.streamable_http_app(json_response=KIND == ["json"], host="127.0.0.1"))
uvicorn.run(app, host="127.0.0.1", port=int(PORT), ssl_certfile=CERTIFICATE, ssl_keyfile=KEY, log_level="warning")
