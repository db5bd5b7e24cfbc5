"""The tool socket of a running phone, spoken to over a real websocket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tests.core.server.tool_desk import ASK, BYE, Desk, answer, desk, handler, heard, inline
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.server import tool_socket
from patter.testing import reply

pytestmark = pytest.mark.anyio


async def test_d01_to_d18_an_inline_tool_is_used_in_a_call_and_gone_with_its_client() -> None:
    async with desk(reply(ASK), reply("It is warm. Goodbye.", BYE)) as where:
        async with where.connected(tools=[inline()], events=["transcript"]) as socket:
            assert (await heard(socket, "conversation_created"))["conversation_id"]
            await heard(socket, "ready_to_start_conversation")
            await socket.send('{"type": "audio_chunk", "audio": "AAAA"}')
            await where.call_in()
            assert (await heard(socket, "input_text"))["text"] == "How warm is it in Bonn?"
            call = await answer(socket, {"city": "Bonn", "temperature": "24°"})
            assert (call["tool_name"], call["parameters"]) == ("get_temperature", {"city": "Bonn"})
            done = await heard(socket, "tool_call_output_processed")
            assert (done["tool_call_id"], done["timed_out"]) == (call["tool_call_id"], False)
            result = await where.over()
            assert (await heard(socket, "assistant_ended_conversation"))["call_id"] == result.call_id
        assert where.results_told() == [{"city": "Bonn", "temperature": "24°"}]
        assert (result.status, [line.text for line in result.transcript][-1]) == ("completed", "It is warm. Goodbye.")
        assert "get_temperature" in where.mind.requests[0].tools


@pytest.mark.parametrize(
    ("key", "first", "code", "error"),
    [
        (None, {}, 4401, "unauthorized"),
        ("wrong", {}, 4401, "unauthorized"),
        (None, {"api_key": "wrong"}, 4401, "unauthorized"),
        ("reading-key", {}, 4403, "forbidden"),
        ("foreign-key", {}, 4404, "unknown_agent"),
        ("serving-key", {"agent": "nobody"}, 4404, "unknown_agent"),
        ("serving-key", {"agent": 1}, 4400, "invalid_config"),
        ("serving-key", {"type": "say", "text": "Hello"}, 4400, "invalid_config"),
        ("serving-key", {"tools": ["nothing"]}, 4400, "unknown_tool"),
        ("serving-key", {"tools": ["here"]}, 4400, "unsupported_tool_type"),
        ("serving-key", {"tools": [inline("here")]}, 4400, "duplicate_tool"),
        ("serving-key", {"tools": [inline("end_call")]}, 4400, "duplicate_tool"),
        ("serving-key", {"tools": [inline() | {"type": "custom_webhook"}]}, 4400, "unsupported_tool_type"),
        ("serving-key", {"call_id": "CA0"}, 4400, "invalid_config"),
    ],
)
async def test_who_is_turned_away_learns_why(
    shared_desk: Desk, key: str | None, first: dict[str, Any], code: int, error: str
) -> None:
    async with shared_desk.connected(key=key, **first) as socket:
        told = await heard(socket, "error")
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert (told["error"]["code"], socket.close_code) == (error, code)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def shared_desk(anyio_backend: str) -> AsyncIterator[Desk]:
    async with desk(tools=[handler("here")]) as where:
        yield where


async def test_a_browser_sends_its_key_in_the_config(shared_desk: Desk) -> None:
    async with shared_desk.connected(key=None, api_key="serving-key") as socket:
        await heard(socket, "ready_to_start_conversation")


async def test_phonics_own_path_is_served_too(shared_desk: Desk) -> None:
    url = shared_desk.url.replace("/v1/tools/ws", "/v1/sts/ws")
    async with connect(url, additional_headers={"X-API-Key": "serving-key"}, proxy=None) as socket:
        await socket.send('{"type": "config", "agent": "desk"}')
        await heard(socket, "ready_to_start_conversation")


async def test_a_wrong_message_is_told_and_the_socket_stays(shared_desk: Desk) -> None:
    async with shared_desk.connected(tools=[inline()]) as socket:
        await heard(socket, "ready_to_start_conversation")
        for text in ("no JSON", b"binary", '{"type": "config", "agent": "nobody"}', '{"type": "tool_call_output"}'):
            await socket.send(text)
            await heard(socket, "error")
        await socket.send('{"type": "tool_call_output", "tool_call_id": "t", "output": 1}')
        assert (await heard(socket, "warning"))["warning"]["code"] == "stale_tool_call"
        await socket.send('{"type": "say", "text": "Hello"}')
        assert (await heard(socket, "warning"))["warning"]["code"] == "no_call"


async def test_a_message_that_is_too_large_closes_the_socket(shared_desk: Desk) -> None:
    async with shared_desk.connected() as socket:
        await heard(socket, "ready_to_start_conversation")
        with pytest.raises(ConnectionClosed):
            await socket.send("x" * (tool_socket.MAX_MESSAGE_BYTES + 1))
            await socket.recv()
    assert socket.close_code == 1009


async def test_without_a_config_in_time_the_socket_is_closed(
    shared_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_socket, "CONFIG_S", 0.05)
    async with connect(shared_desk.url, proxy=None) as socket:
        assert (await heard(socket, "error"))["error"]["code"] == "no_config"
        await socket.wait_closed()
    assert socket.close_code == 4408


async def test_strangers_cannot_take_all_places(shared_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_socket, "MAX_UNCONFIGURED", 1)
    async with connect(shared_desk.url, proxy=None):
        with pytest.raises(InvalidStatus):
            await connect(shared_desk.url, proxy=None)


async def test_a_stranger_has_little_to_say_before_its_key_is_known(shared_desk: Desk) -> None:
    async with shared_desk.connected(key=None, api_key="serving-key", agent="x" * 70_000) as socket:
        assert "65536 bytes" in (await heard(socket, "error"))["error"]["message"]


async def test_who_has_shown_a_key_does_not_wait_behind_strangers(
    shared_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_socket, "MAX_UNCONFIGURED", 1)
    async with connect(shared_desk.url, proxy=None), shared_desk.connected() as socket:
        await heard(socket, "ready_to_start_conversation")


async def test_half_a_character_and_other_odd_outputs_come_back_as_they_were() -> None:
    async with desk(reply(ASK), reply("It is odd. Goodbye.", BYE)) as where:
        async with where.connected(tools=[inline()]) as socket:
            await heard(socket, "ready_to_start_conversation")
            await where.call_in()
            await answer(socket, {"broken": "\ud83d"})
            done = await heard(socket, "tool_call_output_processed")
            assert done["output"] == {"broken": "\ud83d"}
            await where.over()
    assert where.results_told() == [{"error": "handler_error"}]


async def test_a_key_that_expires_is_not_served_any_longer() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    keys = {"serving-key": {"permissions": ["tools:serve"], "expires_at": soon}}
    async with desk(api_keys=keys) as where, where.connected() as socket:
        await heard(socket, "ready_to_start_conversation")
        with anyio.fail_after(5):
            await socket.wait_closed()
    assert socket.close_code == 4401


async def test_a_phone_that_stops_says_so() -> None:
    async with desk() as where, where.connected() as socket:
        await heard(socket, "ready_to_start_conversation")
        await where.phone.stop()
        with anyio.fail_after(5):
            await socket.wait_closed()
    assert socket.close_code == 1001


async def test_a_flood_of_words_does_not_end_the_call() -> None:
    caller = scripted(Listen(), Wait(1.5), Say("Goodbye then."), Listen(), Wait(0.3))
    async with desk(reply("Goodbye.", BYE)) as where:
        await where.call_in(caller)
        async with where.connected(call_id=where.call_id, tools=[]) as socket:
            await heard(socket, "ready_to_start_conversation")
            for _ in range(6000):
                await socket.send('{"type": "add_system_message", "system_message": "One more thing."}')
            assert (await heard(socket, "warning"))["warning"]["code"] == "not_done"
            result = await where.over()
    assert (result.status, result.details.error) == ("completed", None)


async def test_x25_a_client_that_vanishes_in_the_call_ends_its_tool_at_once() -> None:
    async with desk(reply(ASK), reply("I cannot tell. Goodbye.", BYE)) as where:
        async with where.connected(tools=[inline(tool_call_output_timeout_ms=60_000)]) as socket:
            await heard(socket, "ready_to_start_conversation")
            await where.call_in()
            await heard(socket, "tool_call")
            socket.transport.abort()
        result = await where.over()
    assert where.results_told() == [{"error": "shutdown"}]
    assert (result.status, result.details.tool_calls[0].reason) == ("completed", "shutdown")


async def test_a_second_config_replaces_the_tools_of_a_running_call() -> None:
    caller = scripted(Listen(), Say("How warm is it?"), Listen(), Say("And the traffic?"), Listen(), Wait(0.3))
    async with desk("It is warm.", reply("Goodbye.", BYE)) as where:
        async with where.connected(tools=[inline()]) as socket:
            await heard(socket, "ready_to_start_conversation")
            await where.call_in(caller)
            await anyio.lowlevel.checkpoint()
            await socket.send(json.dumps({"type": "config", "agent": "desk", "tools": [inline("get_traffic")]}))
            await where.over()
    offered = [list(request.tools) for request in where.mind.requests]
    assert offered[-1] == ["get_traffic", "end_call"]


async def test_a_client_of_one_call_can_let_the_agent_speak() -> None:
    caller = scripted(Listen(), Listen(timeout_s=2), Say("Goodbye."), Listen(), Wait(0.3))
    async with desk("The door is open.", reply("Goodbye.", BYE)) as where:
        await where.call_in(caller)
        async with where.connected(call_id=where.call_id, tools=[]) as socket:
            await heard(socket, "ready_to_start_conversation")
            await socket.send('{"type": "say", "text": "One more thing."}')
            await socket.send('{"type": "add_system_message", "system_message": "The shop closes at five."}')
            await socket.send('{"type": "generate_reply", "system_message": "The door has opened."}')
            await heard(socket, "assistant_ended_conversation")
        result = await where.over()
    said = [line.text for line in result.transcript if line.role == "agent"]
    assert "One more thing." in said
    notes = [message.content for message in where.mind.requests[-1].messages if message.role == "system"]
    assert notes[1:] == ["The shop closes at five.", "The door has opened."]
