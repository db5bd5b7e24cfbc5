"""LlamaIndex tools and retrievers as tools of a call."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.response.schema import Response
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import BaseTool, FunctionTool, QueryEngineTool, ToolMetadata, ToolOutput
from llama_index.core.workflow import Context
from tests.llamaindex.conftest import MakeLine
from tests.llamaindex.scripted import ScriptedLLM, calls

from patter import ConfigError, PatterTool
from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.tools.model import Tool
from patter.tools.runner import ToolRunner
from patter_llamaindex import LlamaIndexLLM, PatterFunctionTool, in_call_tools, retriever_tool

pytestmark = pytest.mark.anyio


async def use(tool: Tool, arguments: dict[str, Any], *, timeout_s: float = 5.0) -> str:
    """What the mind reads of a use, by the runner of a call."""
    runner = ToolRunner([tool], timeout_s=timeout_s, context=dict)
    return (await runner.run("t1", tool.name, arguments)).output


def only(tool: BaseTool) -> Tool:
    (converted,) = in_call_tools([tool])
    return converted


def price(item: str, count: int = 1) -> dict[str, Any]:
    """Look a price up."""
    return {"item": item, "price": 4.5 * count, "thread": threading.current_thread().name}


async def test_a_sync_function_runs_in_a_thread_and_its_value_is_json() -> None:
    tool = only(FunctionTool.from_defaults(price))
    assert tool.name == "price"
    assert "Look a price up." in tool.description
    assert tool.parameters["required"] == ["item"]
    told = json.loads(await use(tool, {"item": "tea ü", "count": 2}))
    assert (told["item"], told["price"]) == ("tea ü", 9.0)
    assert told["thread"] != threading.current_thread().name


async def test_an_async_function_runs_on_the_loop() -> None:
    async def where() -> str:
        return threading.current_thread().name

    assert await use(only(FunctionTool.from_defaults(async_fn=where)), {}) == threading.current_thread().name


class Quote(BaseModel):
    item: str
    price: float


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("as it is", "as it is"),
        (Quote(item="tea", price=4.5), '{"item": "tea", "price": 4.5}'),
        ([1, None, {"a": (2, 3)}], '[1, null, {"a": [2, 3]}]'),
        ({"odd": float("nan"), "what": threading}, None),
        (7, "7"),
    ],
)
async def test_a_value_is_told_as_json_and_not_as_python(value: Any, told: str | None) -> None:
    output = await use(only(FunctionTool.from_defaults(lambda: value, name="get", description="Gets.")), {})
    if told is None:
        assert json.loads(output)["odd"] is None
    else:
        assert output == told


async def test_a_text_that_a_callback_put_in_its_place_is_told() -> None:
    tool = FunctionTool.from_defaults(price, callback=lambda value: f"It is {value['price']}.")
    assert await use(only(tool), {"item": "tea"}) == "It is 4.5."


async def test_wrong_arguments_and_errors_are_told_by_the_rules_of_a_call() -> None:
    def fails(item: str) -> str:
        raise RuntimeError("sk-secret-4242")

    tool = only(FunctionTool.from_defaults(fails))
    assert "invalid_arguments" in await use(tool, {"item": 3})
    assert await use(tool, {"item": "tea"}) == '{"error": "handler_error"}'


class Failed(BaseTool):
    """No async tool, and reports its error as an output."""

    @property
    def metadata(self) -> ToolMetadata:
        return ToolMetadata(name="failed", description="Fails.")

    def __call__(self, input: Any) -> ToolOutput:
        text = f"Encountered error: sk-secret-4242 {input}"
        return ToolOutput(content=text, tool_name="failed", raw_input={}, raw_output=text, is_error=input != "fine")


async def test_an_output_that_is_an_error_is_not_told() -> None:
    assert await use(only(Failed()), {"input": "tea"}) == '{"error": "handler_error"}'
    assert "fine" in await use(only(Failed()), {"input": "fine"})


class Hours(BaseQueryEngine):
    def __init__(self) -> None:
        super().__init__(callback_manager=CallbackManager())

    def _get_prompt_modules(self) -> dict[str, Any]:
        return {}

    def _query(self, query_bundle: QueryBundle) -> Response:
        return Response(response=f"Asked {query_bundle.query_str}: nine to five.")

    async def _aquery(self, query_bundle: QueryBundle) -> Response:
        raise NotImplementedError


async def test_a_query_engine_is_asked_in_a_thread() -> None:
    tool = only(QueryEngineTool.from_defaults(Hours(), name="hours", description="Opening hours."))
    assert await use(tool, {"input": "today"}) == "Asked today: nine to five."


async def test_what_cannot_be_used_in_a_call_is_refused_with_a_reason(make_line: MakeLine) -> None:
    async def needs_context(ctx: Context, item: str) -> str:
        return item

    with pytest.raises(ConfigError, match="schema cannot be read"):  # "Context" is but a string here
        in_call_tools([FunctionTool.from_defaults(async_fn=needs_context)])
    needs_context.__annotations__["ctx"] = Context
    with pytest.raises(ConfigError, match="a phone call has none"):
        in_call_tools([FunctionTool.from_defaults(async_fn=needs_context)])
    with pytest.raises(ConfigError, match="a phone call has none"):
        in_call_tools([PatterFunctionTool(phone=make_line().phone)])
    with pytest.raises(ConfigError, match="function is none"):
        in_call_tools([price])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="name"):
        in_call_tools([FunctionTool.from_defaults(price, name="price of tea")])


class Shelf(BaseRetriever):
    """Finds the same three passages, and notes what it was asked and where."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.threads: set[str] = set()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        self.asked.append(query_bundle.query_str)
        self.threads.add(threading.current_thread().name)
        return [
            NodeWithScore(node=TextNode(text="Open from nine to five."), score=0.91234),
            NodeWithScore(node=TextNode(text="Closed on Sundays.")),
            NodeWithScore(node=TextNode(text="Parking is free."), score=0.1),
        ]


async def test_a_retriever_gives_its_best_passages_as_json() -> None:
    shelf = Shelf()
    tool = retriever_tool(shelf, top_k=2)
    assert json.loads(await use(tool, {"query": "hours"})) == [
        {"text": "Open from nine to five.", "score": 0.912},
        {"text": "Closed on Sundays."},
    ]
    assert shelf.asked == ["hours"]
    assert threading.current_thread().name not in shelf.threads
    assert "invalid_arguments" in await use(tool, {"query": ""})


async def test_passages_are_cut_to_what_may_be_read() -> None:
    told = json.loads(await use(retriever_tool(Shelf(), max_chars=7), {"query": "hours"}))
    assert [passage["text"] for passage in told] == ["Open fr", "Closed ", "Parking"]


async def test_a_retriever_tool_is_checked() -> None:
    with pytest.raises(ConfigError, match="str is none"):
        retriever_tool("docs")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="top_k"):
        retriever_tool(Shelf(), top_k=0)


async def test_a_retriever_is_used_in_a_call(make_line: MakeLine) -> None:
    shelf = Shelf()
    llm = ScriptedLLM(
        calls("search_knowledge", ("t1", {"query": "opening hours"})),
        ["From nine to five. Goodbye.", calls("end_call", ("t2", {}))],
    )
    callee = scripted(Say("When are you open?"), Listen(), Wait(0.5))
    line = make_line(callee, llm=LlamaIndexLLM(llm))
    assert line.phone.default_agent is not None
    agent = replace(line.phone.default_agent, tools=[retriever_tool(shelf)])
    result = await PatterTool(line.phone, agent).execute(to="+15550100199", goal="Answer questions.")
    assert [entry.text for entry in result.transcript] == ["When are you open?", "From nine to five. Goodbye."]
    assert shelf.asked == ["opening hours"]
    assert "nine to five" in str([message.content for message in llm.asked[1] if message.role == "tool"])
    assert result.details is not None
    assert result.details.tool_calls[0].name == "search_knowledge"
