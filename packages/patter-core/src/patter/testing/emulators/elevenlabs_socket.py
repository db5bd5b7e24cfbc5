"""The text-in websockets of the emulated ElevenLabs: ``stream-input`` and ``multi-stream-input``."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
from anyio import CancelScope

from patter.testing.emulators.elevenlabs_speech import Chunk, speak
from patter.testing.emulators.peer import Peer

if TYPE_CHECKING:
    from patter.testing.emulators.elevenlabs import ElevenLabsEmulator, Problem

__all__ = ["TextInSession", "TextInSettings", "error_frame"]

MAX_CONTEXTS = 5
TRIGGER_CHARS = 50
"""``try_trigger_generation`` generates from so many characters on."""
SCHEDULE = (120, 160, 250, 290)
_DEFAULT = "default"
_WHOLE_MS = 10**9

_SETTINGS = ("voice_settings", "generation_config")
_SETTINGS_CHANGED = (
    "voice_settings field must be provided in the first message and then either be not provided or not change."
)
_TOO_MANY = (
    f"Maximum simultaneous contexts per WebSocket connection exceeded ({MAX_CONTEXTS}). "
    "Please close an existing context before opening a new one."
)


def error_frame(error: str, message: str) -> dict[str, Any]:
    """The message that precedes a close with 1008."""
    return {"message": message, "error": error, "code": 1008}


@dataclass(frozen=True, slots=True)
class TextInSettings:
    """What the client asked for in the address."""

    multi: bool
    output_format: str
    auto_mode: bool
    sync_alignment: bool
    inactivity_s: float


class TextInSession:
    """One connection. A context is a task that takes the messages for it in their order.

    Args:
        emulator: its knobs.
        settings: what was asked for.
        problem: why nothing will be synthesised, told after the first message; or None.
        needs_key: True if the key must come with the first message.
    """

    def __init__(
        self, emulator: ElevenLabsEmulator, settings: TextInSettings, problem: Problem | None, *, needs_key: bool
    ) -> None:
        self.emulator = emulator
        self.settings = settings
        self._problem = problem
        self._needs_key = needs_key
        self._open: dict[str, _Context] = {}
        self._alive: set[_Context] = set()
        self._spoke = False

    async def run(self, peer: Peer) -> None:
        try:
            if await self._read(peer):
                await self._finish_all(peer)
        finally:
            peer.tasks.cancel_scope.cancel()  # before a context finds its queue closed
            for context in self._alive:
                context.dispose()

    async def fail(self, peer: Peer, error: str, message: str) -> None:
        """Send an error, close with 1008, and cancel the session."""
        await peer.send(error_frame(error, message))
        await peer.close(1008, message)

    def shut(self, context: _Context) -> None:
        """A context takes no more messages; the next one with its name opens another."""
        if self._open.get(context.key) is context:
            del self._open[context.key]

    def ended(self, context: _Context) -> None:
        """A context has sent its last message."""
        self._alive.discard(context)

    async def _read(self, peer: Peer) -> bool:
        """Read until the client ends its stream (True) or leaves (False)."""
        while True:
            with anyio.move_on_after(self.settings.inactivity_s) as idle:
                text = await peer.receive()
            if idle.cancelled_caught:
                if not any(context.busy for context in self._alive):
                    seconds = f"{self.settings.inactivity_s:g}"
                    await self.fail(
                        peer,
                        "input_timeout_exceeded",
                        f"Have not received a new text input within the timeout of {seconds} seconds.",
                    )
                continue
            if text is None:
                return False
            message = _read(text)
            if message is None:
                await self.fail(peer, "invalid_message", "The message is not a JSON object with a text.")
                continue
            await self._check_first(peer, message)
            if await self._take(peer, message):
                return True

    async def _check_first(self, peer: Peer, message: Mapping[str, Any]) -> None:
        problem, needs_key = self._problem, self._needs_key
        self._problem, self._needs_key = None, False
        key = message.get("xi_api_key") or message.get("xi-api-key")
        if needs_key and key != self.emulator.api_key:
            problem = self.emulator.bad_key()
        if problem is not None:
            await self.fail(peer, problem.error, problem.message)

    async def _take(self, peer: Peer, message: Mapping[str, Any]) -> bool:
        """Pass a message on to its context; True if it ends the stream."""
        if self.settings.multi and message.get("close_socket"):
            return True
        text = message.get("text")
        asked = (message.get("context_id") or message.get("contextId")) if self.settings.multi else None
        key = str(asked or _DEFAULT)
        context = self._open.get(key)
        if self.settings.multi and message.get("close_context"):
            if context is not None:
                del self._open[key]
                context.close()
            return False
        if not self.settings.multi and text == "":
            return True
        if context is None:
            if asked is None and not text and not message.get("flush"):
                return False  # keeps the socket alive, and belongs to no context
            if len(self._alive) >= MAX_CONTEXTS:
                await self.fail(peer, "max_active_conversations", _TOO_MANY)
            # Whatever names a context opens it, a keep-alive and a flush too.
            context = self._open[key] = _Context(self, peer, key, message)
            self._alive.add(context)
            if problem := context.bad_schedule():
                await self.fail(peer, "invalid_generation_config", problem)
            self._spoke = True
            peer.tasks.start_soon(context.run)
        elif context.changes_settings(message):
            await self.fail(peer, "invalid_settings", _SETTINGS_CHANGED)
        context.take(message)
        return False

    async def _finish_all(self, peer: Peer) -> None:
        for context in self._open.values():
            context.finish()
        for context in list(self._alive):
            await context.done.wait()
        if not self.settings.multi and not self._spoke and self.emulator.sends_is_final:
            await peer.send({"isFinal": True, "audio": None})
        await peer.close(1000)


class _Context:
    """One stream of text, spoken in its order. Without auto_mode it waits for the schedule or a flush."""

    def __init__(self, session: TextInSession, peer: Peer, key: str, first: Mapping[str, Any]) -> None:
        self.key = key
        self.busy = False
        self.done = anyio.Event()
        self._session = session
        self._peer = peer
        self._first = first
        config = first.get("generation_config") or first.get("generator_config") or {}
        self._schedule: list[float] = list(config.get("chunk_length_schedule") or SCHEDULE)
        self._generations = 0
        self._buffer = ""
        self._scope = CancelScope()
        # Unbounded: bounded by what the client sends in one turn.
        self._jobs, self._queue = anyio.create_memory_object_stream[Mapping[str, Any] | bool](math.inf)

    def bad_schedule(self) -> str | None:
        """What is wrong with the schedule, or None."""
        if all(isinstance(chars, int | float) and 50 <= chars <= 500 for chars in self._schedule):
            return None
        return "Each item of chunk_length_schedule must be in the range 50-500."

    def changes_settings(self, message: Mapping[str, Any]) -> bool:
        """True if a later message brings other settings than the first."""
        return any(message.get(name) not in (None, self._first.get(name)) for name in _SETTINGS)

    def take(self, message: Mapping[str, Any]) -> None:
        """Append text, or flush, or stay alive."""
        self._jobs.send_nowait(message)

    def finish(self) -> None:
        """Speak what is left, and end."""
        self._jobs.send_nowait(True)

    def close(self) -> None:
        """End. What was set to be spoken is finished, the rest is dropped."""
        if self._session.emulator.late_audio_after_close:
            self._jobs.send_nowait(False)
        else:
            self._scope.cancel()

    def dispose(self) -> None:
        """Drop what is left to do."""
        self._jobs.close()
        self._queue.close()

    async def run(self) -> None:
        with self._scope:
            await self._work()
        self._session.shut(self)
        self.dispose()
        context = {"contextId": self.key} if self._session.settings.multi else {}
        if self._session.emulator.sends_is_final:
            await self._peer.send({"isFinal": True, "audio": None, **context})
        self._session.ended(self)
        self.done.set()

    async def _work(self) -> None:
        while True:
            self.busy = False
            job: Mapping[str, Any] | bool = False
            # A context to which nobody speaks is closed by the service, while others keep the socket.
            settings = self._session.settings
            with anyio.move_on_after(settings.inactivity_s if settings.multi else math.inf):
                job = await self._queue.receive()
            self.busy = True
            if isinstance(job, bool):
                if job:
                    await self._generate()
                return
            # White space at the beginning only opens the context, or keeps it alive.
            self._buffer = (self._buffer + (job.get("text") or "")).lstrip()
            if self._is_due(job):
                await self._generate()

    def _is_due(self, message: Mapping[str, Any]) -> bool:
        if self._session.settings.auto_mode or message.get("flush"):
            return True
        waiting = len(self._buffer.strip())
        if message.get("try_trigger_generation") and waiting >= TRIGGER_CHARS:
            return True
        return waiting >= self._schedule[min(self._generations, len(self._schedule) - 1)]

    async def _generate(self) -> None:
        text, self._buffer = self._buffer, ""
        if not text.strip():
            return
        emulator, settings = self._session.emulator, self._session.settings
        if problem := emulator.bill(self._peer.record, text):
            await self._session.fail(self._peer, problem.error, problem.message)
        self._generations += 1
        await anyio.sleep(emulator.first_byte_ms / 1000)
        begin_s = anyio.current_time()
        whole = self._speak(text, _WHOLE_MS)
        for chunk in self._speak(text, emulator.chunk_ms):
            await anyio.sleep_until(begin_s + chunk.start_ms / 1000 / emulator.realtime_factor)
            # Without sync_alignment the times do not come with every chunk.
            timed = chunk if settings.sync_alignment else whole[0] if chunk.start_ms == 0 else None
            message = {
                "audio": base64.b64encode(chunk.audio).decode(),
                "isFinal": None,
                "alignment": timed.alignment() if timed else None,
                "normalizedAlignment": timed.normalized_alignment() if timed else None,
            }
            if settings.multi:
                message["contextId"] = self.key
            if await self._peer.send(message, audio_ms=chunk.duration_ms):
                self._peer.record.keep(chunk.audio)

    def _speak(self, text: str, chunk_ms: int) -> list[Chunk]:
        return speak(
            text,
            output_format=self._session.settings.output_format,
            chunk_ms=chunk_ms,
            speaks_symbols=self._session.emulator.speaks_symbols,
        )


def _read(text: bytes | str) -> Mapping[str, Any] | None:
    try:
        message = json.loads(text)
    except ValueError:
        return None
    if not isinstance(message, dict) or not isinstance(message.get("text"), str | None):
        return None
    return message
