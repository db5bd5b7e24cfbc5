"""A stand-in for Deepgram's live speech-to-text, on this machine: listen v1 and listen v2 (Flux).

::

    async with DeepgramEmulator() as deepgram:
        stt = DeepgramSTT("test-key", base_url=deepgram.base_url)

It hears the words of data tones (`patter.local.tones`) in the audio that it is sent, or a script. Its
clock is the audio's own: nothing depends on how fast the audio comes, but the limit of silence on the
wire and ``latency_ms``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from patter.audio import mulaw
from patter.testing.emulators.connection import Connection, Connections, public_headers
from patter.testing.emulators.deepgram_hearing import Hearing, ScriptedUtterance
from patter.testing.emulators.deepgram_query import BadQuery, encoding_of, read_v1, read_v2, refusal
from patter.testing.emulators.deepgram_v1 import ListenV1
from patter.testing.emulators.deepgram_v2 import ListenV2
from patter.testing.emulators.faults import Faults
from patter.testing.emulators.peer import Peer, Wording, converse, refuse, with_transport
from patter.testing.emulators.serving import Serving

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

__all__ = ["DeepgramEmulator", "ScriptedUtterance"]

_NO_AUDIO = "NET-0001: no audio and no text message came within the time-out window."
_NO_DECODE = "DATA-0000: the payload cannot be decoded as audio."

_WORDING_V1 = Wording(
    unknown={"type": "Novelty", "request_id": "0", "value": [1, {"deep": None}]},
    error={"type": "Error", "variant": "INTERNAL_SERVER_ERROR", "description": "The server has failed."},
    refusal=refusal,
)
_WORDING_V2 = Wording(
    unknown={"type": "Novelty", "request_id": "0", "sequence_id": 0},
    error={"type": "Error", "sequence_id": 0, "code": "INTERNAL_SERVER_ERROR", "description": "The server has failed."},
    refusal=refusal,
)

_Batch = tuple[float, list[dict[str, Any]]]
"""When it is due, and its messages."""


@dataclass(kw_only=True, slots=True)
class DeepgramEmulator:
    """The service. Enter it to serve; every knob may be changed at any time, for the connections that follow.

    ``base_url`` is its http origin, ``connections`` has what came, ``faults`` what shall go wrong.
    """

    api_key: str = "test-key"
    """The key that is accepted; any other is refused with 401."""
    latency_ms: float = 5.0
    """Real time between audio and the messages about it."""
    script: list[ScriptedUtterance] = field(default_factory=list)
    """What is heard instead of data tones, for audio that has none. Heard utterances are removed."""
    idle_s: float = 10.0
    """Real time without any message after which a connection is closed with 1011 (NET-0001)."""
    final_every_words: int | None = None
    """v1: a final without speech_final after so many words."""
    speech_final: bool = True
    """v1: False leaves speech_final out, so that only UtteranceEnd tells the end of a turn."""
    answers_finalize: bool = True
    """v1: False leaves Finalize without an answer."""
    empty_result_s: float | None = 3.0
    """v1: a final without words after so much silence in the audio, again and again."""
    eager_silence_ms: int = 200
    """v2: silence in the audio before EagerEndOfTurn, if it was asked for."""
    end_silence_ms: int = 500
    """v2: silence in the audio before EndOfTurn."""

    base_url: str = field(default="", init=False)
    connections: Connections = field(default_factory=Connections, init=False)
    faults: Faults = field(default_factory=Faults, init=False)
    _serving: Serving | None = field(default=None, init=False, repr=False)
    _closing: anyio.Event = field(default_factory=anyio.Event, init=False, repr=False)

    async def __aenter__(self) -> Self:
        from starlette.applications import Starlette
        from starlette.routing import WebSocketRoute

        app = Starlette(
            routes=[WebSocketRoute("/v1/listen", self._listen_v1), WebSocketRoute("/v2/listen", self._listen_v2)]
        )
        self._closing = anyio.Event()
        self._serving = Serving(with_transport(app))
        self.base_url = await self._serving.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._serving is not None
        self._closing.set()
        return await self._serving.__aexit__(kind, error, trace)

    async def _listen_v1(self, websocket: WebSocket) -> None:
        record = self._begin(websocket)
        try:
            encoding = encoding_of(record.query, version=1)
            listen = ListenV1(
                read_v1(record.query),
                Hearing(self.script),
                final_every_words=self.final_every_words,
                speech_final=self.speech_final,
                answers_finalize=self.answers_finalize,
                empty_result_s=self.empty_result_s,
            )
        except BadQuery as problem:
            await self._refuse(websocket, record, problem)
            return
        await self._converse(websocket, record, _WORDING_V1, _Session(self, listen, encoding))

    async def _listen_v2(self, websocket: WebSocket) -> None:
        record = self._begin(websocket)
        try:
            encoding = encoding_of(record.query, version=2)
            listen = ListenV2(
                read_v2(record.query),
                Hearing(self.script),
                eager_silence_ms=self.eager_silence_ms,
                end_silence_ms=self.end_silence_ms,
            )
        except BadQuery as problem:
            await self._refuse(websocket, record, problem)
            return
        await self._converse(websocket, record, _WORDING_V2, _Session(self, listen, encoding))

    def _begin(self, websocket: WebSocket) -> Connection:
        query: dict[str, list[str]] = {}
        for name, value in websocket.query_params.multi_items():
            query.setdefault(name, []).append(value)
        headers = public_headers(websocket.headers)
        record = Connection("GET", websocket.url.path, query, headers, self.faults.take())
        self.connections.begin(record)
        return record

    async def _converse(self, websocket: WebSocket, record: Connection, wording: Wording, session: _Session) -> None:
        scheme, _, key = websocket.headers.get("authorization", "").partition(" ")
        if scheme.lower() not in ("token", "bearer") or key != self.api_key:
            await refuse(websocket, record, 401, refusal(401))
        else:
            await converse(websocket, record, wording, session.run, closing=self._closing)

    async def _refuse(self, websocket: WebSocket, record: Connection, problem: BadQuery) -> None:
        await refuse(websocket, record, 400, refusal(400, str(problem)))


class _Session:
    """One connection after its handshake: the listening object decides, this carries."""

    def __init__(self, emulator: DeepgramEmulator, listen: ListenV1 | ListenV2, encoding: str | None) -> None:
        self._emulator = emulator
        self._listen = listen
        self._encoding = encoding
        self._written = anyio.Event()

    async def run(self, peer: Peer) -> None:
        # Unbounded: bounded by the audio of one call, and the reader must not wait for a slow client.
        batches, queue = anyio.create_memory_object_stream[_Batch](math.inf)
        with queue:
            with batches:
                peer.tasks.start_soon(self._write, peer, queue)
                batches.send_nowait((0.0, self._listen.opened()))
                if not await self._read(peer, batches):
                    peer.tasks.cancel_scope.cancel()  # before the writer finds its queue closed
                    return
            await self._written.wait()
        # Flux closes without a code (developers.deepgram.com/docs/flux/close-stream).
        flux = isinstance(self._listen, ListenV2)
        fatal = isinstance(self._listen, ListenV2) and self._listen.fatal
        await peer.close(1008 if fatal else None if flux else 1000)

    async def _read(self, peer: Peer, batches: MemoryObjectSendStream[_Batch]) -> bool:
        """Read until the client ends its stream (True) or leaves (False)."""
        while True:
            with anyio.move_on_after(self._emulator.idle_s) as idle:
                message = await peer.receive()
            if idle.cancelled_caught:
                await peer.close(1011, _NO_AUDIO)
            if message is None:
                return False
            messages, ends = await self._take(peer, message)
            batches.send_nowait((anyio.current_time() + self._emulator.latency_ms / 1000, messages))
            if ends:
                return True

    async def _take(self, peer: Peer, message: bytes | str) -> tuple[list[dict[str, Any]], bool]:
        if isinstance(message, str):
            return self._listen.text(message)
        if not message:
            # An empty binary message ends the stream as CloseStream does.
            return self._listen.ended(), True
        audio = self._decoded(message)
        if audio is None:
            await peer.close(1008, _NO_DECODE)
            return [], True
        peer.record.keep(message)
        messages = self._listen.audio(audio)
        await peer.count_audio(mulaw.duration_ms(audio))
        return messages, False

    def _decoded(self, audio: bytes) -> bytes | None:
        if self._encoding == "mulaw":
            return audio
        if self._encoding == "linear16" and len(audio) % 2 == 0:
            return mulaw.encode(audio)
        return None

    async def _write(self, peer: Peer, queue: MemoryObjectReceiveStream[_Batch]) -> None:
        async for due_s, messages in queue:
            if messages:
                await anyio.sleep_until(due_s)
            for message in messages:
                await peer.send(message)
        self._written.set()
