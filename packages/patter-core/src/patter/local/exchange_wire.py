"""Twilio's words, as the local network writes and reads them. Pure.

Shapes: the REST reference of the Call resource, the TwiML reference of ``<Connect><Stream>`` and the
Media Streams page of Twilio's documentation.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

from patter.audio import mulaw

__all__ = [
    "Connect",
    "CreateRequest",
    "Dial",
    "Enter",
    "Hangup",
    "Refusal",
    "Rest",
    "Verb",
    "addresses",
    "media_message",
    "message",
    "read_create",
    "read_seconds",
    "read_twiml",
]

_E164 = re.compile(r"\+[1-9]\d{1,14}")
_MAX_TWIML = 4000
_SILENT_PAYLOAD = base64.b64encode(mulaw.silence(mulaw.FRAME_MS)).decode()
_SILENT_FRAME = mulaw.silence(mulaw.FRAME_MS)


class Refusal(Exception):
    """A request that Twilio would refuse, with its HTTP status and its code."""

    def __init__(self, http_status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.code = code

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        return {
            "code": self.code,
            "message": str(self),
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.http_status,
        }


@dataclass(frozen=True, slots=True)
class Connect:
    """``<Connect><Stream>``: blocks until the stream is over."""

    url: str
    parameters: Mapping[str, str]
    action: str | None = None


@dataclass(frozen=True, slots=True)
class Dial:
    """``<Dial>`` with a number: calls it, and connects the two when it answers."""

    number: str
    action: str | None = None
    caller_id: str | None = None
    timeout_s: int = 30
    time_limit_s: int = 14_400
    digits: str = ""
    status_url: str | None = None
    status_events: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Enter:
    """``<Dial><Conference>``: blocks until the conference is over."""

    room: str
    action: str | None = None
    starts_room: bool = True
    ends_room: bool = False
    time_limit_s: int = 14_400
    status_url: str | None = None
    status_events: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rest:
    """``<Pause>``, ``<Say>`` or ``<Play digits>``: something of a certain length without a stream.

    What is said takes as long as the network's announcer needs, if it has one.
    """

    seconds: float
    kind: str = "pause"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Hangup:
    """``<Hangup>``."""


Verb = Connect | Dial | Enter | Rest | Hangup


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """A request to place a call, checked."""

    to: str
    from_number: str
    twiml: str | None
    url: str | None
    status_url: str | None
    status_events: frozenset[str]
    timeout_s: int
    time_limit_s: int
    machine_detection: bool
    machine_url: str | None
    form: Mapping[str, str] = field(repr=False)
    direction: str = "outbound-api"
    digits: str = ""
    """The keys to press when the callee has answered."""
    verbs: tuple[Verb, ...] | None = None
    """The instructions of a call that another one has dialled."""
    parent: str | None = None
    """That other call."""

    @property
    def addresses(self) -> list[str]:
        """Every address that the call will use, as far as it is known."""
        given = [url for url in (self.url, self.status_url, self.machine_url) if url]
        return given + (addresses(read_twiml(self.twiml)) if self.twiml else [])

    @property
    def waits_for_verdict(self) -> bool:
        """True if the call's instructions wait for the machine detection."""
        return self.machine_detection and self.machine_url is None


def read_create(form: Mapping[str, list[str]]) -> CreateRequest:
    """Check the form of a create request.

    Raises:
        Refusal: with Twilio's code for what is wrong.
    """
    one = {name: values[-1] for name, values in form.items()}
    if not _E164.fullmatch(one.get("To", "")):
        raise Refusal(400, 21211, "Invalid 'To' Phone Number")
    if not _E164.fullmatch(one.get("From", "")):
        raise Refusal(400, 21212, "Invalid 'From' Phone Number")
    if not (one.get("Twiml") or one.get("Url")):
        raise Refusal(400, 21205, "Url or Twiml must be given")
    if one.get("Twiml"):
        read_twiml(one["Twiml"])
    machine = one.get("MachineDetection", "none").lower() in {"enable", "detectmessageend"}
    with_verdict_later = machine and one.get("AsyncAmd", "false").lower() == "true"
    return CreateRequest(
        to=one["To"],
        from_number=one["From"],
        twiml=one.get("Twiml"),
        url=one.get("Url"),
        status_url=one.get("StatusCallback"),
        status_events=frozenset(form.get("StatusCallbackEvent", ["completed"])),
        timeout_s=read_seconds(one, "Timeout", 60, 600),
        time_limit_s=read_seconds(one, "TimeLimit", 14400, 86400),
        machine_detection=machine,
        machine_url=one.get("AsyncAmdStatusCallback", "") if with_verdict_later else None,
        form=one,
        digits=_digits(one.get("SendDigits", "")),
    )


def read_seconds(form: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A number of whole seconds of a form.

    Raises:
        Refusal: it is none, or out of its range.
    """
    text = form.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise Refusal(400, 21208, f"Invalid {name}: 1 to {most} seconds")
    return int(text)


def read_twiml(text: str) -> list[Verb]:
    """Read a call's instructions.

    Raises:
        Refusal: no TwiML, too long, or a verb that the local network does not know.
    """
    if len(text) > _MAX_TWIML:
        raise Refusal(400, 21218, f"Twiml has more than {_MAX_TWIML} characters")
    try:
        if "<!" in text:
            raise Refusal(400, 12100, "TwiML with a document type")
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise Refusal(400, 12100, f"Document parse failure: {error}") from error
    if root.tag != "Response":
        raise Refusal(400, 12100, f"TwiML begins with <Response>, not <{root.tag}>")
    return [_verb(element) for element in root]


def _verb(element: ElementTree.Element) -> Verb:
    match element.tag:
        case "Connect":
            return _connect(element)
        case "Hangup" | "Reject":
            return Hangup()
        case "Pause":
            return Rest(float(element.get("length", "1")))
        case "Say":
            return Rest(1.0, "say", "".join(element.itertext()).strip())
        case "Play" if digits := element.get("digits"):
            return Rest(0.2 * len(digits), "digits", digits)
        case "Dial":
            return _dial(element)
    raise Refusal(400, 12200, f"The local network does not know <{element.tag}>")


def _connect(element: ElementTree.Element) -> Connect:
    stream = element.find("Stream")
    url = (stream.get("url") or "") if stream is not None else ""
    if stream is None or urlsplit(url).scheme not in {"ws", "wss"}:
        raise Refusal(400, 12200, "<Connect> needs a <Stream> with a ws: or wss: url")
    parameters = {item.get("name", ""): item.get("value", "") for item in stream.findall("Parameter")}
    # Twilio does not support a query in the address of a stream, and connects without it.
    return Connect(url.partition("?")[0], parameters, element.get("action"))


def _dial(element: ElementTree.Element) -> Dial | Enter:
    conference, number = element.find("Conference"), element.find("Number")
    action = element.get("action")
    limit_s = read_seconds(element.attrib, "timeLimit", 14_400, 86_400)
    if conference is not None:
        name = (conference.text or "").strip()
        if not name:
            raise Refusal(400, 13214, "<Conference> needs a name")
        return Enter(
            name,
            action,
            starts_room=conference.get("startConferenceOnEnter", "true") == "true",
            ends_room=conference.get("endConferenceOnExit", "false") == "true",
            time_limit_s=limit_s,
            status_url=conference.get("statusCallback"),
            status_events=frozenset(conference.get("statusCallbackEvent", "").split()),
        )
    details = element if number is None else number
    text = (details.text or "").strip()
    if not _E164.fullmatch(text):
        raise Refusal(400, 13223, "<Dial> needs a number in E.164 form")
    return Dial(
        text,
        action,
        caller_id=element.get("callerId"),
        timeout_s=read_seconds(element.attrib, "timeout", 30, 600),
        time_limit_s=limit_s,
        digits=_digits(details.get("sendDigits", "")),
        status_url=details.get("statusCallback"),
        status_events=frozenset(details.get("statusCallbackEvent", "completed").split()),
    )


def _digits(text: str) -> str:
    if not re.fullmatch(r"[0-9*#wW]*", text):
        raise Refusal(400, 21213, "SendDigits holds 0-9, *, #, w and W")
    return text.replace("W", "ww")


def addresses(verbs: Iterable[Verb]) -> list[str]:
    """Every address that these instructions use."""
    urls: list[str | None] = []
    for verb in verbs:
        match verb:
            case Connect():
                urls.append(verb.url)
            case Dial() | Enter():
                urls += [verb.action, verb.status_url]
    return [url for url in urls if url]


def media_message(stream_sid: str, sequence: int, chunk: int, audio: bytes) -> str:
    """A frame of the callee's audio. ``chunk`` counts from 1, 20 ms each."""
    payload = _SILENT_PAYLOAD if audio == _SILENT_FRAME else base64.b64encode(audio).decode()
    return (
        f'{{"event":"media","sequenceNumber":"{sequence}","media":{{"track":"inbound","chunk":"{chunk}",'
        f'"timestamp":"{(chunk - 1) * mulaw.FRAME_MS}","payload":"{payload}"}},"streamSid":"{stream_sid}"}}'
    )


def message(event: str, stream_sid: str, sequence: int, **content: Any) -> str:
    """Any other message of the media socket. Its content stands under the event's own name."""
    body = {"event": event, "sequenceNumber": str(sequence), "streamSid": stream_sid, event: content}
    return json.dumps(body, separators=(",", ":"))
