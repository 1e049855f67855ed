"""A server with what `@modelcontextprotocol/conformance` looks for, on PyPI `mcp`, which speaks all revisions.

    everything.py              over standard input and output
    everything.py http PORT    Streamable HTTP at http://127.0.0.1:PORT/mcp
"""

import asyncio
import base64
import json
import sys
from typing import Annotated

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

# One pixel, and a moment of silence.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
SILENCE = base64.b64encode(b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0").decode()

server = MCPServer("everything", version="1", instructions="everything that a conformance suite looks for")


def resource(uri, text, kind="text/plain"):
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=kind, text=text))


@server.tool()
async def begins(ctx: Context) -> str:
    """How it is called: its revision itself would be taken for a date"""
    return "without a handshake" if str(ctx.protocol_version) >= "2026" else "with a handshake"


@server.tool(structured_output=False)
def test_simple_text():
    """Text"""
    return "This is a simple text response for testing."


@server.tool(structured_output=False)
def test_image_content():
    """An image"""
    return [ImageContent(type="image", data=PIXEL, mime_type="image/png")]


@server.tool(structured_output=False)
def test_audio_content():
    """Sound"""
    return [AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]


@server.tool(structured_output=False)
def test_embedded_resource():
    """A resource"""
    return [resource("test://embedded-resource", "This is an embedded resource content.")]


@server.tool(structured_output=False)
def test_multiple_content_types():
    """Text, an image and a resource"""
    return [
        TextContent(type="text", text="Multiple content types test:"),
        ImageContent(type="image", data=PIXEL, mime_type="image/png"),
        resource("test://mixed-content-resource", json.dumps({"test": "data", "value": 123}), "application/json"),
    ]


@server.tool()
async def test_tool_with_logging(ctx: Context) -> str:
    """Logs while it works"""
    for step in ["Tool execution started", "Tool processing data", "Tool execution completed"]:
        await ctx.info(step)
        await asyncio.sleep(0.05)
    return "logged"


@server.tool()
async def test_logging_tool(ctx: Context) -> str:
    """Logs, where it is asked to"""
    await ctx.info("Tool execution started")
    return "logged"


@server.tool()
async def test_tool_with_progress(ctx: Context) -> str:
    """Tells of its progress"""
    for step in [0, 50, 100]:
        await ctx.report_progress(step, 100)
        await asyncio.sleep(0.05)
    return "done"


@server.tool(structured_output=False)
def test_error_handling():
    """Fails"""
    raise RuntimeError("This tool intentionally returns an error for testing")


@server.tool()
async def test_reconnection(ctx: Context) -> str:
    """Ends its stream before its answer"""
    await ctx.close_sse_stream()
    await asyncio.sleep(0.2)
    return "Reconnection test completed"


@server.tool()
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Asks for a model's words"""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    said = await ctx.session.create_message(messages=[message], max_tokens=100)
    return f"LLM response: {said.content.text}"


class Person(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


class Defaults(BaseModel):
    name: str = Field(default="John Doe")
    age: int = Field(default=30)
    score: float = Field(default=95.5)
    status: str = Field(default="active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = Field(default=True)


def titled(*names):
    return [{"const": name, "title": name.capitalize()} for name in names]


class Choices(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": ["option1", "option2", "option3"]})
    titledSingle: str = Field(json_schema_extra={"oneOf": titled("value1", "value2", "value3")})
    legacyEnum: str = Field(json_schema_extra={"enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]})
    untitledMulti: list[str] = Field(json_schema_extra={"items": {"type": "string", "enum": ["option1", "option2"]}})
    titledMulti: list[str] = Field(json_schema_extra={"items": {"anyOf": titled("value1", "value2")}})


async def elicited(ctx, message, schema):
    came = await ctx.elicit(message=message, schema=schema)
    content = came.data.model_dump_json() if came.action == "accept" else "{}"
    return f"User response: action={came.action}, content={content}"


@server.tool()
async def test_elicitation(message: str, ctx: Context) -> str:
    """Asks a person"""
    return await elicited(ctx, message, Person)


@server.tool()
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Asks a person, and proposes answers"""
    return await elicited(ctx, "Please provide user information", Defaults)


@server.tool()
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Asks a person to choose"""
    return await elicited(ctx, "Please choose", Choices)


@server.tool()
async def test_missing_capability(ctx: Context) -> str:
    """Needs a client that has a model"""
    if ctx.client_capabilities is None or ctx.client_capabilities.sampling is None:
        needed = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "a model is needed", needed)
    return "there is one"


@server.tool()
async def test_streaming_elicitation(ctx: Context) -> str:
    """Asks nobody"""
    await ctx.report_progress(1, 1)
    return "nobody was asked"


@server.tool()
async def test_trigger_tool_change(ctx: Context) -> str:
    """Says that the tools are others"""
    await ctx.notify_tools_changed()
    return "said"


@server.tool()
async def test_trigger_prompt_change(ctx: Context) -> str:
    """Says that the prompts are others"""
    await ctx.notify_prompts_changed()
    return "said"


@server.tool()
def test_headers(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
    """An argument that a header repeats"""
    return region


@server.tool()
def json_schema_2020_12_tool() -> str:
    """Tool with JSON Schema 2020-12 features"""
    return ""


server._tool_manager.get_tool("json_schema_2020_12_tool").parameters = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def form(message, name, kind="string"):
    schema = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def question(text, tokens):
    message = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=tokens))


def answer(ctx, name):
    return (ctx.input_responses or {}).get(name)


@server.tool(structured_output=False)
async def test_input_required_result_elicitation(ctx: Context) -> InputRequiredResult | str:
    """Asks for a name before it answers"""
    came = answer(ctx, "user_name")
    if came is None or not (getattr(came, "content", None) or {}).get("name"):
        return InputRequiredResult(input_requests={"user_name": form("What is your name?", "name")})
    return f"Hello, {came.content['name']}!"


@server.tool(structured_output=False)
async def test_input_required_result_sampling(ctx: Context) -> InputRequiredResult | str:
    """Asks a model before it answers"""
    came = answer(ctx, "capital_question")
    if came is None:
        return InputRequiredResult(input_requests={"capital_question": question("What is the capital of France?", 100)})
    return came.content.text


@server.tool(structured_output=False)
async def test_input_required_result_list_roots(ctx: Context) -> InputRequiredResult | str:
    """Asks for files before it answers"""
    came = answer(ctx, "client_roots")
    if came is None:
        return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})
    return " ".join(str(root.uri) for root in came.roots)


@server.tool(structured_output=False)
async def test_input_required_result_request_state(ctx: Context) -> InputRequiredResult | str:
    """Gives a state away, and wants it back"""
    if answer(ctx, "confirm") is None or ctx.request_state != "asked":
        return InputRequiredResult(input_requests={"confirm": form("Please confirm", "ok", "boolean")}, request_state="asked")
    return "state-ok"


@server.resource("test://static-text")
def static_text() -> str:
    """Text"""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """An image"""
    return base64.b64decode(PIXEL)


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:
    """One of many"""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


@server.prompt()
def test_simple_prompt():
    """A prompt"""
    return [UserMessage("This is a simple prompt for testing.")]


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str):
    """A prompt with two arguments"""
    return [UserMessage(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")]


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str):
    """A prompt with a resource"""
    embedded = resource(resourceUri, "Embedded resource content for testing.")
    return [UserMessage(embedded), UserMessage("Please process the embedded resource above.")]


@server.prompt()
def test_prompt_with_image():
    """A prompt with an image"""
    image = ImageContent(type="image", data=PIXEL, mime_type="image/png")
    return [UserMessage(image), UserMessage("Please analyze the image above.")]


@server.completion()
async def completed(ref, argument, context):
    return Completion(values=["paris", "park", "party"], total=3, has_more=False)


if sys.argv[1:2] == ["http"]:
    server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
else:
    server.run()
