"""The seams of an agent's three providers: ears (speech-to-text), mind (chat model), voice (text-to-speech).

Audio is 8 kHz mu-law, one channel, as plain ``bytes``: 8 bytes are one millisecond. A provider object
is a cheap, reusable description (model, key, address); ``open()`` gives the session of one call, so
two calls never share a socket. Leaving a session or a stream early stops the vendor's work at once.
Failures raise `patter.errors.ProviderError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol, TypedDict, runtime_checkable

__all__ = [
    "CallContext",
    "ChatModel",
    "Delta",
    "Ears",
    "EndOfSpeech",
    "Hearing",
    "Message",
    "PerCallChatModel",
    "Speech",
    "SpeechToText",
    "TextToSpeech",
    "ToolCall",
    "ToolSpec",
    "Usage",
    "Utterance",
    "Voice",
]


class EndOfSpeech(StrEnum):
    """What the ears say about the end of the speaker's turn."""

    NONE = "none"
    PAUSE = "pause"
    """The speaker paused after this text (Deepgram's ``speech_final``)."""
    EAGER = "eager"
    """The turn has probably ended and may still go on (Flux's ``EagerEndOfTurn``)."""
    TURN = "turn"
    """The turn has ended (Flux's ``EndOfTurn``); nothing need be waited for."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """What the ears understood.

    Finals are consecutive pieces of a turn, each delivered once. An interim is a guess of the piece
    that is being spoken, and replaces the interim before it.
    """

    text: str
    is_final: bool
    end: EndOfSpeech = EndOfSpeech.NONE
    ended_at_s: float | None = None
    """Seconds of audio from the session's first byte to the end of the last word, if the vendor says so."""


class Ears(Protocol):
    """The ears' session of one call. One task sends, one task iterates over the hearings.

    The iteration may be cancelled between two hearings and taken up again without losing one.
    """

    async def send(self, audio: bytes) -> None:
        """Hand over the callee's next audio, mu-law 8 kHz, in the order it was spoken."""

    async def finish(self) -> None:
        """Say that no more audio comes. The iteration ends after the last hearing."""

    def __aiter__(self) -> AsyncIterator[Hearing]: ...


class SpeechToText(Protocol):
    """Ears: turns the callee's audio into text."""

    @property
    def model(self) -> str:
        """Vendor and model as the price table names them, such as ``deepgram/nova-3``."""

    def open(self) -> AbstractAsyncContextManager[Ears]:
        """Open the session of one call. Entering it connects; leaving it closes within a second."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The mind wants a tool to run. ``arguments`` is JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model request. ``input_tokens`` contains ``cached_tokens``.

    ``model`` names the model that was asked, if it is another one than the provider's ``model``.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    estimated: bool = False
    model: str | None = None

    @classmethod
    def estimate(cls, messages: Iterable[Message], written_chars: int, *, model: str | None = None) -> Usage:
        """The tokens of a request whose usage is not told, by the common rule of four characters each."""
        asked_chars = sum(len(message.content) for message in messages)
        return cls(asked_chars // 4, written_chars // 4, estimated=True, model=model)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the mind's history. A tool's result has role "tool" and the call's id."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What the mind is told of a tool. ``parameters`` is a JSON Schema object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


Delta = str | ToolCall | Usage
"""A piece of the mind's answer: text as it is written, a whole tool call, or the usage as far as it is known.

A later usage of the same model replaces the one before. A stream that tells of none is estimated."""


class ChatModel(Protocol):
    """The mind: answers a history with text and tool calls.

    It may be asked a little before the callee's turn is certainly over, and be left if the callee goes
    on after all. A mind for which a question has consequences forbids it with ``speculative = False``.
    """

    @property
    def model(self) -> str:
        """Vendor and model as the price table names them, such as ``openai/gpt-5.4-mini``."""

    def stream(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AbstractAsyncContextManager[AsyncIterator[Delta]]:
        """Ask for an answer. Leaving the context stops the generation, at the vendor too."""


class CallContext(TypedDict):
    """Whose call it is. Numbers are E.164; the caller is who has dialled."""

    call_id: str
    caller: str
    callee: str


@runtime_checkable
class PerCallChatModel(ChatModel, Protocol):
    """A mind that keeps something for the length of a call: a warm connection, a socket, a memory."""

    def open(self, call: CallContext) -> AbstractAsyncContextManager[ChatModel]:
        """Open the session of one call, while the phone rings. Leaving it closes within a second."""


@dataclass(frozen=True, slots=True)
class Speech:
    """Synthesised audio, mu-law 8 kHz.

    ``text`` is the text whose sound begins with this audio; audio without text continues the text
    before it. The finer the pieces (best: a word each), the more exactly the transcript can be cut
    where the callee stopped hearing. A pause is silence after a text: whoever hears only a part of it
    has heard the text.
    """

    audio: bytes
    text: str = ""
    pause: bool = False


class Utterance(Protocol):
    """One thing the agent says, synthesised while its text is still being written.

    One task calls `say` and `finish`, another iterates over the speech.
    """

    async def say(self, text: str) -> None:
        """Append the next clause. Clauses are joined with a space."""

    async def finish(self) -> None:
        """Say that no more text comes. The iteration ends after the last audio."""

    def __aiter__(self) -> AsyncIterator[Speech]: ...


class Voice(Protocol):
    """The voice's session of one call."""

    def utter(self) -> AbstractAsyncContextManager[Utterance]:
        """Begin an utterance. Leaving it early abandons what is not yet synthesised."""


class TextToSpeech(Protocol):
    """The voice: turns the agent's text into audio."""

    @property
    def model(self) -> str:
        """Vendor and model as the price table names them, such as ``elevenlabs/eleven_flash_v2_5``."""

    def open(self) -> AbstractAsyncContextManager[Voice]:
        """Open the session of one call. Entering it connects; leaving it closes within a second."""
