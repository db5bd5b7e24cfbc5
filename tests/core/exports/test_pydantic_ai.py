"""The phone in pydantic-ai, beyond the contract: approval, retries, and what a model may write."""

from __future__ import annotations

from typing import Any

import pytest

from patter import PatterTool
from patter.testing.contract.phone import ANSWERS, BUSY, ContractPhone

pytest.importorskip("pydantic_ai")

from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

TEA = {"to": ANSWERS, "goal": "Tea"}


def model_that_asks(*uses: Any) -> FunctionModel:
    """Makes one use after another, whatever comes of them, then says a sentence."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        made = sum(isinstance(part, ToolCallPart) for message in messages for part in message.parts)
        if made == len(uses):
            return ModelResponse(parts=[TextPart("Done.")])
        return ModelResponse(parts=[ToolCallPart("make_phone_call", uses[made], f"call_{made}")])

    return FunctionModel(answer)


def agent(tool: PatterTool, *uses: Any, **options: Any) -> Agent[None, Any]:
    return Agent(
        model_that_asks(*uses), tools=[tool.to_pydantic_ai(**options)], output_type=[str, DeferredToolRequests]
    )


def answers(messages: list[ModelMessage]) -> list[Any]:
    """What the model read of its uses."""
    requests = [message for message in messages if isinstance(message, ModelRequest)]
    return [part for one in requests for part in one.parts if isinstance(part, ToolReturnPart | RetryPromptPart)]


def is_retry(part: Any) -> bool:
    """The framework asks the model to mend its arguments; later releases say it in a tool return."""
    return isinstance(part, RetryPromptPart) or part.outcome == "retried"


@pytest.mark.anyio
async def test_nobody_is_dialled_before_the_approval_and_one_approval_dials_once(phone: ContractPhone) -> None:
    caller = agent(phone.tool(), TEA, requires_approval=True)
    waiting = await caller.run("Call them.")
    assert isinstance(waiting.output, DeferredToolRequests) and phone.calls == []
    approved = DeferredToolResults(approvals={waiting.output.approvals[0].tool_call_id: True})
    for _ in range(2):
        done = await caller.run(message_history=waiting.all_messages(), deferred_tool_results=approved)
        assert done.output == "Done."
    assert len(phone.calls) == 1


@pytest.mark.anyio
async def test_a_use_that_was_denied_is_not_dialled(phone: ContractPhone) -> None:
    caller = agent(phone.tool(), TEA, requires_approval=True)
    waiting = await caller.run("Call them.")
    assert isinstance(waiting.output, DeferredToolRequests)
    denied = DeferredToolResults(approvals={waiting.output.approvals[0].tool_call_id: False})
    await caller.run(message_history=waiting.all_messages(), deferred_tool_results=denied)
    assert phone.calls == []


@pytest.mark.anyio
async def test_two_conversations_whose_models_number_alike_are_two_calls(phone: ContractPhone) -> None:
    caller = agent(phone.tool(), {"to": BUSY, "goal": "Tea"})
    await caller.run("Call them.")
    await caller.run("Call them.")
    assert len(phone.calls) == 2


@pytest.mark.anyio
async def test_wrong_arguments_are_a_retry_and_a_refusal_is_a_failure(phone: ContractPhone) -> None:
    tool = phone.tool(allowed_numbers=["+1555"])
    caller = agent(tool, {"to": "5550100"}, {"to": "+16505551234", "goal": "Tea"}, {"to": BUSY, "goal": "Tea"})
    messages = (await caller.run("Call them.")).all_messages()
    retry, refused, busy = answers(messages)
    assert is_retry(retry) and "to: " in str(retry.content)
    assert refused.outcome == "failed" and "not among the allowed numbers" in str(refused.content)
    assert busy.outcome == "success" and busy.metadata["call_id"] == phone.calls[0].sid
    assert len(phone.calls) == 1


@pytest.mark.anyio
async def test_a_model_that_does_not_mend_its_arguments_ends_the_run(phone: ContractPhone) -> None:
    with pytest.raises(UnexpectedModelBehavior):
        await agent(phone.tool(), *[{"to": "5550100"}] * 9).run("Call them.")
    assert phone.calls == []


@pytest.mark.anyio
@pytest.mark.parametrize("written", ['{"to": "+1555', "[]", "{}", {"self": 1, "context": 2, "args": 3}])
async def test_whatever_a_model_writes_can_be_mended(written: Any, phone: ContractPhone) -> None:
    run = await agent(phone.tool(), written, {"to": BUSY, "goal": "Tea"}).run("Call them.")
    assert [is_retry(part) for part in answers(run.all_messages())] == [True, False]
    assert len(phone.calls) == 1


@pytest.mark.anyio
async def test_events_reach_the_program(phone: ContractPhone) -> None:
    kinds: list[str] = []
    tool = phone.tool()
    caller = agent(tool, {"to": BUSY, "goal": "Tea"}, on_event=lambda event: kinds.append(event["type"]))
    await caller.run("Call them.")
    assert kinds[0] == "dialing" and kinds[-1] == "ended"
