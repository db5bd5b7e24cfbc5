"""LangChainLLM: a chat model or a graph as the mind, asked by itself and in calls on the local network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, TypedDict

import anyio
import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, SystemMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from tests.langchain.conftest import MakeTool
from tests.langchain.scripted import TO, ScriptedModel, exchange, use, uses

from patter import ConfigError, ProviderError
from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.voice.base import CallContext, Delta, Message, PerCallChatModel, ToolCall, ToolSpec, Usage
from patter_langchain import LangChainLLM, PatterLangChainTool, end_call

HISTORY = [Message("system", "You are on the phone."), Message("user", "Hello?")]
HANG_UP = ToolSpec("end_call", "Hang up.", {"type": "object", "properties": {}})
LOOK_UP = ToolSpec("look_up", "Look it up.", {"type": "object", "properties": {}})
CALL = CallContext(call_id="CA1", caller="+15550001234", callee=TO)

pytestmark = pytest.mark.anyio


def usage(input_tokens: int, output_tokens: int) -> Any:
    return {"input_tokens": input_tokens, "output_tokens": output_tokens, "total_tokens": input_tokens + output_tokens}


async def ask(mind: Any, history: Sequence[Message] = HISTORY, tools: Sequence[ToolSpec] = (HANG_UP,)) -> list[Delta]:
    async with mind.stream(history, tools) as stream:
        return [delta async for delta in stream]


def text_of(deltas: Sequence[Delta]) -> str:
    return "".join(delta for delta in deltas if isinstance(delta, str))


class Priced(ScriptedModel):
    """A chat model with a name that the price table may know."""

    model_name: str = "gpt-5.4-mini"


class ChatOpenAI(Priced):
    """Named as langchain-openai's."""


class AzureChatOpenAI(Priced):
    """Named, and naming itself, as langchain-openai's."""

    def _get_ls_params(self, *args: Any, **kwargs: Any) -> Any:
        return {"ls_provider": "azure", "ls_model_name": self.model_name}


class ChatGroq(Priced):
    """Named as langchain-groq's."""


# --- a chat model --------------------------------------------------------------------------------


async def test_a_chat_model_streams_its_words_its_calls_and_its_usage() -> None:
    answer = uses(("c9", {"reason": "other"}), name="end_call", text="Good bye now.")
    answer.usage_metadata = usage(20, 5) | {"input_token_details": {"cache_read": 8}}
    model = ScriptedModel(script=[answer], words=True)
    deltas = await ask(LangChainLLM(model))
    assert [delta for delta in deltas if isinstance(delta, str)] == ["Good ", "bye ", "now. ", "\n"]
    assert ToolCall("c9", "end_call", '{"reason": "other"}') in deltas
    assert Usage(20, 5, 8) in deltas
    assert model.offered == ["end_call"]


async def test_the_history_is_told_in_langchains_words() -> None:
    model = ScriptedModel(script=["Yes."])
    call = ToolCall("c1", "look_up", '{"day": "Monday"}')
    history = [
        *HISTORY,
        Message("assistant", "One moment.", tool_calls=(call,)),
        Message("tool", "", tool_call_id="c1"),
        Message("system", "The other side pressed 1 on the keypad."),
    ]
    await ask(LangChainLLM(model), history)
    told = [(message.type, message.text) for message in model.asked[0]]
    assert told == [
        ("system", "You are on the phone."),
        ("human", "Hello?"),
        ("ai", "One moment."),
        ("tool", ""),
        ("human", "[The other side pressed 1 on the keypad.]"),
    ]
    assert model.asked[0][2].tool_calls[0]["args"] == {"day": "Monday"}  # type: ignore[attr-defined]
    assert model.asked[0][3].name == "look_up"


async def test_a_history_without_the_user_begins_and_ends_with_one() -> None:
    model = ScriptedModel(script=["Yes.", "Yes."])
    mind = LangChainLLM(model)
    await ask(mind, HISTORY[:1])
    await ask(mind, [HISTORY[0], Message("assistant", "Good day.")])
    assert [[message.type for message in asked] for asked in model.asked] == [
        ["system", "human"],
        ["system", "human", "ai", "human"],
    ]


async def test_calls_without_an_id_get_one_and_broken_arguments_are_passed_on() -> None:
    broken = AIMessage("", invalid_tool_calls=[{"name": "look_up", "args": "{oops", "id": None, "error": None}])

    class Whole(ScriptedModel):
        """A model that does not stream."""

        async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
            return self._generate(messages)

        _stream = BaseChatModel._stream

    assert await ask(LangChainLLM(Whole(script=[broken]))) == [ToolCall("call", "look_up", "{oops")]


async def test_what_is_bound_to_a_model_stays_bound_when_tools_are_offered() -> None:
    seen: list[Any] = []

    class Keeps(ScriptedModel):
        def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(kwargs)
            return super()._stream(messages)

    model = Keeps(script=["Yes."])
    await ask(LangChainLLM(model.bind(temperature=0.5).with_retry().with_config(tags=["x"])))
    assert seen[0]["temperature"] == 0.5
    assert model.offered == ["end_call"]


async def test_a_model_without_tools_is_asked_without_them() -> None:
    class NoTools(ScriptedModel):
        bind_tools = BaseChatModel.bind_tools

    assert await ask(LangChainLLM(NoTools(script=["Yes."]))) == ["Yes."]


def test_what_cannot_be_a_mind_is_refused() -> None:
    with pytest.raises(ConfigError, match="runnable, not str"):
        LangChainLLM("gpt-5.4-mini")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="in_call_tools"):
        LangChainLLM(ScriptedModel(script=[]).bind(tools=[]).with_config(tags=["x"]))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (ChatOpenAI(script=[]), "openai/gpt-5.4-mini"),
        (ChatOpenAI(script=[]).bind(stop=["."]), "openai/gpt-5.4-mini"),
        (ChatGroq(script=[], model_name="llama-4"), "groq/llama-4"),
        (AzureChatOpenAI(script=[]), "openai/gpt-5.4-mini"),
        (ScriptedModel(script=[]), "langchain/ScriptedModel"),
        (RunnableLambda(lambda _: "x"), "langchain/RunnableLambda"),
    ],
)
def test_the_price_table_finds_the_model(model: Any, name: str) -> None:
    mind = LangChainLLM(model)
    assert mind.model == name
    assert LangChainLLM(model, name="openai/x").model == "openai/x"


class VendorError(Exception):
    def __init__(self, status_code: int) -> None:
        super().__init__("secret: sk-1 said 'my number is 555'")
        self.status_code = status_code


class ReadTimeout(Exception):
    pass


class GoogleError(Exception):
    code = 403


@pytest.mark.parametrize(
    ("error", "words", "retryable"),
    [
        (VendorError(401), "ChatOpenAI does not accept the key; check OPENAI_API_KEY", False),
        (VendorError(429), "ChatOpenAI turns requests away", True),
        (VendorError(503), "ChatOpenAI failed; try again later", True),
        (GoogleError("secret"), "may not use this at ChatOpenAI", False),
        (ReadTimeout("secret"), "did not answer in time", True),
        (ConnectionResetError("secret"), "cannot be reached, or broke off", True),
        (KeyError("secret"), "ChatOpenAI failed with KeyError", False),
        (ProviderError("llm", "As it is."), "As it is.", False),
    ],
)
async def test_an_error_says_cause_and_remedy_and_no_secret(error: Exception, words: str, retryable: bool) -> None:
    with pytest.raises(ProviderError) as caught:
        await ask(LangChainLLM(ChatOpenAI(script=[error])))
    assert words in str(caught.value)
    assert (caught.value.stage, caught.value.retryable) == ("llm", retryable)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_an_empty_answer_and_an_endless_one_are_errors() -> None:
    with pytest.raises(ProviderError, match="empty answer"):
        await ask(LangChainLLM(ScriptedModel(script=[""])))
    with pytest.raises(ProviderError, match="more than anybody could say"):
        await ask(LangChainLLM(ScriptedModel(script=["x" * 9000])))


class Endless(BaseChatModel):
    """Writes for ever, and notes when it is stopped."""

    began: Any
    stopped: Any

    @property
    def _llm_type(self) -> str:
        return "endless"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        try:
            while True:
                yield ChatGenerationChunk(message=AIMessageChunk(content="word "))
                self.began.set()
                await anyio.sleep(0.001)
        finally:
            self.stopped.set()


@pytest.mark.parametrize("kind", ["chat", "graph"])
async def test_leaving_the_answer_stops_who_writes_it(kind: str) -> None:
    began, stopped = anyio.Event(), anyio.Event()
    model = Endless(began=began, stopped=stopped)
    mind = LangChainLLM(model if kind == "chat" else create_agent(model))
    with anyio.fail_after(5):
        async with mind.stream(HISTORY, ()) as stream:
            assert await anext(stream) == "word "
            await began.wait()
        await stopped.wait()


# --- a graph -------------------------------------------------------------------------------------


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def graph_of(node: Any, **options: Any) -> Any:
    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile(**options)


@tool
def look_up(day: str = "today") -> str:
    """Look up what is free."""
    return "three and four"


async def test_a_graph_speaks_while_it_writes_and_runs_its_own_tools() -> None:
    first = uses(("t1", {"day": "Monday"}), name="look_up", text="Let me see.")
    first.usage_metadata = usage(10, 2)
    second = AIMessage("Three or four.")
    second.usage_metadata = usage(30, 4)
    model = ScriptedModel(script=[first, second])
    deltas = await ask(LangChainLLM(create_agent(model, [look_up])), tools=[HANG_UP, LOOK_UP])
    assert [delta for delta in deltas if isinstance(delta, str)] == ["Let me see.", "\n", "Three or four."]
    assert not [delta for delta in deltas if isinstance(delta, ToolCall)]
    usages = [delta for delta in deltas if isinstance(delta, Usage)]
    assert (usages[-1].input_tokens, usages[-1].output_tokens) == (40, 6)
    assert model.heard[0].text == "three and four"


async def test_the_usage_of_a_graph_names_the_model_that_was_asked() -> None:
    answer = AIMessage("Yes.")
    answer.usage_metadata = usage(10, 2)

    class Named(ScriptedModel):
        def _get_ls_params(self, *args: Any, **kwargs: Any) -> Any:
            return {"ls_provider": "openai", "ls_model_name": "gpt-5.4-mini", "ls_model_type": "chat"}

    deltas = await ask(LangChainLLM(create_agent(Named(script=[answer]))))
    assert deltas[-1] == Usage(10, 2, model="openai/gpt-5.4-mini")


async def test_a_graph_hangs_up_with_a_tool_of_that_name() -> None:
    model = ScriptedModel(script=[uses(("t1", {"reason": "other"}), name="end_call", text="Goodbye.")])
    deltas = await ask(LangChainLLM(create_agent(model, [end_call])))
    assert text_of(deltas) == "Goodbye.\n"
    assert deltas[-1] == ToolCall("t1", "end_call", '{"reason": "other"}')


async def test_calls_that_a_graph_leaves_open_are_for_patter() -> None:
    answer = uses(("t1", {}), name="look_up", text="Let me see.")
    answer.tool_calls.append({"type": "tool_call", "id": "t2", "name": "unknown", "args": {}})
    deltas = await ask(LangChainLLM(graph_of(lambda state: {"messages": [answer]})), tools=[HANG_UP, LOOK_UP])
    assert [delta for delta in deltas if not isinstance(delta, str)] == [ToolCall("t1", "look_up", "{}")]


async def test_only_the_nodes_that_are_named_are_heard() -> None:
    graph = (
        StateGraph(State)
        .add_node("think", lambda state: {"messages": [AIMessage("They want tea.")]})
        .add_node("speak", lambda state: {"messages": [AIMessage("Tea, please.")]})
        .add_edge(START, "think")
        .add_edge("think", "speak")
        .compile()
    )
    assert text_of(await ask(LangChainLLM(graph))) == "They want tea.\nTea, please."
    assert text_of(await ask(LangChainLLM(graph, nodes=["speak"]))) == "Tea, please."


async def test_a_graph_learns_whose_call_it_is_and_what_it_may_use() -> None:
    seen: list[Any] = []

    def node(state: State, config: RunnableConfig) -> Any:
        seen.append((config["configurable"]["patter"], config["configurable"]["thread_id"], len(state["messages"])))
        return {"messages": [AIMessage("Yes.")]}

    mind = LangChainLLM(graph_of(node, checkpointer=InMemorySaver()))
    assert isinstance(mind, PerCallChatModel)
    async with mind.open(CALL) as session:
        assert session.model == mind.model
        await ask(session)
        await ask(session)
    about = seen[0][0]
    assert {name: about[name] for name in ("call_id", "caller", "callee")} == CALL
    assert about["tools"][0]["function"]["name"] == "end_call"
    # A checkpointer remembers nothing of the turn before: the history is all there is.
    assert seen[0][1] != seen[1][1]
    assert [count for _, _, count in seen] == [2, 2]


async def test_a_graph_that_fails_is_a_mind_that_fails() -> None:
    def node(state: State) -> Any:
        raise ValueError("secret")

    with pytest.raises(ProviderError, match="graph failed with ValueError") as caught:
        await ask(LangChainLLM(graph_of(node)))
    assert "secret" not in str(caught.value)


async def test_only_chat_models_are_asked_before_the_turn_is_over() -> None:
    assert LangChainLLM(ScriptedModel(script=[])).speculative
    assert not LangChainLLM(create_agent(ScriptedModel(script=[]))).speculative
    assert not LangChainLLM(ScriptedModel(script=[]), speculative=False).speculative
    assert LangChainLLM(RunnableLambda(lambda _: "x"), speculative=True).speculative


async def test_any_runnable_over_messages_is_a_mind() -> None:
    prompt = ChatPromptTemplate([("system", "Be brief."), ("placeholder", "{messages}")])
    model = ScriptedModel(script=["Yes."])
    assert text_of(await ask(LangChainLLM(prompt | model))) == "Yes."
    assert isinstance(model.asked[0][0], SystemMessage)
    assert await ask(LangChainLLM(RunnableLambda(lambda _: "Plain text."))) == ["Plain text."]
    with pytest.raises(ProviderError, match="a dict, and no message"):
        await ask(LangChainLLM(RunnableLambda(lambda _: {"text": "x"})))


# --- calls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["chat", "graph"])
async def test_a_call_with_langchain_at_both_ends_keeps_them_apart(make_tool: MakeTool, kind: str) -> None:
    goodbye = uses(("t1", {}), name="end_call", text="A table for two, please. Goodbye.")
    on_phone = ScriptedModel(script=["Good day to you.", goodbye], words=True)
    mind = LangChainLLM(on_phone if kind == "chat" else create_agent(on_phone, [end_call]))
    patter = make_tool(scripted(Say("Hello?"), Listen(), Say("What is it?"), Listen(), Wait(5)), llm=mind)
    host = ScriptedModel(script=[use(to=TO, goal="A table"), "Done."])
    agent = create_agent(host, [PatterLangChainTool(tool=patter)], checkpointer=InMemorySaver())

    config: Any = {"configurable": {"thread_id": "1"}}
    stream = agent.astream({"messages": ["Book."]}, config, stream_mode="messages")
    written = [str(message.text) async for message, _ in stream if isinstance(message, AIMessage)]
    assert "".join(written) == "Done."
    (heard,) = host.heard
    envelope = json.loads(str(heard.content))
    said = [line["text"] for line in envelope["transcript"] if line["role"] == "agent"]
    assert said == ["Good day to you.", "A table for two, please. Goodbye."]
    assert (envelope["status"], envelope["end_reason"]) == ("completed", "agent_hangup")
    assert exchange(patter).creates == 1


def test_a_mind_outlives_the_loop_of_its_host(make_tool: MakeTool) -> None:
    goodbye = uses(("t1", {}), name="end_call", text="Goodbye.")
    patter = make_tool(llm=LangChainLLM(ScriptedModel(script=[goodbye, goodbye])))
    for _ in range(2):
        assert asyncio.run(patter.execute(to=TO, goal="Tea")).status == "completed"
