"""The phone as a tool of an MCP server: ``FastMCP`` of mcp 1.x and ``MCPServer`` of mcp 2.x.

The SDK makes a tool's schema from a function's signature. That would lose the limits of the arguments and
the refusal of unknown ones, so the tool is entered with its own schema, and checks its arguments itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from patter.call.request import Event
from patter.envelope import CallResult
from patter.errors import ConfigError
from patter.exports.base import load

if TYPE_CHECKING:
    from patter.exports.base import Answer, PhoneTool

__all__ = ["Sdk", "to_mcp"]

_INSTRUCTIONS = "A telephone: places real phone calls. A call takes minutes, rings a real phone and costs money."
_WAITING_REPORTS = 256
_REPORT_S = 2.0
"""A client that does not read a report for so long gets no more of them."""


@dataclass(frozen=True, slots=True)
class Sdk:
    """The parts of the SDK whose names differ between its versions."""

    is_v1: bool
    server: Any
    """The class of servers that tools are added to."""
    tool: Any
    metadata: Any
    arguments: Any
    types: Any

    @classmethod
    def load(cls) -> Sdk:
        """Import it.

        Raises:
            ConfigError: it is not installed.
        """
        types = load("mcp.types", extra="mcp")
        is_v1 = find_spec("mcp.server.mcpserver") is None
        package = "mcp.server.fastmcp" if is_v1 else "mcp.server.mcpserver"
        functions = load(f"{package}.utilities.func_metadata", extra="mcp")
        return cls(
            is_v1=is_v1,
            server=getattr(load(package, extra="mcp"), "FastMCP" if is_v1 else "MCPServer"),
            tool=load(f"{package}.tools.base", extra="mcp").Tool,
            metadata=functions.FuncMetadata,
            arguments=functions.ArgModelBase,
            types=types,
        )


def to_mcp(tool: PhoneTool, server: Any = None) -> Any:
    """The server, with the tool added; see `patter.tool.PatterTool.to_mcp`."""
    sdk = Sdk.load()
    entry = _entry(tool, sdk)
    if server is None:
        return sdk.server("patter", instructions=_INSTRUCTIONS, tools=[entry], log_level="WARNING")
    if not isinstance(server, sdk.server):
        raise ConfigError(f"server must be a {sdk.server.__name__} of the mcp package, not a {type(server).__name__}.")
    # add_tool() takes functions only.
    manager = server._tool_manager
    if manager.get_tool(tool.name) is not None:
        raise ConfigError(f"The server has a tool {tool.name!r} already. Pass another name= to PatterTool.")
    manager._tools[tool.name] = entry
    return server


def _entry(tool: PhoneTool, sdk: Sdk) -> Any:
    class PhoneCall(sdk.tool):  # type: ignore[misc, name-defined]
        async def run(self, arguments: dict[str, Any], context: Any = None, convert_result: bool = False) -> Any:
            return _shaped(await _use(tool, arguments, context), sdk.types)

    return PhoneCall(
        fn=tool.answer,
        name=tool.name,
        title="Make a phone call",
        description=tool.description,
        parameters=tool.parameters,
        fn_metadata=sdk.metadata(
            arg_model=sdk.arguments, output_schema=CallResult.model_json_schema(mode="serialization")
        ),
        is_async=True,
        annotations=sdk.types.ToolAnnotations.model_validate(
            {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": False, "openWorldHint": True}
        ),
    )


def _shaped(answer: Answer, types: Any) -> Any:
    content: dict[str, Any] = {"content": [{"type": "text", "text": answer.text}], "isError": answer.is_error}
    if answer.result is not None:
        content["structuredContent"] = answer.result.to_dict()
    return types.CallToolResult.model_validate(content)


async def _use(tool: PhoneTool, arguments: Mapping[str, Any], context: Any) -> Answer:
    """Place the call, and tell the client of its progress. The client's cancellation hangs up."""
    send, receive = anyio.create_memory_object_stream[Event](_WAITING_REPORTS)

    def on_event(event: Event) -> None:
        with suppress(anyio.WouldBlock, anyio.BrokenResourceError):  # nobody reads
            send.send_nowait(event)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_report, receive, context)
        with send:
            answer = await tool.answer(arguments, on_event=on_event)
        tasks.cancel_scope.deadline = anyio.current_time() + _REPORT_S
    return answer


async def _report(events: MemoryObjectReceiveStream[Event], context: Any) -> None:
    """Pass on what people want to know; the SDK drops it if the client has not asked for progress."""
    progress = 0.0
    with events:
        async for event in events:
            if not (message := _sentence(event)):
                continue
            progress = max(progress + 0.001, event["at_s"])  # the protocol wants it to increase
            try:
                with anyio.fail_after(_REPORT_S):
                    await context.report_progress(progress, message=message)
            except Exception:  # the boundary to the client: a call goes on without reports
                break


def _sentence(event: Event) -> str | None:
    """A line for the client's user; None of what is not final."""
    match event["type"]:
        case "dialing":
            return "Dialling."
        case "ringing":
            return "Ringing."
        case "answered":
            return "Answered."
        case "user":
            return f"They said: {event['text']}"
        case "retract":
            return "They go on."
        case "agent" if event["text"]:
            return f"The agent said: {event['text']}"
        case "tool":
            return f"The agent used {event['name']}."
        case "ended":
            return f"The call is over: {event['status']}."
    return None
