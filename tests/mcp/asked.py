"""PyPI `mcp` as a client that can be told and asked in the middle of a call.

    asked.py URL TOKEN MODE TOOL ARGUMENTS ANSWER         over HTTP
    asked.py PROGRAM SERVER MODE TOOL ARGUMENTS ANSWER    a bridge on standard input and output

ANSWER is what its person says: `accept` (or `accept=NAME`), `decline` or `cancel`. Prints what it was told and asked, and what came of the call.
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import CreateMessageResult, ElicitResult, ListRootsResult, Root, TextContent

url, token, mode, tool, arguments, answer = sys.argv[1:]
action, _, name = answer.partition("=")
heard = []


def plain(params):
    return params.model_dump(mode="json", by_alias=True, exclude_none=True)


async def elicit(context, params):
    heard.append({"asked": "elicitation", "params": plain(params)})
    return ElicitResult(action=action, content={"name": name or "turquoise"} if action == "accept" else None)


async def sample(context, params):
    heard.append({"asked": "sampling", "params": plain(params)})
    text = TextContent(type="text", text="Hello from a model")
    return CreateMessageResult(role="assistant", content=text, model="a-model", stop_reason="endTurn")


async def roots(context):
    heard.append({"asked": "roots"})
    return ListRootsResult(roots=[Root(uri="file:///srv/notes")])


async def logged(params):
    heard.append({"told": "message", "level": params.level, "data": params.data})


async def progress(done, total, message):
    heard.append({"told": "progress", "progress": done, "message": message})


async def main():
    http = create_mcp_http_client(headers={"Authorization": f"Bearer {token}"})
    is_remote = "://" in url
    client = Client(
        streamable_http_client(url, http_client=http)
        if is_remote
        else StdioServerParameters(command=url, args=["mcp", token]),
        mode=mode,
        elicitation_callback=elicit,
        sampling_callback=sample,
        list_roots_callback=roots,
        logging_callback=logged,
        log_level="info",
    )
    async with http, client:
        try:
            result = await client.call_tool(tool, json.loads(arguments), progress_callback=progress)
        except MCPError as error:
            return {"version": client.session.protocol_version, "error": True, "text": str(error), "heard": heard}
        await asyncio.sleep(0.2)
        text = "\n".join(block.text for block in result.content if block.type == "text")
        return {"version": client.session.protocol_version, "error": bool(result.is_error), "text": text, "heard": heard}


print(json.dumps(asyncio.run(main())))
