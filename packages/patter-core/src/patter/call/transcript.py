"""What was said and heard, in order, and the mind's history made of the same lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from patter.envelope import TranscriptLine, Turn
from patter.voice.base import Message, ToolCall

__all__ = ["Line", "Transcript"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line. For the agent ``text`` is what was heard, ``generated_text`` what the mind wrote."""

    role: str
    text: str
    started_at: float
    ended_at: float
    generated_text: str | None = None
    interrupted: bool = False
    heard_ms: int | None = None
    latency_ms: float | None = None


@dataclass(slots=True)
class _Exchange:
    calls: tuple[ToolCall, ...]
    outputs: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Note:
    text: str


class Transcript:
    """The record of one conversation. Pure; times are seconds of the call's clock."""

    def __init__(self) -> None:
        self._entries: list[Line | _Exchange | _Note] = []
        self.version = 0
        """Changes whenever the history does."""
        self.digits = ""
        """The keys that the callee pressed."""

    def add(self, line: Line) -> None:
        """Enter a line where it began: what is put in while the other side speaks is over before that ends.

        An agent's line that nobody heard stays out of the transcript and of the history.
        """
        self.version += 1
        place = len(self._entries)
        for index in range(len(self._entries) - 1, -1, -1):
            entry = self._entries[index]
            if isinstance(entry, Line):
                if entry.started_at <= line.started_at:
                    break
                place = index
        self._entries.insert(place, line)

    def note(self, text: str) -> None:
        """Tell the mind something that nobody said, such as a key that was pressed."""
        self.version += 1
        self._entries.append(_Note(text))

    def tools(self, calls: Iterable[ToolCall]) -> None:
        """Enter that the mind called tools, before their results are known."""
        self.version += 1
        self._entries.append(_Exchange(tuple(calls), {}))

    def tool_output(self, call_id: str, output: str) -> None:
        """Enter a tool's result, also if the turn that wanted it is over."""
        for entry in reversed(self._entries):
            if isinstance(entry, _Exchange) and any(call.id == call_id for call in entry.calls):
                self.version += 1
                entry.outputs.setdefault(call_id, output)
                return

    @property
    def user_turns(self) -> int:
        """How many lines the callee has."""
        return sum(line.role == "user" for line in self._lines())

    def retract(self) -> None:
        """Take back the last user line, because the callee went on; a longer one follows."""
        for index in range(len(self._entries) - 1, -1, -1):
            entry = self._entries[index]
            if isinstance(entry, Line) and entry.role == "user":
                self.version += 1
                del self._entries[index]
                return

    def history(self, system: str) -> list[Message]:
        """The mind's messages. What was not heard is not in them."""
        messages = [Message("system", system)]
        for entry in self._entries:
            if isinstance(entry, _Note):
                messages.append(Message("system", entry.text))
            elif isinstance(entry, _Exchange):
                messages += _exchange_messages(entry)
            elif entry.text:
                messages.append(Message("assistant" if entry.role == "agent" else "user", entry.text))
        return messages

    def lines(self) -> list[TranscriptLine]:
        """The envelope's transcript, in time order, without empty lines."""
        return [
            TranscriptLine(role="agent" if line.role == "agent" else "user", text=line.text)
            for line in self._lines()
            if line.text
        ]

    def turns(self, answered_at: float) -> list[Turn]:
        """The envelope's detailed turns, with times relative to the answer."""
        return [
            Turn(
                index=index,
                role="agent" if line.role == "agent" else "user",
                text=line.text,
                generated_text=line.generated_text,
                interrupted=line.interrupted,
                started_at=round(max(line.started_at - answered_at, 0.0), 3),
                ended_at=round(max(line.ended_at - answered_at, 0.0), 3),
                heard_ms=line.heard_ms,
                latency_ms=line.latency_ms,
            )
            for index, line in enumerate(self._lines())
        ]

    def _lines(self) -> list[Line]:
        return [entry for entry in self._entries if isinstance(entry, Line)]


def _exchange_messages(exchange: _Exchange) -> list[Message]:
    # A vendor refuses a tool call without a result, so a running tool says that it is running.
    results = [
        Message("tool", exchange.outputs.get(call.id, '{"status":"running"}'), tool_call_id=call.id)
        for call in exchange.calls
    ]
    return [replace(Message("assistant", ""), tool_calls=exchange.calls), *results]
