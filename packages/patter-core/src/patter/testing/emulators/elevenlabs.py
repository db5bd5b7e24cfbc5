"""A stand-in for ElevenLabs' text-to-speech, on this machine: both text-in websockets, HTTP synthesis, voices.

::

    async with ElevenLabsEmulator() as elevenlabs:
        tts = ElevenLabsTTS("test-key", base_url=elevenlabs.base_url, voice_id="rachel")

It speaks data tones (`patter.local.tones`), so whoever decodes them knows exactly which words arrived.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import uuid4

import anyio

from patter.testing.emulators.connection import Connection, Connections, public_headers
from patter.testing.emulators.elevenlabs_http import Piece, Streamed
from patter.testing.emulators.elevenlabs_socket import TextInSession, TextInSettings, error_frame
from patter.testing.emulators.elevenlabs_speech import FORMATS, Chunk, speak
from patter.testing.emulators.faults import Faults, Refuse
from patter.testing.emulators.peer import Wording, converse, refuse, with_transport
from patter.testing.emulators.serving import Serving

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection, Request
    from starlette.types import ASGIApp
    from starlette.websockets import WebSocket

__all__ = ["ElevenLabsEmulator", "EmulatedVoice", "Problem"]

MAX_INACTIVITY_S = 180


@dataclass(frozen=True, slots=True)
class EmulatedVoice:
    """A voice of the account."""

    voice_id: str
    name: str
    category: str = "premade"

    def as_json(self) -> dict[str, Any]:
        """The voice as the lists show it."""
        labels = {"accent": "emulated", "use_case": "conversational"}
        return {"voice_id": self.voice_id, "name": self.name, "category": self.category, "labels": labels}


VOICES = (
    EmulatedVoice("21m00Tcm4TlvDq8ikWAM", "Rachel"),
    EmulatedVoice("EXAVITQu4vr4xnSDxMaL", "Sarah"),
    EmulatedVoice("JBFqnCBsd6RMkjVDRZzb", "George"),
    EmulatedVoice("nPczCjzI2devNBz1zQrb", "Brian"),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a synthesis is refused."""

    status: int
    error: str
    message: str

    def as_json(self) -> dict[str, Any]:
        """The body of the HTTP answer."""
        return {"detail": {"status": self.error, "message": self.message}}


def _refusal(status: int) -> dict[str, Any]:
    errors = {401: "invalid_api_key", 404: "voice_not_found", 429: "too_many_concurrent_requests"}
    return Problem(status, errors.get(status, "server_error"), "The request was refused.").as_json()


_WORDING = Wording(
    unknown={"novelty": {"deep": [1, None]}},
    error=error_frame("internal_error", "The service has failed."),
    refusal=_refusal,
)


@dataclass(kw_only=True, slots=True)
class ElevenLabsEmulator:
    """The service. Enter it to serve; every knob may be changed at any time, for what follows.

    ``base_url`` is its http origin. ``connections`` has websockets and syntheses over HTTP in the order
    in which they came, ``faults`` what shall go wrong with them; lists of voices count as neither.
    """

    api_key: str = "test-key"
    """The key that is accepted."""
    voices: list[EmulatedVoice] = field(default_factory=lambda: list(VOICES))
    """The account's voices; another voice is not found."""
    realtime_factor: float = 50.0
    """How much faster than speech the audio comes."""
    first_byte_ms: float = 5.0
    """Time before the first audio of each generation."""
    chunk_ms: int = 130
    """Audio in one message or piece; words are cut where it ends."""
    quota_characters: int | None = None
    """Characters that the account has left when the emulator begins; None is any number."""
    refuses_at: Literal["handshake", "message"] = "message"
    """Where a websocket learns that key, voice, quota or format are refused: with an HTTP status, or by an
    error after its first message."""
    sends_is_final: bool = True
    """False leaves out the message with isFinal."""
    late_audio_after_close: bool = True
    """close_context lets what was set to be spoken be finished; False ends it at once."""
    speaks_symbols: bool = True
    """False has no sound for words without a letter or digit, such as emoji."""
    inactivity_s: float | None = None
    """Closes websockets without input after this time, whatever inactivity_timeout they ask for."""
    timestamps_restart: bool = False
    """HTTP with timestamps: True counts from each piece's beginning, False from that of the answer."""

    base_url: str = field(default="", init=False)
    characters: int = field(default=0, init=False)
    """What was billed so far."""
    connections: Connections = field(default_factory=Connections, init=False)
    faults: Faults = field(default_factory=Faults, init=False)
    _serving: Serving | None = field(default=None, init=False, repr=False)
    _closing: anyio.Event = field(default_factory=anyio.Event, init=False, repr=False)

    async def __aenter__(self) -> Self:
        from starlette.applications import Starlette
        from starlette.routing import Route, WebSocketRoute

        voice = "/v1/text-to-speech/{voice}"
        app = Starlette(
            routes=[
                WebSocketRoute(f"{voice}/stream-input", self._text_in),
                WebSocketRoute(f"{voice}/multi-stream-input", self._text_in),
                Route(voice, self._synthesise, methods=["POST"]),
                Route(f"{voice}/stream", self._synthesise, methods=["POST"]),
                Route(f"{voice}/with-timestamps", self._synthesise, methods=["POST"]),
                Route(f"{voice}/stream/with-timestamps", self._synthesise, methods=["POST"]),
                Route("/v1/voices", self._voices),
                Route("/v2/voices", self._voices),
                Route("/v1/voices/{voice}", self._voice),
            ]
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

    def bad_key(self) -> Problem:
        """The answer to a wrong key."""
        return Problem(401, "invalid_api_key", "Invalid API key")

    def bill(self, record: Connection, text: str) -> Problem | None:
        """Bill the characters of a text, or say that they are more than is left."""
        left = None if self.quota_characters is None else self.quota_characters - self.characters
        if left is not None and len(text) > left:
            message = f"This request exceeds your quota. You have {left} credits remaining."
            return Problem(401, "quota_exceeded", message)
        self.characters += len(text)
        record.characters += len(text)
        return None

    # --- websockets

    async def _text_in(self, websocket: WebSocket) -> None:
        record = self._begin("GET", websocket)
        settings = TextInSettings(
            multi=record.path.endswith("/multi-stream-input"),
            output_format=_format(record),
            auto_mode=record.parameter("auto_mode") == "true",
            sync_alignment=record.parameter("sync_alignment") == "true",
            inactivity_s=self.inactivity_s or _inactivity_s(record),
        )
        needs_key = "xi-api-key" not in websocket.headers
        problem = self._problem(websocket, record, needs_key=not needs_key)
        if problem is not None and self.refuses_at == "handshake":
            await refuse(websocket, record, problem.status, problem.as_json())
            return
        session = TextInSession(self, settings, problem, needs_key=needs_key)
        await converse(websocket, record, _WORDING, session.run, closing=self._closing)

    # --- HTTP

    async def _synthesise(self, request: Request) -> ASGIApp:
        from starlette.responses import JSONResponse, Response

        record = self._begin("POST", request)
        fault = record.fault
        if isinstance(fault, Refuse):
            record.status = fault.status
            if isinstance(fault.body, str):
                return Response(fault.body, fault.status, fault.headers, "text/plain")
            return JSONResponse(dict(fault.body or _refusal(fault.status)), fault.status, fault.headers)
        text = _text_of(await request.body(), record)
        problem = self._problem(request, record, needs_key=True)
        if problem is None and text is not None:
            problem = self.bill(record, text)
        if problem is not None:
            record.status = problem.status
            return JSONResponse(problem.as_json(), problem.status)
        if text is None:
            record.status = 422
            missing = {"type": "missing", "loc": ["body", "text"], "msg": "Field required", "input": {}}
            return JSONResponse({"detail": [missing]}, 422)
        timed = record.path.endswith("/with-timestamps")
        streams = "/stream" in record.path
        headers = {
            "content-type": "application/json" if timed else "audio/basic",
            "request-id": uuid4().hex,
            "character-cost": str(len(text)),
        }
        pieces = self._pieces(text, _format(record), timed=timed, streams=streams)
        return Streamed(pieces, record, headers, is_json=timed, closing=self._closing)

    async def _pieces(
        self, text: str, output_format: str, *, timed: bool, streams: bool
    ) -> AsyncGenerator[Piece, None]:
        await anyio.sleep(self.first_byte_ms / 1000)
        begin_s = anyio.current_time()
        length_ms = self.chunk_ms if streams else 10**9
        for chunk in speak(text, output_format=output_format, chunk_ms=length_ms, speaks_symbols=self.speaks_symbols):
            ready_ms = chunk.start_ms if streams else chunk.duration_ms
            await anyio.sleep_until(begin_s + ready_ms / 1000 / self.realtime_factor)
            yield self._line(chunk) if timed else chunk.audio, chunk.audio, chunk.duration_ms

    def _line(self, chunk: Chunk) -> bytes:
        line = {"audio_base64": base64.b64encode(chunk.audio).decode(), **chunk.timestamps()}
        if not self.timestamps_restart:
            for alignment in (line["alignment"], line["normalized_alignment"]):
                for name in ("character_start_times_seconds", "character_end_times_seconds"):
                    if alignment:
                        alignment[name] = [round(at_s + chunk.start_ms / 1000, 3) for at_s in alignment[name]]
        return json.dumps(line).encode() + b"\n"

    async def _voices(self, request: Request) -> ASGIApp:
        from starlette.responses import JSONResponse

        if request.headers.get("xi-api-key") != self.api_key:
            return JSONResponse(self.bad_key().as_json(), 401)
        query = request.query_params
        wanted = query.get("search", "").lower()
        found = [voice.as_json() for voice in self.voices if wanted in voice.name.lower()]
        if request.url.path.startswith("/v1"):
            return JSONResponse({"voices": found})
        size, begin = int(query.get("page_size", "10")), int(query.get("next_page_token", "0"))
        end = begin + size
        has_more = end < len(found)
        page = {"voices": found[begin:end], "has_more": has_more, "total_count": len(found)}
        return JSONResponse(page | {"next_page_token": str(end) if has_more else None})

    async def _voice(self, request: Request) -> ASGIApp:
        from starlette.responses import JSONResponse

        if request.headers.get("xi-api-key") != self.api_key:
            return JSONResponse(self.bad_key().as_json(), 401)
        wanted = request.path_params["voice"]
        found = [voice.as_json() for voice in self.voices if voice.voice_id == wanted]
        return JSONResponse(found[0]) if found else JSONResponse(_unknown_voice(wanted).as_json(), 404)

    # --- both

    def _begin(self, method: str, request: HTTPConnection) -> Connection:
        query: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            query.setdefault(name, []).append(value)
        record = Connection(method, request.url.path, query, public_headers(request.headers), self.faults.take())
        self.connections.begin(record)
        return record

    def _problem(self, request: HTTPConnection, record: Connection, *, needs_key: bool) -> Problem | None:
        if needs_key and request.headers.get("xi-api-key") != self.api_key:
            return self.bad_key()
        voice = request.path_params["voice"]
        if voice not in {known.voice_id for known in self.voices}:
            return _unknown_voice(voice)
        if _format(record) not in FORMATS:
            message = f"The emulator speaks {', '.join(FORMATS)}; ask for one of them in output_format."
            return Problem(400, "invalid_output_format", message)
        if self.quota_characters is not None and self.characters >= self.quota_characters:
            return Problem(401, "quota_exceeded", "This request exceeds your quota. You have 0 credits remaining.")
        return None


def _unknown_voice(voice: str) -> Problem:
    return Problem(404, "voice_not_found", f"A voice with the voice_id {voice} was not found.")


def _format(record: Connection) -> str:
    return record.parameter("output_format") or "mp3_44100_128"


def _inactivity_s(record: Connection) -> float:
    value = record.parameter("inactivity_timeout") or ""
    return min(float(value), MAX_INACTIVITY_S) if value.isascii() and value.isdigit() else 20.0


def _text_of(body: bytes, record: Connection) -> str | None:
    try:
        message = json.loads(body)
    except ValueError:
        return None
    if not isinstance(message, dict):
        return None
    record.note("client", message)
    text = message.get("text")
    return text if isinstance(text, str) else None
