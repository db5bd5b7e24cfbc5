"""PatterLangChainTool in plain and async code: what it returns, what it refuses, what it tells on the way."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.load import dumpd
from langchain_core.tools import ToolException
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ValidationError
from tests.langchain.conftest import MakeTool
from tests.langchain.scripted import TO, endless, exchange

from patter import ConfigError, Patter, PatterTool
from patter.envelope import CallResult
from patter_langchain import PatterLangChainTool, PatterToolkit

MILESTONES = ("dialing", "ringing", "answered", "user", "agent", "ended")
GOAL = {"to": TO, "goal": "Tea at five"}


def call(**args: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": "call_7", "name": "make_phone_call", "args": args}


def test_arguments_alone_get_the_text_that_a_model_reads(make_tool: MakeTool) -> None:
    told = PatterLangChainTool(tool=make_tool()).invoke(GOAL)
    assert json.loads(told)["transcript"][1] == {"role": "agent", "text": "Tea at five. Goodbye."}


def test_a_tool_call_gets_a_message_with_the_envelope_as_its_artifact(make_tool: MakeTool) -> None:
    message = PatterLangChainTool(tool=make_tool()).invoke(call(**GOAL))
    assert (message.status, message.tool_call_id) == ("success", "call_7")
    result = CallResult.model_validate(message.artifact)
    assert result.to_llm() == message.content
    assert json.loads(json.dumps(message.artifact)) == message.artifact


def test_patter_tools_own_arguments_and_langchains_options_are_taken(make_tool: MakeTool) -> None:
    phone = make_tool().phone
    native = PatterLangChainTool(phone=phone, name="call_salon", max_duration_sec=20, return_direct=True, tags=["x"])
    assert (native.name, native.return_direct, native.tags) == ("call_salon", True, ["x"])
    assert native.patter.phone is phone
    assert convert_to_openai_tool(native)["function"]["name"] == "call_salon"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({}, "phone="), ({"tool": "phone"}, "must be a PatterTool"), ({"phone": Patter}, "phone must be")],
)
def test_a_bad_construction_says_what_to_pass(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PatterLangChainTool(**arguments)


def test_a_ready_tool_and_its_arguments_exclude_each_other(make_tool: MakeTool) -> None:
    with pytest.raises(ConfigError, match="Pass name to PatterTool"):
        PatterLangChainTool(tool=make_tool(), name="x")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"to": "555-0199", "goal": "x"}, "to: "),
        ({"to": TO, "goal": "x", "max_duration_sec": 0}, "max_duration_sec: 0 is out of range"),
        ({"to": TO, "goal": "x", "number": 1}, "number: unknown argument"),
        ({"to": TO}, "goal: it is missing"),
        ({"to": "+16505551234", "goal": "x"}, "to: "),
    ],
)
def test_wrong_arguments_are_an_error_that_names_the_field(
    make_tool: MakeTool, args: dict[str, Any], words: str
) -> None:
    tool = make_tool(allowed_numbers=["+1555"])
    native = PatterLangChainTool(tool=tool)
    for message in (native.invoke(call(**args)), asyncio.run(native.ainvoke(call(**args)))):
        assert message.status == "error"
        assert message.artifact is None
        assert message.content.startswith(words)
    assert native.invoke(args) == message.content
    assert not tool.phone.is_running


def test_the_handlers_of_errors_can_be_replaced(make_tool: MakeTool) -> None:
    native = PatterLangChainTool(tool=make_tool(), handle_tool_error=False, handle_validation_error=False)
    with pytest.raises(ToolException, match="goal"):
        native.invoke({"to": TO})
    with pytest.raises(ValidationError):
        native.invoke({"to": "555"})


def test_a_lone_number_is_not_enough(make_tool: MakeTool) -> None:
    assert PatterLangChainTool(tool=make_tool()).invoke(TO).startswith("goal: it is missing")


def test_the_same_tool_call_dials_once_and_plain_uses_each_dial(make_tool: MakeTool) -> None:
    tool = make_tool()
    native = PatterLangChainTool(tool=tool)
    first = native.invoke(call(**GOAL))
    assert asyncio.run(native.ainvoke(call(**GOAL))).artifact == first.artifact
    assert exchange(tool).creates == 1
    other_thread = native.invoke(call(**GOAL), {"configurable": {"thread_id": "2"}})
    assert other_thread.artifact["call_id"] != first.artifact["call_id"]
    native.invoke(GOAL)
    native.invoke(GOAL)
    assert exchange(tool).creates == 4


class Listener(BaseCallbackHandler):
    def __init__(self) -> None:
        self.kinds: list[str] = []

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self.kinds.append(data["type"])


class AsyncListener(AsyncCallbackHandler, Listener):
    async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self.kinds.append(data["type"])


@pytest.mark.parametrize("listener", [Listener, AsyncListener])
def test_callback_handlers_hear_of_the_progress_in_order(make_tool: MakeTool, listener: type[Listener]) -> None:
    native = PatterLangChainTool(tool=make_tool())
    one, two = listener(), listener()
    native.invoke(GOAL, {"callbacks": [one]})
    asyncio.run(native.ainvoke(GOAL, {"callbacks": [two]}))
    for heard in (one, two):
        assert [kind for kind in heard.kinds if kind in MILESTONES] == list(MILESTONES)


def test_astream_events_tells_the_progress(make_tool: MakeTool) -> None:
    native = PatterLangChainTool(tool=make_tool())

    async def listen() -> list[str]:
        events = native.astream_events(GOAL, version="v2")
        return [event["data"]["type"] async for event in events if event["name"] == "patter.call"]

    assert [kind for kind in asyncio.run(listen()) if kind in MILESTONES] == list(MILESTONES)


class Broken(BaseCallbackHandler):
    raise_error = True

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        raise RuntimeError("secret")


def test_a_handler_that_fails_does_not_end_the_call(make_tool: MakeTool, caplog: pytest.LogCaptureFixture) -> None:
    native = PatterLangChainTool(tool=make_tool())
    with caplog.at_level(logging.WARNING, "patter"):
        told = [native.invoke(GOAL, {"callbacks": [Broken()]})]
        told.append(asyncio.run(native.ainvoke(GOAL, {"callbacks": [Broken()]})))
    assert [json.loads(text)["status"] for text in told] == ["completed", "completed"]
    assert "raised RuntimeError; the call goes on" in caplog.text
    assert not any("secret" in record.getMessage() for record in caplog.records if record.name == "patter")


@pytest.mark.parametrize("how", ["cancel", "wait_for"])
def test_cancelling_hangs_up(make_tool: MakeTool, how: str) -> None:
    tool = make_tool(endless())
    native = PatterLangChainTool(tool=tool)

    async def cancel() -> None:
        answered = asyncio.Event()

        class Answered(AsyncCallbackHandler):
            async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
                if data["type"] == "answered":
                    answered.set()

        waiting = native.ainvoke(call(to=TO, goal="Hold"), {"callbacks": [Answered()]})
        if how == "wait_for":
            await tool.start()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(waiting, 0.5)
            return
        task = asyncio.ensure_future(waiting)
        await answered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert tool.phone.live_calls == []
    assert all(one.status.final for one in exchange(tool).calls.values())


def test_neither_its_text_nor_its_form_shows_the_phone(make_tool: MakeTool) -> None:
    native = PatterLangChainTool(tool=make_tool())
    assert "patter" not in native.model_dump()
    assert "PatterTool(" not in repr(native)
    assert dumpd(native)["type"] == "not_implemented"
    assert copy.copy(native).patter is native.patter


def test_the_toolkit_has_the_one_tool(make_tool: MakeTool) -> None:
    tool = make_tool()
    (native,) = PatterToolkit(tool=tool).get_tools()
    assert isinstance(native, PatterLangChainTool)
    assert native.patter is tool
    (other,) = PatterToolkit(phone=tool.phone, name="call").get_tools()
    assert other.name == "call"
    with pytest.raises(ConfigError):
        PatterToolkit()


def test_it_is_a_patter_tool_behind_it(make_tool: MakeTool) -> None:
    tool: PatterTool = make_tool()
    assert PatterLangChainTool(tool=tool).patter is tool
