"""The dispatch loops of the examples, with OpenAI's SDK and the emulator of OpenAI's models."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from patter.testing.contract.phone import ANSWERS, BUSY, ContractPhone
from patter.testing.emulators import OpenAIEmulator
from patter.testing.emulators.minds import Answer, CallTool, says
from patter.voice.base import Message, ToolSpec

pytest.importorskip("openai")

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
LOOPS = ("openai_dispatch_loop", "openai_responses_loop")


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> ModuleType:
    spec = importlib.util.spec_from_file_location(request.param, EXAMPLES / f"{request.param}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Script:
    """Makes the uses of one turn after another, then says what it read last. Keeps what it read and was offered."""

    def __init__(self, *turns: Sequence[dict[str, Any] | str]) -> None:
        self._turns = list(turns)
        self.read: list[str] = []
        self.offered: list[ToolSpec] = []

    def __call__(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
        self.offered = list(tools)
        self.read = [message.content for message in messages if message.role == "tool"]
        if self._turns:
            return says(*[CallTool("make_phone_call", use) for use in self._turns.pop(0)])
        return says(f"It was {json.loads(self.read[-1])['status']}.")


async def converse(loop: ModuleType, phone: ContractPhone, script: Script, monkeypatch: pytest.MonkeyPatch) -> str:
    async with OpenAIEmulator(script) as openai:
        monkeypatch.setenv("OPENAI_BASE_URL", openai.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", openai.api_key)
        said: str = await loop.converse(phone.tool(), "Call them.", loop.ask_openai)
    return said


@pytest.mark.anyio
async def test_a_model_calls_and_reads_the_envelope(
    loop: ModuleType, phone: ContractPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script([{"to": ANSWERS, "goal": "Tea", "first_message": None, "max_duration_sec": None}])
    assert await converse(loop, phone, script, monkeypatch) == "It was completed."
    assert json.loads(script.read[0])["call_id"] == phone.calls[0].sid
    (offered,) = script.offered
    parameters = phone.tool().openai_schema("responses", strict=True)["parameters"]
    assert (offered.name, offered.parameters) == ("make_phone_call", parameters)


@pytest.mark.anyio
async def test_two_uses_of_one_turn_are_two_calls(
    loop: ModuleType, phone: ContractPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script([{"to": ANSWERS, "goal": "Tea"}, {"to": BUSY, "goal": "Tea"}])
    assert await converse(loop, phone, script, monkeypatch) == "It was busy."
    assert [json.loads(text)["status"] for text in script.read] == ["completed", "busy"]


@pytest.mark.anyio
async def test_a_model_mends_what_it_wrote(
    loop: ModuleType, phone: ContractPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(['{"to": "+1555'], [{"to": "5550100", "goal": "Tea"}], [{"to": BUSY, "goal": "Tea"}])
    assert await converse(loop, phone, script, monkeypatch) == "It was busy."
    assert script.read[0].startswith("arguments: ") and script.read[1].startswith("to: ")
    assert len(phone.calls) == 1
