"""Client-side tools, row by row of the requirements of system E."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from patter.tools.clients import ClientToolManager
from patter.tools.codecs import telnyx

pytestmark = pytest.mark.anyio


class Conversation:
    """An active call that keeps what it is sent, and can be disconnected."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.is_connected = True

    def send(self, message: dict[str, Any]) -> None:
        if not self.is_connected:
            raise ConnectionError
        self.sent.append(message)

    @property
    def outputs(self) -> list[tuple[str, str]]:
        items = [message["params"]["item"] for message in self.sent]
        return [(item["call_id"], item["output"]) for item in items]


def event(call_id: str = "c1", name: str = "tool", arguments: str = "{}") -> dict[str, Any]:
    item = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
    params = {"type": "conversation.item.created", "item": item}
    return {"jsonrpc": "2.0", "method": "ai_conversation", "params": params, "voice_sdk_id": "x"}


class Room:
    """A manager, its conversation, and the events it has told of."""

    def __init__(self, tools: dict[str, Any], **options: Any) -> None:
        self.call: Conversation | None = Conversation()
        self.first = self.call
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.manager = ClientToolManager(
            tools,
            get_active_call=lambda: self.call,
            on_event=lambda name, facts: self.told.append((name, facts)),
            **options,
        )


Make = Callable[..., Any]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    managers: list[ClientToolManager] = []

    async def make(tools: dict[str, Any] | None = None, **options: Any) -> Room:
        room = Room(tools or {}, **options)
        managers.append(await room.manager.__aenter__())
        return room

    yield make
    for manager in reversed(managers):
        await manager.__aexit__(None, None, None)


async def settled(done: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not done():
            await anyio.lowlevel.checkpoint()


async def answer(room: Room, message: dict[str, Any]) -> str:
    before = len(room.first.sent)
    assert room.manager.handle_event(message)
    await settled(lambda: len(room.first.sent) > before)
    return room.first.outputs[-1][1]


async def test_e01_to_e04_and_e27_e28_the_registry(make: Make) -> None:
    room = await make({"a": lambda args, context: 1})
    manager = room.manager
    manager.register("b", lambda args, context: "old")
    manager.register("b", lambda args, context: "new")
    manager.register_all({"c": lambda args, context: 3})
    assert list(manager.list()) == ["a", "b", "c"]
    assert await answer(room, event(name="b")) == "new"
    assert (manager.unregister("b"), manager.unregister("b"), manager.has("b"), manager.has("c")) == (
        True,
        False,
        False,
        True,
    )
    assert await answer(room, event("c2", "b")) == '{"error": "unknown_tool"}'


async def test_e05_and_e15_a_slow_handler_times_out_and_its_late_result_is_dropped(make: Make) -> None:
    go, over = anyio.Event(), anyio.Event()

    async def slow(args: Any, context: Any) -> str:
        try:
            await go.wait()
        except BaseException:  # it does not listen
            await go.wait()
        over.set()
        return "late"

    room = await make({"tool": slow}, timeout_ms=20)
    assert await answer(room, event()) == '{"error": "timeout"}'
    go.set()
    await over.wait()
    assert len(room.first.sent) == 1


@pytest.mark.parametrize(("arguments", "parsed"), [("", None), ("{}", {}), ('{"a": [1]}', {"a": [1]}), ("[2]", [2])])
@pytest.mark.parametrize("is_async", [True, False])
async def test_e06_and_e07_what_a_handler_is_given(make: Make, arguments: str, parsed: Any, is_async: bool) -> None:
    def sync(args: Any, context: Any) -> Any:
        return [args, context.call_id, context.tool_name, context.raw_arguments]

    async def coroutine(args: Any, context: Any) -> Any:
        return sync(args, context)

    room = await make({"tool": coroutine if is_async else sync})
    assert json.loads(await answer(room, event(arguments=arguments))) == [parsed, "c1", "tool", arguments]


@pytest.mark.parametrize(("value", "output"), [("as is", "as is"), ({"a": "é"}, '{"a": "é"}'), (None, "null")])
async def test_e08_and_e09_outputs_and_the_ids_they_carry(make: Make, value: Any, output: str) -> None:
    room = await make({"tool": lambda args, context: value})
    await answer(room, event("id-7"))
    assert room.first.sent == [
        {
            "jsonrpc": "2.0",
            "method": "ai_conversation",
            "params": {
                "type": "conversation.item.create",
                "item": {"type": "function_call_output", "call_id": "id-7", "output": output},
            },
        }
    ]


def raising(args: Any, context: Any) -> None:
    raise ValueError("secret")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (event(name="other"), "unknown_tool"),
        (event(arguments="{"), "invalid_arguments"),
        (event(name="raising", arguments='"secret"'), "handler_error"),
    ],
)
async def test_e10_e12_to_e14_e23_e24_e30_errors_are_safe_codes(
    make: Make, caplog: pytest.LogCaptureFixture, message: dict[str, Any], reason: str
) -> None:
    raised: list[tuple[Any, ...]] = []
    room = await make(
        {"tool": lambda args, context: 1, "raising": raising}, on_exception=lambda *facts: raised.append(facts)
    )
    with caplog.at_level(logging.DEBUG):
        assert await answer(room, message) == json.dumps({"error": reason})
    name = message["params"]["item"]["name"]
    facts = {"call_id": "c1", "tool_name": name}
    await settled(lambda: room.told[-1:] == [("client.tool.completed", facts | {"is_error": True})])
    assert ("client.tool.error", facts | {"reason": reason}) in room.told
    assert (("client.tool.invoked", facts) in room.told) == (reason == "handler_error")
    assert "secret" not in caplog.text + str(room.told)
    assert len(raised) == (reason == "handler_error")


async def test_e11_e17_e18_a_call_id_runs_once(make: Make) -> None:
    ran: list[str] = []
    go = anyio.Event()

    async def tool(args: Any, context: Any) -> int:
        ran.append(context.call_id)
        await go.wait()
        return len(ran)

    room = await make({"tool": tool})
    assert room.manager.handle_event(event())
    assert not room.manager.handle_event(event())  # not begun
    await settled(lambda: bool(ran))
    assert not room.manager.handle_event(event())  # in flight
    go.set()
    await settled(lambda: bool(room.first.sent))
    assert not room.manager.handle_event(event())  # completed
    assert ran == ["c1"]
    assert len(room.first.sent) == 1


@pytest.mark.parametrize("how", ["no active call", "the connection is gone"])
async def test_e16_and_e26_an_output_that_cannot_be_sent_is_dropped(make: Make, how: str) -> None:
    room = await make({"tool": lambda args, context: 1})
    if how == "no active call":
        room.call = None
    else:
        room.first.is_connected = False
    room.manager.handle_event(event())
    facts = {"call_id": "c1", "tool_name": "tool"}
    await settled(lambda: room.told[-1:] == [("client.tool.error", facts | {"reason": "shutdown"})])
    assert [name for name, _ in room.told] == ["client.tool.invoked", "client.tool.error"]
    room.call, room.first.is_connected = room.first, True
    assert await answer(room, event("c2")) == "1"
    assert room.first.outputs == [("c2", "1")]


async def test_e19_e21_e22_a_reset_drops_what_is_late_and_frees_the_ids(make: Make) -> None:
    go = anyio.Event()
    began: list[str] = []

    async def tool(args: Any, context: Any) -> str:
        began.append(context.call_id)
        if len(began) == 1:
            await go.wait()
            return "of the old connection"
        return "of the new one"

    room = await make({"tool": tool})
    room.manager.handle_event(event())
    await settled(lambda: bool(began))
    room.manager.reset()
    assert room.manager.generation == 1
    assert room.manager.has("tool")
    go.set()
    late = ("client.tool.error", {"call_id": "c1", "tool_name": "tool", "reason": "shutdown"})
    await settled(lambda: late in room.told)
    assert room.first.sent == []
    assert await answer(room, event()) == "of the new one"


@pytest.mark.parametrize("act", ["reset", "cancel"])
async def test_e19_e21_a_call_that_has_not_begun_is_dropped_too(make: Make, act: str) -> None:
    runs: list[str] = []
    room = await make({"tool": lambda args, context: runs.append(context.call_id)})
    room.manager.handle_event(event())
    if act == "reset":
        room.manager.reset()
    else:
        room.manager.cancel("c1")
    late = ("client.tool.error", {"call_id": "c1", "tool_name": "tool", "reason": "shutdown"})
    await settled(lambda: late in room.told)
    assert (runs, room.first.sent) == ([], [])


async def test_e20_a_destroyed_manager_answers_nothing(make: Make) -> None:
    room = await make({"tool": lambda args, context: 1})
    room.manager.destroy()
    assert (list(room.manager.list()), room.manager.generation) == ([], 1)
    assert not room.manager.handle_event(event())


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"method": "ai_conversation"},
        {"method": "other", "params": event()["params"]},
        {"type": "conversation.item.created", "item": {"type": "message", "content": "hello"}},
        {"type": "conversation.item.created", "item": {"type": "function_call", "call_id": 5, "name": "tool"}},
        {"type": "response.text.delta"},
    ],
)
async def test_e25_everything_else_is_left_alone(make: Make, other: dict[str, Any]) -> None:
    room = await make({"tool": lambda args, context: 1})
    assert not room.manager.handle_event(other)
    assert room.told == []


async def test_e29_the_codec_is_public() -> None:
    assert telnyx.decode(event("c", "n", "")) == telnyx.FunctionCall("c", "n", "")


async def test_events_before_the_context_is_entered_are_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        Room({}).manager.handle_event(event())
