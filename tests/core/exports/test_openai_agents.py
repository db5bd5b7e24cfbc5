"""The phone in the OpenAI Agents SDK, beyond the contract: approval, items, and what a model may write."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from patter import PatterTool
from patter.testing.contract.phone import ANSWERS, BUSY, ContractPhone
from patter.tool import ToolAnswer

agents = pytest.importorskip("agents")

from openai.types.responses import (  # noqa: E402
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)


class OneCall(agents.Model):  # type: ignore[misc]
    """Wants one call, reads what came of it, and says a sentence."""

    def __init__(self, arguments: str) -> None:
        self._arguments = arguments
        self.read: list[str] = []

    async def get_response(self, system_instructions: str | None, input: Any, *args: Any, **kwargs: Any) -> Any:
        self.read = [item["output"] for item in input if item.get("type") == "function_call_output"]
        if self.read:
            text = ResponseOutputText(text="Done.", type="output_text", annotations=[])
            item: Any = ResponseOutputMessage(
                id="m", content=[text], role="assistant", status="completed", type="message"
            )
        else:
            item = ResponseFunctionToolCall(
                call_id="call_1", name="make_phone_call", arguments=self._arguments, type="function_call"
            )
        return agents.ModelResponse(output=[item], usage=agents.Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        raise NotImplementedError


def caller(tool: PatterTool, arguments: str, **options: Any) -> tuple[Any, OneCall]:
    model = OneCall(arguments)
    return agents.Agent("caller", model=model, tools=[tool.to_openai_agents(**options)]), model


TEA = json.dumps({"to": ANSWERS, "goal": "Tea", "first_message": None, "max_duration_sec": None})


@pytest.mark.anyio
async def test_nobody_is_dialled_before_the_approval(phone: ContractPhone) -> None:
    agent, model = caller(phone.tool(), TEA, needs_approval=True)
    waiting = await agents.Runner.run(agent, "Call them.")
    assert len(waiting.interruptions) == 1 and phone.calls == []
    state = waiting.to_state()
    state.approve(waiting.interruptions[0])
    await agents.Runner.run(agent, state)
    assert len(phone.calls) == 1
    assert json.loads(model.read[0])["status"] == "completed"


@pytest.mark.anyio
async def test_a_use_that_was_rejected_is_not_dialled(phone: ContractPhone) -> None:
    agent, _ = caller(phone.tool(), TEA, needs_approval=True)
    waiting = await agents.Runner.run(agent, "Call them.")
    state = waiting.to_state()
    state.reject(waiting.interruptions[0])
    assert (await agents.Runner.run(agent, state)).final_output == "Done."
    assert phone.calls == []


@pytest.mark.anyio
async def test_an_approved_state_that_is_resumed_twice_dials_once(phone: ContractPhone) -> None:
    agent, model = caller(phone.tool(), TEA, needs_approval=True)
    waiting = await agents.Runner.run(agent, "Call them.")
    state = waiting.to_state()
    state.approve(waiting.interruptions[0])
    saved = state.to_json()
    for _ in range(2):
        await agents.Runner.run(agent, await agents.RunState.from_json(agent, saved))
        assert json.loads(model.read[0])["status"] == "completed"
    assert len(phone.calls) == 1


@pytest.mark.anyio
async def test_the_program_finds_the_envelope_among_the_items_and_can_save_the_run(phone: ContractPhone) -> None:
    agent, model = caller(phone.tool(), TEA)
    run = await agents.Runner.run(agent, "Call them.")
    (answer,) = [item.output for item in run.new_items if item.type == "tool_call_output_item"]
    assert isinstance(answer, ToolAnswer) and answer.result is not None
    assert answer.result.call_id == phone.calls[0].sid
    assert answer.text == model.read[0]
    assert answer.text in json.dumps(run.to_state().to_json(), ensure_ascii=False).replace('\\"', '"')


@pytest.mark.anyio
@pytest.mark.parametrize("written", ['{"to": "+1555', "[]", '"call them"', "null", "{}"])
async def test_what_is_no_object_is_an_error_that_the_model_reads(written: str, phone: ContractPhone) -> None:
    agent, model = caller(phone.tool(), written)
    await agents.Runner.run(agent, "Call them.")
    assert model.read[0].startswith(("arguments: ", "to: "))
    assert phone.calls == []


@pytest.mark.anyio
async def test_events_reach_the_program(phone: ContractPhone) -> None:
    kinds: list[str] = []
    arguments = json.dumps({"to": BUSY, "goal": "Tea"})
    agent, _ = caller(phone.tool(), arguments, on_event=lambda event: kinds.append(event["type"]))
    await agents.Runner.run(agent, "Call them.")
    assert kinds[0] == "dialing" and kinds[-1] == "ended"


def test_the_schema_is_that_of_the_strict_exporter(phone: ContractPhone) -> None:
    tool = phone.tool()
    native = tool.to_openai_agents()
    strict = tool.openai_schema("responses", strict=True)
    assert native.strict_json_schema
    assert native.params_json_schema == strict["parameters"]
