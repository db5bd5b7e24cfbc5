"""ElevenLabs as plain data: addresses, messages, what a refusal means, and audio cut into words. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from patter.audio.mulaw import BYTES_PER_MS, SILENCE
from patter.errors import ProviderError
from patter.voice.base import Speech
from patter.voice.refusal import refusal

__all__ = [
    "BASE_URL_VARIABLE",
    "KEY_VARIABLE",
    "OUTPUT_FORMAT",
    "UNKNOWN",
    "VENDOR",
    "Failure",
    "Output",
    "Pieces",
    "Settings",
    "broken_off",
    "clause",
    "closing",
    "decoded",
    "error_word",
    "is_speakable",
    "keep_alive",
    "opening",
    "read",
    "refused",
    "socket_address",
    "starts_of",
]

VENDOR = "ElevenLabs"
KEY_VARIABLE = "ELEVENLABS_API_KEY"
BASE_URL_VARIABLE = "ELEVENLABS_BASE_URL"
OUTPUT_FORMAT = "ulaw_8000"
UNKNOWN = "error"
"""The word for an error for which the vendor has given none."""
INACTIVITY_S = 180
"""The longest silence between two texts that can be asked for; without asking it is 20 s."""

_ACCOUNT = f"The {VENDOR} account has no credit left; add some, or use another key in {KEY_VARIABLE}"
_KEY = f"{VENDOR} does not accept the key; check {KEY_VARIABLE}"
_PERMISSION = f"The key in {KEY_VARIABLE} may not use this at {VENDOR}; check its permissions and the plan"
_VOICE = f"{VENDOR} does not know the voice; check voice_id"
_MODEL = f"{VENDOR} does not know the model, or not for this use; check model"

_PERMANENT = {
    "quota_exceeded": _ACCOUNT,
    "payment_required": _ACCOUNT,
    "invalid_api_key": _KEY,
    "authentication_required": _KEY,
    "needs_authorization": _KEY,
    "unauthorized": _KEY,
    "missing_permissions": _PERMISSION,
    "subscription_required": _PERMISSION,
    "voice_not_found": _VOICE,
    "voice_id_does_not_exist": _VOICE,
    "invalid_voice_id": _VOICE,
    "model_not_found": _MODEL,
    "model_id_does_not_exist": _MODEL,
    "unsupported_model": _MODEL,
}
"""Words that a vendor's refusal is known by, for which no second try helps."""

_WORD = re.compile(r"[A-Za-z0-9_.+-]{1,60}")
_LOOK_AHEAD_WORDS = 3
_FITS_MS = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What every request carries. ``base_url`` is an http(s) address; ``open_s`` bounds a handshake."""

    key: str = field(repr=False)
    base_url: str
    model: str
    language: str | None
    voice_settings: Mapping[str, float | bool]
    open_s: float


@dataclass(frozen=True, slots=True)
class Output:
    """Audio of a context, and the characters that are heard in it, each with its time in milliseconds."""

    context: str
    audio: bytes = b""
    starts: tuple[tuple[str, float], ...] = ()
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """The vendor's error, for one context or (None) for the connection. ``word`` is its own name for it."""

    context: str | None
    word: str

    @property
    def is_permanent(self) -> bool:
        """True if the same request will be refused again."""
        return self.word in _PERMANENT


def socket_address(settings: Settings, voice: str) -> str:
    """The http(s) address of the live socket, with its query."""
    query = {
        "model_id": settings.model,
        "output_format": OUTPUT_FORMAT,
        "auto_mode": "true",
        "inactivity_timeout": str(INACTIVITY_S),
        "sync_alignment": "true",
    }
    if settings.language:
        query["language_code"] = settings.language
    return f"{settings.base_url}/v1/text-to-speech/{quote(voice, safe='')}/multi-stream-input?{urlencode(query)}"


def opening(context: str, voice_settings: Mapping[str, float | bool]) -> str:
    """The first message of a context."""
    message: dict[str, Any] = {"text": " ", "context_id": context}
    if voice_settings:
        message["voice_settings"] = dict(voice_settings)
    return json.dumps(message)


def clause(context: str, text: str) -> str:
    """Text to be spoken at once. The vendor wants it to end with a space."""
    return json.dumps({"text": f"{text} ", "context_id": context, "flush": True})


def closing(context: str) -> str:
    """The last message of a context; the final message follows. Whether what was flushed is still spoken then
    is documented both ways, so it is sent when the sound is there."""
    return json.dumps({"context_id": context, "close_context": True})


def keep_alive(context: str) -> str:
    """Resets the time a context may be without text."""
    return json.dumps({"text": "", "context_id": context})


def is_speakable(text: str) -> bool:
    """True if the text has a letter or a digit; punctuation and emoji have no sound."""
    return any(character.isalnum() for character in text)


def read(message: str | bytes) -> Output | Failure | None:
    """What a message of the socket says; None if it says nothing that is known."""
    try:
        data = json.loads(message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    context = data.get("contextId", data.get("context_id"))
    context = context if isinstance(context, str) else None
    if data.get("error") or ("code" in data and "message" in data) or "detail" in data:
        return Failure(context, error_word(data))
    if context is None:
        return None
    audio, starts = decoded(data.get("audio")), starts_of(data.get("alignment"))
    is_final = data.get("isFinal", data.get("is_final")) is True
    return Output(context, audio, starts, is_final) if audio or starts or is_final else None


def error_word(body: object) -> str:
    """The vendor's own word for an error: of a message, of an HTTP body, or of the reason of a close."""
    if isinstance(body, str):
        return next((word for word in _PERMANENT if word in body), UNKNOWN)
    if not isinstance(body, Mapping):
        return UNKNOWN
    detail = body.get("detail")
    source = detail if isinstance(detail, Mapping) else body
    for key in ("status", "error", "code"):
        word = source.get(key)
        if isinstance(word, str) and _WORD.fullmatch(word):
            return word
    return error_word(str(source.get("message") or source.get("error") or detail or ""))


def refused(word: str, status: int | None = None) -> ProviderError:
    """The error for a request that the vendor has refused.

    Args:
        status: the HTTP status, if the refusal came by HTTP.
    """
    reason = _PERMANENT.get(word)
    if reason is None:
        return refusal("tts", VENDOR, status, variable=KEY_VARIABLE, detail="" if word == UNKNOWN else word)
    source = f"HTTP {status}, {word}" if status else word
    return ProviderError("tts", f"{reason} ({source}).")


def broken_off(word: str) -> ProviderError:
    """The error for speech that was broken off, or never began, and could not be taken up again."""
    problem = f"{VENDOR} did not speak the whole text, though asked again ({word})"
    return ProviderError("tts", f"{problem}; try again later, or add a fallback provider.", retryable=True)


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where a piece begins in the audio, in bytes."""

    at: int
    text: str
    is_pause: bool


class Pieces:
    """Cuts the audio of one context into words. Pure.

    The words are those of the text that was sent. The alignment only tells when each begins: it may
    lack characters, be cut anywhere, or not be there at all, and then a text goes with the first audio
    after it.

    Args:
        times_restart: what to believe while it cannot be told: the times of each audio count from its
            own beginning, or (False) from that of the first.
    """

    def __init__(self, *, times_restart: bool = True) -> None:
        self._times_restart = times_restart
        self._words: list[str] = []
        self._clause_ends: list[int] = []
        self._begun = 0
        self._filled = 0
        """Characters of the last begun word that the alignment has named."""
        self._gap = self._is_pause = True
        self._pending = ""
        """Words that have begun at the very end of the audio so far."""
        self._heard_ms = 0.0
        self.is_aligned = False

    @property
    def is_complete(self) -> bool:
        """True if every word has begun."""
        return self._begun == len(self._words)

    @property
    def is_covered(self) -> bool:
        """True if the alignment has named what follows the last word with a sound: the audio is all there."""
        last = max((number for number, word in enumerate(self._words, 1) if is_speakable(word)), default=0)
        return self.is_aligned and (self._begun > last or (self._begun == last and self._gap))

    @property
    def is_whole(self) -> bool:
        """True if the audio so far does not end within a word, as far as the alignment tells."""
        is_named = bool(self._begun) and self._filled >= len(self._words[self._begun - 1])
        return not self.is_aligned or self._gap or (self.is_complete and is_named)

    @property
    def has_sounded(self) -> bool:
        """True if there was any audio."""
        return self._heard_ms > 0

    def say(self, text: str) -> None:
        """A text was sent."""
        self._words += text.split()
        self._clause_ends.append(len(self._words))

    def take(self, audio: bytes, starts: Iterable[tuple[str, float]] = ()) -> list[Speech]:
        """Cut the next audio.

        Args:
            starts: the characters in it, each with the milliseconds at which it begins.
        """
        ms = len(audio) / BYTES_PER_MS
        cuts = [_Cut(0, self._pending, is_pause=self._is_pause and not self._pending)]
        starts = list(starts)
        if starts:
            self.is_aligned = True
            shift_ms = self._shift_ms(starts, ms)
            for characters, start_ms in starts:
                begin = min(round(max(start_ms - shift_ms, 0.0) * BYTES_PER_MS), len(audio))
                text = " ".join(self._begins(characters))
                if text or self._gap != self._is_pause:
                    self._is_pause = self._gap
                    self._cut(cuts, begin, text)
        elif audio and not self.is_aligned and not self.is_complete:
            self._is_pause = False
            self._cut(cuts, 0, self._begin(len(self._words)))
        self._pending = cuts.pop().text if cuts[-1].at >= len(audio) else ""
        self._heard_ms += ms
        ends = [cut.at for cut in cuts[1:]] + [len(audio)]
        pieces = zip(cuts, ends, strict=True) if cuts else ()
        return [Speech(audio[cut.at : end], cut.text, pause=cut.is_pause) for cut, end in pieces if end > cut.at]

    def rest(self) -> list[Speech]:
        """After the last audio: the words that were said, and of which the alignment has not told.

        They go with a millisecond of silence, so that they count as heard after all that was before
        them. A clause of which no word has begun was not said.
        """
        end = next((end for end in self._clause_ends if end >= self._begun), 0) if self._begun else 0
        text = _joined(self._pending, self._begin(end))
        self._pending = ""
        return [Speech(bytes((SILENCE,)) * BYTES_PER_MS, text)] if text and self.has_sounded else []

    def _cut(self, cuts: list[_Cut], at: int, text: str) -> None:
        last = cuts[-1]
        # What sounds before the first word belongs to it.
        at = last.at if not last.text and not self.has_sounded and len(cuts) == 1 else max(at, last.at)
        if at == last.at:
            cuts.pop()
            text = _joined(last.text, text)
        cuts.append(_Cut(at, text, is_pause=self._is_pause and not text))

    def _shift_ms(self, starts: list[tuple[str, float]], ms: float) -> float:
        """What to take from the times, so that they count from the beginning of this audio."""
        if not self._heard_ms:
            return 0.0
        if starts[0][1] < self._heard_ms - _FITS_MS:
            self._times_restart = True
        elif max(start for _, start in starts) > ms + _FITS_MS:
            self._times_restart = False
        return 0.0 if self._times_restart else self._heard_ms

    def _begins(self, characters: str) -> list[str]:
        """The words that begin with these characters of the alignment."""
        begun = []
        for character in characters:
            if character.isspace():
                self._gap = True
                continue
            if self._is_start(character) and (word := self._begin(self._target(character))):
                begun.append(word)
                self._filled = 0
            self._gap = False
            self._filled += 1
        return begun

    def _is_start(self, character: str) -> bool:
        """True if a word begins here. The alignment may lack a space, or have one inside a word."""
        word = self._words[self._begun - 1] if self._begun else ""
        is_open = self._filled < len(word)
        is_next = not self.is_complete and _same(self._words[self._begun], character)
        if not self._gap:
            return is_next and not is_open
        return is_next or not (is_open and word[self._filled] == character)

    def _target(self, character: str) -> int:
        """How many words have begun with this character. What has no sound may be missing in the alignment."""
        near = self._words[self._begun : self._begun + 1 + _LOOK_AHEAD_WORDS]
        for ahead, word in enumerate(near, 1):
            if _same(word, character):
                return self._begun + ahead
        return min(self._begun + 1, len(self._words))

    def _begin(self, count: int) -> str:
        text = " ".join(self._words[self._begun : count])
        self._begun = max(self._begun, count)
        return text


def _same(word: str, character: str) -> bool:
    return word[0].casefold() == character.casefold()


def _joined(first: str, second: str) -> str:
    return f"{first} {second}" if first and second else first or second


def decoded(audio: object) -> bytes:
    """The bytes of a base64 text; none if it is no such thing."""
    if not isinstance(audio, str):
        return b""
    try:
        return base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        return b""


def starts_of(alignment: object) -> tuple[tuple[str, float], ...]:
    """Characters and their milliseconds, as far as an alignment gives both."""
    if not isinstance(alignment, Mapping):
        return ()
    characters, times = alignment.get("chars"), alignment.get("charStartTimesMs")
    if not isinstance(characters, list) or not isinstance(times, list):
        return ()
    return tuple(
        (character, float(time))
        for character, time in zip(characters, times, strict=False)
        if isinstance(character, str) and isinstance(time, int | float) and math.isfinite(time)
    )
