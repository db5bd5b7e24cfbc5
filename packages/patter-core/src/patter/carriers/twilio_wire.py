"""Twilio's words, in both directions: Media Streams messages, TwiML, callback forms, error codes.

Pure: nothing here waits, reads a clock, or touches the network. What a stranger can send through a
media socket or a form becomes a value (`Malformed`, None), never an exception.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard
from urllib.parse import parse_qsl

from patter.carriers.base import (
    CallUpdate,
    CarrierStatus,
    Digits,
    LineEvent,
    LineStart,
    Mark,
    Media,
    RoomEvent,
    Stopped,
)

__all__ = [
    "MULAW_8K",
    "Connected",
    "Encoder",
    "Form",
    "Frame",
    "Malformed",
    "Message",
    "Opening",
    "busy_twiml",
    "connect_twiml",
    "describe_error",
    "is_call_id",
    "parse",
    "read_form",
    "read_update",
]

MULAW_8K = ("audio/x-mulaw", 8000, 1)

_SID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_KEYS = frozenset("0123456789*#ABCD")


@dataclass(frozen=True, slots=True)
class Connected:
    """The peer speaks Media Streams. It comes once, before `Opening`."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The stream starts. ``audio`` is its encoding, sample rate in Hz and number of channels."""

    stream_id: str
    start: LineStart
    audio: tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Frame:
    """An event of a running stream. ``chunk`` counts media from 1; 0 is no number."""

    stream_id: str
    event: LineEvent
    chunk: int = 0


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that the protocol does not know; to be skipped."""

    reason: str


Message = Connected | Opening | Frame | Malformed


def parse(message: str | bytes) -> Message:
    """Read one websocket message. Numbers may be strings, as Twilio sends them, or numbers."""
    if not isinstance(message, str):
        return Malformed("binary")
    try:
        body = json.loads(message)
    except (ValueError, RecursionError):
        return Malformed("not JSON")
    try:
        # Media first: of a call's messages, all but a few are audio.
        event = body["event"]
        if event == "media":
            return _media(body)
        if event == "start":
            return _opening(body)
        if event == "connected":
            return Connected()
        return _control(event, body)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        return Malformed("a field is missing or odd")


def _media(body: dict[str, Any]) -> Message:
    media = body["media"]
    if media.get("track", "inbound") != "inbound":
        return Malformed("not the callee's track")
    # Strict, because the lenient decoder drops foreign characters and returns noise.
    audio = a2b_base64(media["payload"], strict_mode=True)
    event = Media(audio, max(0, int(media["timestamp"])))
    return Frame(body["streamSid"], event, int(media.get("chunk", 0)))


def _opening(body: dict[str, Any]) -> Message:
    start = body["start"]
    stream_id, call_id = body.get("streamSid") or start["streamSid"], start["callSid"]
    if not (is_call_id(stream_id) and is_call_id(call_id)):
        return Malformed("an odd id")
    form = start.get("mediaFormat") or {}
    encoding, rate_hz, channels = MULAW_8K
    audio = (
        str(form.get("encoding", encoding)),
        int(form.get("sampleRate", rate_hz)),
        int(form.get("channels", channels)),
    )
    given = start.get("customParameters")
    parameters = {str(name): str(value) for name, value in given.items()} if given else {}
    return Opening(stream_id, LineStart(call_id, parameters), audio)


def _control(event: object, body: dict[str, Any]) -> Message:
    if event == "mark":
        name = body["mark"]["name"]
        return Frame(body["streamSid"], Mark(name)) if isinstance(name, str) else Malformed("an odd mark")
    if event == "dtmf":
        digits = body["dtmf"]["digit"].upper()
        if not digits or not _KEYS.issuperset(digits):
            return Malformed("an odd key")
        return Frame(body["streamSid"], Digits(digits))
    if event == "stop":
        return Frame(body["streamSid"], Stopped(clean=True, reason="stop"))
    return Malformed("an unknown event")


class Encoder:
    """The three messages that Twilio accepts, for one stream."""

    __slots__ = ("_mark_head", "_media_head", "clear")

    def __init__(self, stream_id: str) -> None:
        sid = json.dumps(stream_id)
        # Formatting by hand costs a fifth of json.dumps, and base64 needs no escaping.
        self._media_head = f'{{"event":"media","streamSid":{sid},"media":{{"payload":"'
        self._mark_head = f'{{"event":"mark","streamSid":{sid},"mark":{{"name":'
        self.clear = f'{{"event":"clear","streamSid":{sid}}}'

    def media(self, audio: bytes) -> str:
        """Audio of any length, mu-law 8 kHz."""
        return f'{self._media_head}{b2a_base64(audio, newline=False).decode("ascii")}"}}}}'

    def mark(self, name: str) -> str:
        """A mark; Twilio sends it back when all media before it was played or dropped."""
        return f"{self._mark_head}{json.dumps(name)}}}}}"


def busy_twiml() -> str:
    """The document that turns an incoming call away."""
    from twilio.twiml.voice_response import VoiceResponse

    response = VoiceResponse()
    response.reject(reason="busy")
    return str(response)


def connect_twiml(media_url: str, *, token: str, ref: str) -> str:
    """The document of a call: connect the media stream, and hang up when we close it.

    The token and the reference are parameters, because Twilio drops the query of a stream's address.
    """
    from twilio.twiml.voice_response import Connect, Stream, VoiceResponse

    stream = Stream(url=media_url)
    stream.parameter(name="token", value=token)
    stream.parameter(name="ref", value=ref)
    connect = Connect()
    connect.append(stream)
    response = VoiceResponse()
    response.append(connect)
    response.hangup()
    return str(response)


class Form(dict[str, list[str]]):
    """A decoded form that keeps every value of a repeated key, as the signature needs it."""

    def getlist(self, name: str) -> list[str]:
        """All values of a field."""
        return self.get(name, [])

    def first(self, name: str) -> str:
        """The first value of a field, without surrounding space, or an empty string."""
        values = self.get(name)
        return values[0].strip() if values else ""


def read_form(body: bytes) -> Form:
    """Decode a urlencoded body. What is not UTF-8 is replaced, so its signature does not hold."""
    form = Form()
    for name, value in parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, errors="replace"):
        form.setdefault(name, []).append(value)
    return form


def read_update(fields: Mapping[str, object]) -> CallUpdate:
    """A fact from a callback form or a call resource; what is odd in it is left out.

    Args:
        fields: single values under the names of the callback form (``CallSid``, ``CallStatus``,
            ``AnsweredBy``, ``SipResponseCode``, ``CallDuration`` in seconds), or of a conference's
            (``StatusCallbackEvent``).
    """
    call_id, status, answered_by = fields.get("CallSid"), fields.get("CallStatus"), fields.get("AnsweredBy")
    return CallUpdate(
        carrier_id=call_id if is_call_id(call_id) else "",
        status=CarrierStatus(status) if isinstance(status, str) and status in _STATUSES else None,
        answered_by=answered_by if isinstance(answered_by, str) and answered_by else None,
        sip_code=_count(fields.get("SipResponseCode")),
        duration_s=_count(fields.get("CallDuration")),
        room=_ROOM_EVENTS.get(str(fields.get("StatusCallbackEvent"))),
    )


_STATUSES = frozenset(CarrierStatus)
_ROOM_EVENTS: dict[str, RoomEvent] = {"participant-join": "join", "participant-leave": "leave"}


def _count(value: object) -> int | None:
    if isinstance(value, str) and len(value) <= 9 and value.isascii() and value.isdigit():
        return int(value)
    return None


def is_call_id(value: object) -> TypeGuard[str]:
    """True if the value can be an id of Twilio's: it stands in addresses and must not lead elsewhere."""
    return isinstance(value, str) and _SID.fullmatch(value) is not None


def describe_error(code: int | None, http_status: int | None) -> str:
    """Words for a refusal, with the remedy. Twilio's own words are not used: they hold numbers."""
    words = _ERRORS.get(code or 0) or _BY_STATUS.get(http_status or 0)
    if words is None and http_status is not None and not 300 <= http_status < 500:
        words = "Twilio failed" if http_status >= 500 else "Twilio's answer cannot be read"
    words = words or "Twilio refused the request"
    # The SDK repeats the HTTP status where Twilio gave no code of its own.
    source = f"Twilio error {code}" if code and code != http_status else f"HTTP {http_status}"
    return f"{words} ({source})."


_ERRORS: dict[int, str] = {
    10001: "The Twilio account is not active",
    10004: "The Twilio account's limit of concurrent calls is reached; wait for a call to end",
    20003: "Twilio does not accept the credentials; check account_sid and auth_token",
    20005: "The Twilio account is not active",
    20404: "Twilio does not know this call or account",
    20429: "Too many requests to Twilio; try again later",
    21201: "The number to call is missing",
    21203: "Twilio does not allow international calls from this account",
    21205: "Twilio does not accept the webhook address; it must be a public https address",
    21208: "Twilio does not accept the ring timeout",
    21210: "The phone_number is not a verified or bought number of this Twilio account",
    21211: "The number to call is not a valid phone number",
    21212: "The phone_number to call from is not a valid phone number",
    21213: "The phone_number to call from is missing",
    21214: "The number to call cannot be reached",
    21215: "The account may not call this country; turn it on in Twilio's voice geographic permissions",
    21216: "The account may not call this number",
    21217: "The number to call is not a valid phone number",
    21219: "A trial account may only call verified numbers; verify the number at Twilio, or upgrade",
    21220: "The call is over already",
    21608: "A trial account may only call verified numbers; verify the number at Twilio, or upgrade",
    32205: "Twilio blocks this destination as a high-risk number",
}

_BY_STATUS: dict[int, str] = {
    401: "Twilio does not accept the credentials; check account_sid and auth_token",
    403: "Twilio does not allow this request",
    404: "Twilio does not know this call or account; check account_sid and base_url",
    429: "Too many requests to Twilio; try again later",
}
