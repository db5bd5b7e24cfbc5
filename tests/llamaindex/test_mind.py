"""A LlamaIndex LLM as the mind: what it is asked, what it answers, how it fails, and a whole call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import anyio
import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.llms.custom import CustomLLM
from tests.llamaindex.conftest import MakeLine
from tests.llamaindex.scripted import ScriptedLLM, calls

from patter import ConfigError, PatterTool, ProviderError, Tool
from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.voice.base import Delta, Message, ToolCall, ToolSpec, Usage
from patter_llamaindex import LlamaIndexLLM

pytestmark = pytest.mark.anyio

ASKED = [Message("system", "You are on the phone."), Message("user", "Hello?")]
PARAMETERS = {
    "type": "object",
    "properties": {"day": {"$ref": "#/$defs/Day"}},
    "required": ["day"],
    "$defs": {"Day": {"enum": ["mon", "tue"]}},
}
LOOK_UP = ToolSpec("look_up", "Looks a day up.", PARAMETERS)


async def answer(
    mind: LlamaIndexLLM, messages: Sequence[Message] = ASKED, tools: Sequence[ToolSpec] = ()
) -> list[Delta]:
    async with mind.stream(messages, tools) as deltas:
        return [delta async for delta in deltas]


async def test_text_comes_in_pieces_and_usage_at_the_end() -> None:
    told = {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}
    llm = ScriptedLLM(["Good ", "day."], told=told)
    assert await answer(LlamaIndexLLM(llm)) == ["Good ", "day.", Usage(20, 4)]
    assert [(message.role.value, message.content) for message in llm.asked[0]] == [
        ("system", "You are on the phone."),
        ("user", "Hello?"),
    ]


async def test_a_tool_is_offered_with_its_schema_and_its_call_comes_back() -> None:
    llm = ScriptedLLM(["One moment.", calls("look_up", ("t1", {"day": "Dienstag ü"}))])
    deltas = await answer(LlamaIndexLLM(llm), tools=[LOOK_UP])
    assert deltas == ["One moment.", ToolCall("t1", "look_up", '{"day": "Dienstag ü"}')]
    assert llm.offered == [[{"name": "look_up", "description": "Looks a day up.", "parameters": PARAMETERS}]]


async def test_tool_calls_of_the_history_and_their_results_are_told() -> None:
    history = [
        *ASKED,
        Message("assistant", "", tool_calls=(ToolCall("t1", "look_up", '{"day": "mon"}'),)),
        Message("tool", '{"free": true}', tool_call_id="t1"),
    ]
    llm = ScriptedLLM("Monday is free.")
    await answer(LlamaIndexLLM(llm), history, [LOOK_UP])
    used, result = llm.asked[0][2:]
    assert used.blocks == [ToolCallBlock(tool_call_id="t1", tool_name="look_up", tool_kwargs={"day": "mon"})]
    assert (result.role.value, result.content) == ("tool", '{"free": true}')
    assert result.additional_kwargs == {"tool_call_id": "t1"}


@pytest.mark.parametrize("given", ["", "look_up"])
async def test_a_name_in_the_place_of_an_id_is_told_as_it_was(given: str) -> None:
    llm = ScriptedLLM(calls("look_up", (given, {"day": "mon"}), (given, {"day": "tue"})), "Thanks.")
    mind = LlamaIndexLLM(llm)
    used = [delta for delta in await answer(mind, tools=[LOOK_UP]) if isinstance(delta, ToolCall)]
    assert [call.id for call in used] == ["look_up", "look_up"]
    used[1] = replace(used[1], id="look_up-2")  # as the phone makes it unique
    results = [Message("tool", "free", tool_call_id=call.id) for call in used]
    await answer(mind, [*ASKED, Message("assistant", "", tool_calls=tuple(used)), *results], [LOOK_UP])
    told = [block.tool_call_id for block in llm.asked[1][2].blocks if isinstance(block, ToolCallBlock)]
    assert told == ["look_up", "look_up"]
    assert [message.additional_kwargs["tool_call_id"] for message in llm.asked[1][3:]] == ["look_up", "look_up"]


async def test_the_order_of_the_history_is_one_that_every_vendor_takes() -> None:
    llm = ScriptedLLM("Yes.")
    history = [ASKED[0], Message("assistant", "Hello."), Message("system", "They pressed 1."), Message("user", " ")]
    await answer(LlamaIndexLLM(llm), history)
    assert [(message.role.value, message.content) for message in llm.asked[0]] == [
        ("system", "You are on the phone."),
        ("user", "[The call was answered.]"),
        ("assistant", "Hello."),
        ("user", "[They pressed 1.]"),
    ]


async def test_a_model_that_calls_no_functions_is_asked_without_tools() -> None:
    llm = ScriptedLLM("Good day.", functions=False)
    history = [
        *ASKED,
        Message("assistant", "", tool_calls=(ToolCall("t1", "look_up", "{}"),)),
        Message("tool", "free", tool_call_id="t1"),
    ]
    assert await answer(LlamaIndexLLM(llm), history, [LOOK_UP]) == ["Good day."]
    assert llm.offered == [[]]
    assert [message.role.value for message in llm.asked[0]] == ["system", "user"]


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({"usage": {"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 90}}, Usage(95, 2, 90)),
        ({"usage_metadata": {"prompt_token_count": 7, "candidates_token_count": 3}}, Usage(7, 3)),
        (
            {"usage": {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 8}}},
            Usage(9, 1, 8),
        ),
    ],
)
async def test_usage_is_read_as_the_vendors_tell_it(raw: dict[str, Any], usage: Usage) -> None:
    from patter_llamaindex.messages import read_usage

    response = ChatResponse(message=ChatMessage(role="assistant", content="Hi"), raw=raw)
    assert read_usage(response) == usage


async def test_leaving_the_context_stops_the_generation() -> None:
    llm = ScriptedLLM(["Good ", 600.0, "day."])
    async with LlamaIndexLLM(llm).stream(ASKED, ()) as deltas:
        assert await anext(deltas) == "Good "
    assert llm.left == 1


class Refusal(Exception):
    def __init__(self, status_code: int) -> None:
        super().__init__("key sk-secret-4242 is bad")
        self.status_code = status_code
        self.body = {"error": {"code": "bad_key", "message": "key sk-secret-4242"}}


@pytest.mark.parametrize(
    ("error", "says", "retryable"),
    [
        (Refusal(401), "check the api_key of ScriptedLLM", False),
        (Refusal(429), "too many", True),
        (ConnectionError("sk-secret-4242"), "cannot be reached", True),
        (ValueError("sk-secret-4242"), "failed with ValueError", False),
    ],
)
async def test_an_error_says_what_to_do_and_no_secret(error: Exception, says: str, retryable: bool) -> None:
    with pytest.raises(ProviderError, match=says) as raised:
        await answer(LlamaIndexLLM(ScriptedLLM([error])))
    assert (raised.value.stage, raised.value.retryable) == ("llm", retryable)
    assert "sk-secret" not in str(raised.value)


async def test_an_empty_answer_and_an_endless_one_are_errors() -> None:
    with pytest.raises(ProviderError, match="empty answer"):
        await answer(LlamaIndexLLM(ScriptedLLM([""])))
    with pytest.raises(ProviderError, match="without finishing"):
        await answer(LlamaIndexLLM(ScriptedLLM([])))
    with pytest.raises(ProviderError, match="more than anybody could say"):
        await answer(LlamaIndexLLM(ScriptedLLM(["la " * 1000] * 9)))


class Blocking(CustomLLM):
    """Has only blocking methods, and notes the threads they ran in."""

    _threads: set[str] = PrivateAttr(default_factory=set)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="blocking")

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        def responses() -> Any:
            for text in ("Good ", "day."):
                self._threads.add(threading.current_thread().name)
                yield CompletionResponse(text="", delta=text)

        return responses()


async def test_a_blocking_model_does_not_run_on_the_loop() -> None:
    llm = Blocking()
    assert await answer(LlamaIndexLLM(llm), tools=[LOOK_UP]) == ["Good ", "day."]
    assert threading.current_thread().name not in llm._threads  # its own double
    assert llm._threads


class OpenAILike(ScriptedLLM):
    @classmethod
    def class_name(cls) -> str:
        return "openai_llm"


async def test_the_price_table_knows_it_where_it_can() -> None:
    assert LlamaIndexLLM(ScriptedLLM()).model == "llamaindex/ScriptedLLM"
    assert LlamaIndexLLM(OpenAILike()).model == "openai/scripted"
    assert LlamaIndexLLM(ScriptedLLM(), model="local/llama").model == "local/llama"


class Unknown(ScriptedLLM):
    @property
    def metadata(self) -> LLMMetadata:
        raise ValueError("Unknown model sk-secret-4242")


async def test_what_is_no_llm_is_refused_with_a_reason() -> None:
    with pytest.raises(ConfigError, match="str is none"):
        LlamaIndexLLM("gpt")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="check its model") as raised:
        LlamaIndexLLM(Unknown())
    assert "sk-secret" not in str(raised.value)


async def test_a_whole_call_with_a_tool(make_line: MakeLine) -> None:
    asked: list[dict[str, Any]] = []
    tool = Tool(
        name="look_up",
        description="Looks a day up.",
        parameters=PARAMETERS,
        handler=lambda arguments, context: {"free": not asked.append(arguments)},  # type: ignore[func-returns-value]
    )
    llm = ScriptedLLM(
        calls("look_up", ("t1", {"day": "mon"})),
        ["Monday is free. ", "Goodbye.", calls("end_call", ("t2", {}))],
        told={"prompt_tokens": 30, "completion_tokens": 6},
    )
    callee = scripted(Say("Is Monday free?"), Listen(), Wait(0.5))
    line = make_line(callee, llm=LlamaIndexLLM(llm))
    assert line.phone.default_agent is not None
    agent = replace(line.phone.default_agent, tools=[tool])
    result = await PatterTool(line.phone, agent).execute(to="+15550100199", goal="Say if Monday is free.")
    assert result.status == "completed"
    assert [(entry.role, entry.text) for entry in result.transcript] == [
        ("user", "Is Monday free?"),
        ("agent", "Monday is free. Goodbye."),
    ]
    assert asked == [{"day": "mon"}]
    assert '{"free": true}' in [message.content for message in llm.asked[1]]
    assert result.details is not None
    assert "llm" not in result.details.cost.estimated
    assert result.details.cost.unpriced == ["llm_input:llamaindex/ScriptedLLM", "llm_output:llamaindex/ScriptedLLM"]


async def test_it_is_asked_on_the_loop_that_awaits_the_call(make_line: MakeLine) -> None:
    loops: list[Any] = []

    class Where(ScriptedLLM):
        def _next(self, *args: Any) -> Any:
            loops.append(asyncio.get_running_loop())
            return super()._next(*args)

    llm = Where(*[["Goodbye.", calls("end_call", ("t1", {}))]] * 2)
    line = make_line(llm=LlamaIndexLLM(llm))
    await PatterTool(line.phone).execute(to="+15550100199", goal="Tea")
    assert loops == [asyncio.get_running_loop()]
    # Plain code on a running loop keeps it busy.
    PatterTool(line.phone).execute_sync(to="+15550100199", goal="Tea")
    assert len(loops) == 2
    assert loops[1] is not asyncio.get_running_loop()


async def test_a_call_whose_mind_fails_is_a_failed_envelope(make_line: MakeLine) -> None:
    line = make_line(llm=LlamaIndexLLM(ScriptedLLM(*[[Refusal(401)] for _ in range(5)])))
    with anyio.fail_after(20):
        result = await PatterTool(line.phone).execute(to="+15550100199", goal="Tea")
    assert result.status == "failed"
    assert "sk-secret" not in result.to_json()
    assert len(line.dials) == 1
