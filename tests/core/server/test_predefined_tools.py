"""Tools that are made once over the API, and carried out by whichever program is connected when a call needs them."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx2
import pytest
from tests.core.server.tool_desk import ASK, BYE, Desk, answer, desk, heard, inline
from tests.documents import GET_TEMPERATURE as WEATHER

from patter import InvalidArguments
from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.testing import reply
from patter.voice.base import ToolCall

pytestmark = pytest.mark.anyio

EVERYTHING = ["tools:read", "tools:write", "agents:read", "agents:write", "tools:serve"]
OPEN = {"first_message": None, "system_prompt": None}
KEYS = {"serving-key": {"permissions": EVERYTHING}}


async def api(where: Desk, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": "Bearer serving-key"}
    url = where.url.replace("ws", "http", 1).replace("/tools/ws", path)
    async with httpx2.AsyncClient(trust_env=False) as client:
        response = await client.request(method, url, json=body, headers=headers)
    assert response.is_success, response.text
    return response.json() if response.content else None


@pytest.mark.parametrize("config", [{}, {"tools": ["get_temperature"]}])
async def test_d04_d05_d06_a_tool_is_made_once_and_named_by_an_agent(config: dict[str, Any]) -> None:
    """The agent of the store and the agent that answers have one name, and are one agent."""
    async with desk(reply(ASK), reply("It is warm. Goodbye.", BYE), api_keys=KEYS, agent=OPEN) as where:
        made = await api(where, "POST", "/tools", WEATHER)
        assert made == {"id": made["id"], "name": "get_temperature"}
        async with where.connected(**config) as socket:
            await heard(socket, "ready_to_start_conversation")
            body = {"name": "desk", "tools": ["get_temperature"], "greeting": "Good day."}
            await api(where, "POST", "/agents", body)  # the client that is there already carries them out too
            await where.call_in()
            call = await answer(socket, {"temperature": "24°"})
            done = await heard(socket, "tool_call_output_processed")
        result = await where.over()
    assert (call["tool_name"], call["parameters"]) == ("get_temperature", {"city": "Bonn"})
    assert done["tool"] == {"id": made["id"], "name": "get_temperature"}
    assert where.results_told() == [{"temperature": "24°"}]
    assert result.transcript[0].text == "Good day."


async def test_d07_a_conversation_may_name_a_tool_that_its_agent_does_not() -> None:
    async with desk(reply(ASK), reply("It is warm. Goodbye.", BYE), api_keys=KEYS) as where:
        await api(where, "POST", "/tools", WEATHER)
        async with where.connected(tools=["get_temperature"]) as socket:
            await heard(socket, "ready_to_start_conversation")
            await where.call_in()
            await answer(socket, "24°")
            await where.over()
    assert where.mind.requests[-1].messages[-1].content == "24°"


async def test_d08_inline_tools_are_not_kept() -> None:
    async with desk(api_keys=KEYS) as where:
        async with where.connected(tools=[inline()]) as socket:
            await heard(socket, "ready_to_start_conversation")
            assert await api(where, "GET", "/tools") == []
            assert await api(where, "GET", "/agents/desk/tools") == []


async def test_c33_c34_an_edit_is_there_in_the_next_turn_of_a_call_that_goes_on() -> None:
    caller = scripted(Listen(), Say("How warm is it?"), Listen(), Say("And now?"), Listen(), Wait(0.3))
    async with desk(reply(ASK), "It is warm.", reply(ASK), reply("Gone. Goodbye.", BYE), api_keys=KEYS) as where:
        body = {"name": "get_temperature", "description": "Gets the temperature of a city.", "config": {}}
        made = await api(where, "POST", "/agents/desk/tools", {**body, "tool_type": "custom_websocket"})
        async with where.connected() as socket:
            await heard(socket, "ready_to_start_conversation")
            await where.call_in(caller)
            await answer(socket, "24°")
            await heard(socket, "tool_call_output_processed")
            await api(where, "DELETE", f"/agents/desk/tools/{made['id']}")
            await where.over()
    told = [message.content for message in where.mind.requests[-1].messages if message.role == "tool"]
    assert told == ["24°", '{"error": "unknown_tool"}']
    assert where.mind.requests[-1].tools == ("end_call",)


async def test_d15_d17_async_tools_and_sync_ones_are_answered_by_one_handler() -> None:
    slow = ToolCall("1", "order_taxi", '{"city": "Bonn"}')
    caller = scripted(
        Listen(), Say("A taxi, please."), Listen(), Listen(timeout_s=3), Say("Thank you."), Listen(), Wait(0.3)
    )
    steps = [reply(slow, ASK), "I have asked for one.", "It comes at eight.", reply("Goodbye.", BYE)]
    tools = [inline("order_taxi", execution_mode="async", wait_for_response=True), inline()]
    async with desk(*steps) as where, where.connected(tools=tools) as socket:
        await heard(socket, "ready_to_start_conversation")
        await where.call_in(caller)
        calls = {(call := await heard(socket, "tool_call"))["tool_name"]: call for _ in range(2)}
        for name, output in (("get_temperature", "24°"), ("order_taxi", "at eight")):
            message = {"type": "tool_call_output", "tool_call_id": calls[name]["tool_call_id"], "output": output}
            await socket.send(json.dumps(message))
            if name == "get_temperature":
                await heard(socket, "tool_call_output_processed")
                await anyio.sleep(0.5)  # the agent talks on
        result = await where.over()
    told = [message.content for message in where.mind.requests[1].messages if message.role == "tool"]
    assert json.loads(told[0])["status"] == "pending"
    assert told[1] == "24°"
    assert "The tool order_taxi has answered: at eight" in [one.content for one in where.mind.requests[2].messages]
    assert "It comes at eight." in [line.text for line in result.transcript]


async def test_x01_an_agent_whose_prompt_is_in_the_store_needs_no_goal() -> None:
    async with desk(reply("Goodbye.", BYE), api_keys=KEYS, agent=OPEN) as where:
        agent = where.phone.agent(name="desk")
        with pytest.raises(InvalidArguments, match="goal"):
            await where.phone.call("+15550100199", agent=agent)
        await api(where, "POST", "/agents", {"name": "desk", "system_prompt": "Say goodbye."})
        assert (await where.phone.call("+15550100199", agent=agent)).status == "completed"
