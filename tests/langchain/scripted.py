"""What the tests stand on: a scripted chat model, a mind of few words, and callees."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from patter import PatterTool
from patter.local.dialogue import Listen, Persona, Say, Wait, scripted
from patter.local.exchange import Exchange
from patter.voice.base import Delta, Message, ToolCall, ToolSpec

TO = "+15550100199"


class Mind:
    """The mind of the call: says what the goal says, and hangs up unless that is "Hold"."""

    model = "local/echo"

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        async def deltas() -> AsyncIterator[Delta]:
            goal = messages[0].content.rpartition("Goal: ")[2]
            yield f"{goal}. Goodbye."
            if goal != "Hold":
                yield ToolCall("c1", "end_call", "{}")

        yield deltas()


class ScriptedModel(BaseChatModel):
    """A chat model that gives one answer of its script for each question, and keeps what it was asked."""

    script: list[Any]
    words: bool = False
    """Stream the text word by word."""
    _asked: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _offered: list[str] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def asked(self) -> list[list[BaseMessage]]:
        return self._asked

    @property
    def offered(self) -> list[str]:
        """The names of the tools that were bound."""
        return self._offered

    @property
    def heard(self) -> list[ToolMessage]:
        """The results of tools that the model was told last."""
        return [message for message in self._asked[-1] if isinstance(message, ToolMessage)]

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        self._offered[:] = [one["function"]["name"] if isinstance(one, dict) else one.name for one in tools]
        return self

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        self._asked.append(messages)
        step = self.script[len(self._asked) - 1]
        if isinstance(step, Exception):
            raise step
        return step.model_copy() if isinstance(step, AIMessage) else AIMessage(step)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        answer = self._next(messages)
        text = str(answer.text)
        for piece in text.split(" ") if self.words else [text]:
            if text:
                yield ChatGenerationChunk(message=AIMessageChunk(content=f"{piece} " if self.words else piece))
        chunk = AIMessageChunk(content="", tool_calls=answer.tool_calls, usage_metadata=answer.usage_metadata)
        yield ChatGenerationChunk(message=chunk)


def use(id_: str = "call_1", /, **arguments: Any) -> AIMessage:
    """A message of the host's model that uses the phone."""
    return uses((id_, arguments))


def uses(*calls: tuple[str, dict[str, Any]], name: str = "make_phone_call", text: str = "") -> AIMessage:
    """A message of a model that uses a tool several times at once."""
    made: list[Any] = [{"type": "tool_call", "id": id_, "name": name, "args": args} for id_, args in calls]
    return AIMessage(text, tool_calls=made)


def brief() -> Persona:
    """Answers, and listens to one sentence."""
    return scripted(Say("Hello?"), Listen(), Wait(0.5))


def endless() -> Persona:
    """Answers, and never hangs up."""
    return scripted(Say("Hello?"), Wait(600))


def exchange(tool: PatterTool) -> Exchange:
    """The telephone exchange behind the tool."""
    assert tool.phone.network is not None
    return tool.phone.network.exchange
