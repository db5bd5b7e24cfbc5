"""The exchange's end of one media socket: frames at the pace of life, a playback buffer, marks."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

import anyio
from anyio import CancelScope
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from patter.audio import mulaw
from patter.local.exchange_hosts import Hosts
from patter.local.exchange_playback import Playback
from patter.local.exchange_posts import signature
from patter.local.exchange_record import Arrival, CallRecord
from patter.local.exchange_settings import STREAM, Faults
from patter.local.exchange_wire import Connect, Refusal, media_message, message
from patter.local.handset import DialedCall, Handset

__all__ = ["MediaStream"]

Log = Callable[..., float]
"""Enters an event of this kind and detail, and returns its time."""

OPEN_S = 5.0
CLOSE_S = 0.3

INTRUDER_FRAMES = 10
"""Frames of the stream before a second socket tries to join it."""

INTRUDER_S = 1.0
"""By then the phone must have sent the second socket away."""

_CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'
_FIELDS = {"media": {"payload"}, "mark": {"name"}}


class MediaStream:
    """One ``<Connect><Stream>``. `run` returns when the phone's side is over.

    One task, the pacer, writes: a frame of the callee each 20 ms, and what became due in them. The
    other reads into the playback buffer. Cancelling `run` sends ``stop`` and closes, like a callee who
    hangs up.
    """

    def __init__(
        self,
        connect: Connect,
        dialed: DialedCall,
        handset: Handset,
        record: CallRecord,
        *,
        account_sid: str,
        auth_token: str,
        hosts: Hosts,
        faults: Faults,
        frame_s: float,
        log: Log,
        keep_audio: bool,
    ) -> None:
        self._url = connect.url
        self._hosts = hosts
        self._parameters = _parameters(connect.parameters, faults)
        self._dialed = dialed
        self._handset = handset
        self._record = record
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._faults = faults
        self._frame_s = frame_s
        self._log = log
        self._keep_audio = keep_audio
        self._sid = "MZ" + uuid4().hex
        self._sequence = 0
        self._chunk = 0
        self._playback = Playback()
        self._played_until = 0.0
        self._marked: dict[str, int] = {}
        self._delayed: str | None = None
        self._warned = False

    async def run(self) -> None:
        """Connect, stream, and close."""
        headers = signature(self._auth_token, self._url, {}, self._faults.media_signature)
        try:
            socket = await connect(
                self._hosts.reach(self._url),
                additional_headers=headers,
                user_agent_header="TwilioProxy/1.1",
                proxy=None,
                compression=None,
                open_timeout=OPEN_S,
                close_timeout=CLOSE_S,
                ping_interval=None,
            )
        except (OSError, WebSocketException, TimeoutError, Refusal) as error:
            self._log("stream-error", f"31920 {error}")
            return
        clean = True
        try:
            clean = await self._stream(socket, headers)
        finally:
            with CancelScope(shield=True), anyio.move_on_after(1.0):
                # A callee who broke did not hang up: the call has failed, and must look like it.
                await self._close(socket, clean=clean and not self._record.errors)

    async def _stream(self, socket: ClientConnection, headers: Mapping[str, str]) -> bool:
        """Run until the phone closes (True) or the line is cut by a fault (False)."""
        cut = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._receive, socket, tasks.cancel_scope)
            if self._faults.media_token == "reused":
                tasks.start_soon(self._intrude, headers)
            try:
                await self._open(socket)
                await self._pace(socket)
                cut = True
            except ConnectionClosed:
                pass
            tasks.cancel_scope.cancel()
        return not cut

    async def _open(self, socket: ClientConnection) -> None:
        await socket.send(_CONNECTED)
        if self._faults.media_stop_first:
            await self._send_stop(socket)
            await anyio.sleep_forever()
        self._record.parameters = self._parameters
        await socket.send(self._start_message())
        self._log("start", self._sid)

    def _start_message(self) -> str:
        return self._message(
            "start",
            accountSid=self._account_sid,
            streamSid=self._sid,
            callSid=self._dialed.sid,
            tracks=["inbound"],
            mediaFormat={"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            customParameters=self._parameters,
        )

    async def _pace(self, socket: ClientConnection) -> None:
        """Exchange frames; returns when a fault cuts the line."""
        faults = self._faults
        start = anyio.current_time()
        frames = 0
        while faults.media_drop_s is None or frames * 0.02 < faults.media_drop_s:
            if self._playback.pending_s:
                self._played_until = start + (frames + 1) * self._frame_s
            heard, marks = self._playback.tick()
            spoken = self._handset.exchange(heard)
            if self._keep_audio:
                self._record.played += heard
                self._record.spoken += spoken
            for name in marks:
                await self._send_mark(socket, name)
            for digit in self._handset.take_keys():
                self._log("dtmf", digit)
                await socket.send(self._message("dtmf", track="inbound_track", digit=digit))
            if faults.media_silent_s is None or frames * 0.02 < faults.media_silent_s:
                await self._send_frame(socket, spoken)
            frames += 1
            if frames == 3:
                for junk in faults.media_junk:
                    self._log("junk")
                    await socket.send(junk.replace(STREAM, self._sid) if isinstance(junk, str) else junk)
            due = start + frames * self._frame_s
            self._record.late_s = max(self._record.late_s, anyio.current_time() - due)
            await anyio.sleep_until(due)

    async def _send_frame(self, socket: ClientConnection, audio: bytes) -> None:
        self._chunk += 1
        self._sequence += 1
        text = media_message(self._sid, self._sequence, self._chunk, audio)
        if self._faults.media_shuffle:
            if self._delayed is None:
                self._delayed = text
                return
            await socket.send(text)
            text, self._delayed = self._delayed, None
            self._record.frames_sent += 1
        await socket.send(text)
        self._record.frames_sent += 1

    async def _send_mark(self, socket: ClientConnection, name: str) -> None:
        if not self._faults.marks_lost:
            self._record.marks.append(name)
            before_ms = self._marked.pop(name, 0) / mulaw.BYTES_PER_MS
            self._record.reached.append((anyio.current_time(), before_ms))
            self._log("mark", name)
            await socket.send(self._message("mark", name=name))

    def _message(self, event: str, **content: Any) -> str:
        self._sequence += 1
        return message(event, self._sid, self._sequence, **content)

    async def _receive(self, socket: ClientConnection, owner: CancelScope) -> None:
        try:
            async for text in socket:
                self._take(text)
        except ConnectionClosed:
            pass
        self._log("closed", f"{socket.close_code}")
        owner.cancel()

    def _take(self, text: str | bytes) -> None:
        """Read one message of the phone, as strictly as Twilio does."""
        if isinstance(text, bytes):
            self._warn(31950, "binary message")
            return
        try:
            body = json.loads(text)
            event = body["event"]
            content = {} if event == "clear" else body[event]
            odd = set(body) - {"event", "streamSid", event} or set(content) - _FIELDS.get(event, set())
            if odd or body["streamSid"] != self._sid:
                raise ValueError(f"odd fields {sorted(odd)}" if odd else "wrong streamSid")
            self._obey(event, content)
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            self._warn(31951, f"{type(error).__name__}: {error} in {text[:80]}")

    def _obey(self, event: str, content: Mapping[str, str]) -> None:
        match event:
            case "media":
                audio = base64.b64decode(content["payload"], validate=True)
                if self._keep_audio:
                    self._record.received += audio
                    self._record.arrivals.append(self._arrival(audio))
                self._playback.queue(audio)
                self._record.received_bytes += len(audio)
            case "mark":
                self._playback.mark(content["name"])
                self._marked[content["name"]] = self._record.received_bytes
            case "clear":
                dropped_s = self._playback.clear()
                self._record.clears.append(self._log("clear", f"{dropped_s:.3f}"))
            case _:
                raise ValueError(f"unknown event {event!r}")

    def _arrival(self, audio: bytes) -> Arrival:
        now = anyio.current_time()
        pending_s, left_s = self._playback.pending_s, self._played_until - now
        # What is pending while nothing is left waits for the next frame to begin.
        ahead_s = pending_s + max(left_s, 0.0) if pending_s else left_s
        return Arrival(now, mulaw.duration_ms(audio), ahead_s * 1000)

    def _warn(self, code: int, text: str) -> None:
        self._record.warnings.append((code, text))
        if not self._warned:
            self._warned = True
            self._log("warning", f"{code} {text}")

    async def _intrude(self, headers: Mapping[str, str]) -> None:
        """Once the stream runs, try to join the call on a second socket with the same token."""
        await anyio.sleep(INTRUDER_FRAMES * self._frame_s)
        try:
            async with connect(
                self._hosts.reach(self._url),
                additional_headers=headers,
                proxy=None,
                compression=None,
                close_timeout=CLOSE_S,
            ) as socket:
                await socket.send(_CONNECTED)
                await socket.send(self._start_message())
                with anyio.move_on_after(INTRUDER_S) as patience:
                    await socket.wait_closed()
                self._log("intruder", "joined" if patience.cancelled_caught else f"closed {socket.close_code}")
        except (OSError, WebSocketException) as error:
            self._log("intruder", f"refused: {error}")

    async def _send_stop(self, socket: ClientConnection) -> None:
        await socket.send(self._message("stop", accountSid=self._account_sid, callSid=self._dialed.sid))

    async def _close(self, socket: ClientConnection, *, clean: bool) -> None:
        if not clean:
            socket.transport.abort()
            self._log("cut")
        elif socket.close_code is None:
            with suppress(ConnectionClosed):
                await self._send_stop(socket)
                self._log("stop")
        await socket.close()
        socket.transport.abort()


def _parameters(given: Mapping[str, str], faults: Faults) -> dict[str, str]:
    if faults.media_token == "missing":
        return {}
    if faults.media_token == "wrong":
        return {name: f"not-{value}" for name, value in given.items()}
    return dict(given)
