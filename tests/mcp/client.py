"""PyPI `mcp` as a client of a gateway.

    client.py http URL TOKEN [MODE]            a bearer token that somebody else got
    client.py oauth URL CLIENT_ID VISIT NAME   discovery, PKCE and the browser, by the client's own code
    client.py stdio MODE PROGRAM ARGUMENT...   a bridge on standard input and output

Reads a JSON list of calls, `{"tool": .., "arguments": {..}}`; `"continue": true` adds the continuation of the answer before.
`{"method": ..}` is any other call of the client's by its name, with `arguments`; `{"read": NUMBER}` reads the resource that
stands there in its list.
"""

import asyncio
import json
import subprocess
import sys
import urllib.parse

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata
from mcp.shared.exceptions import MCPError

REDIRECT = "http://127.0.0.1/callback"


class Kept:
    """A client that an administrator registered, since the issuer lets nobody register himself."""

    def __init__(self, client_id):
        self.tokens = None
        self.client = OAuthClientInformationFull(
            client_id=client_id, redirect_uris=[REDIRECT], token_endpoint_auth_method="none"
        )

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


def oauth(url, client_id, visit, name):
    came = {}

    async def redirect(address):
        words = ["node", visit, address, name, name, "--stop-before", REDIRECT]
        said = subprocess.run(words, capture_output=True, check=True, text=True).stdout
        came.update(urllib.parse.parse_qsl(urllib.parse.urlsplit(json.loads(said)["stopped"]).query))

    async def callback():
        return AuthorizationCodeResult(code=came["code"], state=came.get("state"), iss=came.get("iss"))

    metadata = OAuthClientMetadata(redirect_uris=[REDIRECT], client_name="a test", token_endpoint_auth_method="none")
    return OAuthClientProvider(url, metadata, Kept(client_id), redirect, callback)


async def other(client, call, arguments):
    """Something that is no tool's call."""
    if "read" in call:
        listed = (await client.list_resources()).resources
        call, arguments = {"method": "read_resource"}, {"uri": listed[call["read"]].uri}
    try:
        result = await getattr(client, call["method"])(**arguments)
    except MCPError as error:
        return {"error": True, "code": error.error.code, "text": str(error)}
    return {"error": False, "result": result.model_dump(mode="json", by_alias=True, exclude_none=True)}


async def work(client, calls):
    listed = await client.list_tools()
    results, continuation = [], None
    for call in calls:
        arguments = dict(call.get("arguments", {}))
        if "tool" not in call:
            results.append(await other(client, call, arguments))
            continue
        if call.get("continue"):
            arguments["continuation"] = continuation
        result = await client.call_tool(call["tool"], arguments)
        structured = result.structured_content
        continuation = (structured or {}).get("continuation", continuation)
        text = [block.text for block in result.content if block.type == "text"]
        results.append({"error": bool(result.is_error), "structured": structured, "text": "\n".join(text)})
    tools = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed.tools]
    can = client.server_capabilities.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"version": client.session.protocol_version, "can": can, "tools": tools, "results": results}


async def main():
    kind, *rest = sys.argv[1:]
    calls = json.load(sys.stdin)
    if kind == "stdio":
        mode, program, *arguments = rest
        async with Client(StdioServerParameters(command=program, args=arguments), mode=mode) as client:
            return await work(client, calls)
    url = rest[0]
    if kind == "oauth":
        auth = oauth(url, *rest[1:4])
        http, mode = create_mcp_http_client(auth=auth), "auto"
    else:
        http = create_mcp_http_client(headers={"Authorization": f"Bearer {rest[1]}"})
        mode = rest[2] if len(rest) > 2 else "auto"
    async with http, Client(streamable_http_client(url, http_client=http), mode=mode) as client:
        return await work(client, calls)


print(json.dumps(asyncio.run(main())))
