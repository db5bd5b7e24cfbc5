"""What the chat vendors' emulators answer: a function from the history and the tools to an `Answer`.

::

    OpenAIEmulator()                                            # the demo brain, which knows the goal of the call
    OpenAIEmulator(scripted(["A table for two, please.", says("Thank you.", CallTool("end_call"))]))
    OpenAIEmulator(lambda messages, tools: f"You said {messages[-1].content}.")

The history is given in the words of `patter.voice.base`, whichever vendor is emulated. A token has
four characters, so tests can compute what an answer costs.
"""

from __future__ import annotations

import inspect
import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from patter.local.brain import DemoBrain
from patter.testing.providers import Pause, UnexpectedRequest, UnfinishedScript
from patter.voice.base import Message, ToolCall, ToolSpec

__all__ = [
    "Answer",
    "CallTool",
    "Mind",
    "Part",
    "Pause",
    "Scripted",
    "Writing",
    "ask",
    "brain",
    "count_tokens",
    "echo",
    "prompt_tokens",
    "says",
    "scripted",
    "system_prompt",
]

TOKEN_CHARS = 4

Finish = Literal["stop", "length", "content_filter", "failed"]


@dataclass(frozen=True, slots=True)
class CallTool:
    """A piece of an answer: the model wants a tool to run.

    Args:
        arguments: an object; or the JSON text as the model writes it, valid or not.
        id: None takes the emulator's next one.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None

    @property
    def json(self) -> str:
        """The arguments as JSON text."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


Piece = str | CallTool | Pause


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model answers, piece by piece.

    Args:
        finish: why it ends; None is what follows from the pieces. "failed" is the vendor's breakdown
            after the last piece.
        endless: never end; the last text is written again and again, past any limit of tokens.
    """

    pieces: tuple[Piece, ...] = ()
    finish: Finish | None = None
    endless: bool = False


def says(*pieces: Piece, finish: Finish | None = None, endless: bool = False) -> Answer:
    """An answer of texts, tool calls and pauses, in their order."""
    return Answer(pieces, finish, endless)


Mind = Callable[[Sequence[Message], Sequence[ToolSpec]], Answer | str | Awaitable[Answer | str]]
"""What the model says to a history, when it is offered these tools. A plain text is an answer of one piece."""


async def ask(mind: Mind, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
    """The mind's answer."""
    answer = mind(messages, tools)
    if inspect.isawaitable(answer):
        answer = await answer
    return answer if isinstance(answer, Answer) else says(answer)


async def brain(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
    """Answer as the demo brain does: by rules, from the goal in the system prompt."""
    words: list[str] = []
    calls: list[CallTool] = []
    async with DemoBrain().stream(messages, tools) as deltas:
        async for delta in deltas:
            if isinstance(delta, str):
                words.append(delta)
            elif isinstance(delta, ToolCall):
                calls.append(CallTool(delta.name, delta.arguments))
    return says(*filter(None, ["".join(words)]), *calls)


def echo(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
    """Say what the user has said last."""
    return says(next((message.content for message in reversed(messages) if message.role == "user"), ""))


def system_prompt(messages: Sequence[Message]) -> str:
    """The first system message: what tells the conversations of concurrent calls apart."""
    return next((message.content for message in messages if message.role == "system"), "")


def scripted(answers: Iterable[Answer | str], *, key: Callable[[Sequence[Message]], str] = system_prompt) -> Scripted:
    """A mind that gives one answer after another, in each conversation from the first on.

    Args:
        key: what tells conversations apart.
    """
    return Scripted(answers, key)


class Scripted:
    """The mind of `scripted`. ``asked`` counts the requests of each conversation by its key."""

    def __init__(self, answers: Iterable[Answer | str], key: Callable[[Sequence[Message]], str]) -> None:
        self.asked: Counter[str] = Counter()
        self._answers = tuple(answers)
        self._key = key

    def __call__(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer | str:
        conversation = self._key(messages)
        number = self.asked[conversation]
        self.asked[conversation] += 1
        if number < len(self._answers):
            return self._answers[number]
        raise UnexpectedRequest(f"Request {number + 1} of a conversation came; the script ends after {number}.")

    def assert_complete(self) -> None:
        """Raise if there was no conversation, or one was not asked for exactly the answers of the script."""
        wanted = len(self._answers)
        for number in self.asked.values() or (0,):
            if number > wanted:
                raise UnexpectedRequest(f"A conversation had {number} requests; the script has {wanted} answers.")
            if number < wanted:
                raise UnfinishedScript(f"A conversation was asked for {number} of {wanted} answers.")


def count_tokens(text: str) -> int:
    """The tokens of a text: four characters each, the last one may have fewer."""
    return -(-len(text) // TOKEN_CHARS)


def prompt_tokens(messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> int:
    """The tokens of a request: all its texts, the names and arguments of tool calls, and the tools as JSON."""
    told = sum(
        count_tokens(message.content) + sum(_call_tokens(call.name, call.arguments) for call in message.tool_calls)
        for message in messages
    )
    offered = (json.dumps([tool.name, tool.description, dict(tool.parameters)]) for tool in tools)
    return told + sum(map(count_tokens, offered))


def _call_tokens(name: str, arguments: str) -> int:
    return count_tokens(name) + count_tokens(arguments)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an answer no larger than a token; of a tool call, the name comes first, with an empty text.

    Args:
        call: the tool call whose name or arguments this is, or None for text.
        number: of the tool call, from 0.
        tokens: how many tokens it counts for.
        pause_s: nothing is written for so long before it.
    """

    text: str
    call: CallTool | None = None
    number: int = 0
    tokens: int = 1
    pause_s: float = 0.0

    @property
    def opens(self) -> bool:
        """True for the first part of a tool call."""
        return self.call is not None and not self.text


class Writing:
    """An answer as it is written, part by part. ``finish`` and ``tokens`` are right once it has ended.

    Args:
        limit: the most tokens it may have; it is cut there.
    """

    def __init__(self, answer: Answer, limit: int | None = None) -> None:
        self.finish: Literal["stop", "length", "content_filter", "failed", "tools"] = answer.finish or "stop"
        self.tokens = 0
        self.pause_s = 0.0
        """The pause after the last part."""
        self.endless = answer.endless
        self._answer = answer
        self._limit = None if answer.endless else limit

    def __iter__(self) -> Iterator[Part]:
        for part in self._parts():
            if self._limit is not None and self.tokens + part.tokens > self._limit:
                self.finish = "length"
                return
            self.tokens += part.tokens
            if part.call is not None and self._answer.finish is None:
                self.finish = "tools"
            yield part

    def _parts(self) -> Iterator[Part]:
        number = itertools.count()
        for piece in self._answer.pieces:
            if isinstance(piece, Pause):
                self.pause_s += piece.seconds
                continue
            yield from self._written(piece, number)
        if self.endless:
            texts = [piece for piece in self._answer.pieces if isinstance(piece, str) and piece]
            for text in itertools.repeat(texts[-1] if texts else "and so on "):
                yield from self._written(text, number)

    def _written(self, piece: str | CallTool, number: Iterator[int]) -> Iterator[Part]:
        pause_s, self.pause_s = self.pause_s, 0.0
        if isinstance(piece, str):
            for token in _tokens(piece):
                yield Part(token, pause_s=pause_s)
                pause_s = 0.0
            return
        at = next(number)
        yield Part("", piece, at, count_tokens(piece.name), pause_s)
        for token in _tokens(piece.json):
            yield Part(token, piece, at)


def _tokens(text: str) -> Iterator[str]:
    return (text[at : at + TOKEN_CHARS] for at in range(0, len(text), TOKEN_CHARS))
