"""The addresses of Deepgram's listen sockets: what a client may ask for, and how a mistake is refused. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from patter.testing.emulators.deepgram_v1 import QueryV1
from patter.testing.emulators.deepgram_v2 import QueryV2

__all__ = ["BadQuery", "encoding_of", "read_v1", "read_v2", "refusal"]

Query = Mapping[str, Sequence[str]]

_ENCODINGS_V1 = {
    *("linear16", "linear32", "flac", "alaw", "mulaw", "amr-nb", "amr-wb", "opus", "ogg-opus", "speex", "g729"),
}
_ENCODINGS_V2 = {"linear16", "linear32", "mulaw", "alaw", "opus", "ogg-opus"}
_RAW = {"mulaw", "linear16"}
"""What the emulator can decode, at 8 kHz."""

_KNOWN_V2 = {
    *("model", "encoding", "sample_rate", "eager_eot_threshold", "eot_threshold", "eot_timeout_ms", "keyterm"),
    *("language_hint", "profanity_filter", "numerals", "redact", "mip_opt_out", "tag"),
}

_ERRORS = {
    400: ("Bad Request", "The request is not valid."),
    401: ("INVALID_AUTH", "Invalid credentials."),
    402: ("ASR_PAYMENT_REQUIRED", "Project does not have enough credits for an ASR request."),
    403: ("INSUFFICIENT_PERMISSIONS", "User does not have sufficient permissions."),
    429: ("TOO_MANY_REQUESTS", "Too many requests. Please try again later"),
    503: ("SERVICE_UNAVAILABLE", "The service is temporarily unavailable."),
}


class BadQuery(ValueError):
    """The address asks for something that the service refuses; the message says what."""


def refusal(status: int, message: str | None = None) -> dict[str, Any]:
    """The body of a refused handshake."""
    code, usual = _ERRORS.get(status, ("INTERNAL_SERVER_ERROR", "The server has failed."))
    return {"err_code": code, "err_msg": message or usual, "request_id": str(uuid4())}


def encoding_of(query: Query, *, version: int) -> str | None:
    """The encoding of the audio that will come, or None if none is declared.

    Raises:
        BadQuery: it is unknown, its rate is missing, or it is one that the emulator cannot decode.
    """
    encoding = _one(query, "encoding")
    if encoding is None:
        return None
    if encoding not in (_ENCODINGS_V1 if version == 1 else _ENCODINGS_V2):
        raise BadQuery(f"Unknown encoding: {encoding}.")
    if _one(query, "sample_rate") is None and encoding in _RAW:
        raise BadQuery("sample_rate is required when encoding is given.")
    rate = _number(query, "sample_rate", 0)
    if encoding not in _RAW or rate != 8000:
        raise BadQuery(f"The emulator hears mulaw and linear16 at 8000 Hz only, not {encoding} at {rate} Hz.")
    return encoding


def read_v1(query: Query) -> QueryV1:
    """The parameters of listen v1. Parameters that do not change what the emulator answers pass unread.

    Raises:
        BadQuery: a value is none that the service takes.
    """
    endpointing: int | None = None
    if _one(query, "endpointing") != "false":
        endpointing = _number(query, "endpointing", 10)
    interim = _flag(query, "interim_results")
    utterance_end = _number(query, "utterance_end_ms", 0) or None
    if utterance_end is not None and (utterance_end < 1000 or not interim):
        raise BadQuery("utterance_end_ms must be at least 1000, and needs interim_results=true.")
    model = _one(query, "model") or "base"
    if model.startswith("flux"):
        raise BadQuery("Flux models are served at /v2/listen.")
    return QueryV1(
        model=model,
        interim_results=interim,
        endpointing_ms=endpointing,
        utterance_end_ms=utterance_end,
        vad_events=_flag(query, "vad_events"),
        formatted=_flag(query, "smart_format") or _flag(query, "punctuate"),
        channels=_number(query, "channels", 1),
    )


def read_v2(query: Query) -> QueryV2:
    """The parameters of listen v2, which knows fewer and refuses the others.

    Raises:
        BadQuery: a parameter is unknown, or a value is none that the service takes.
    """
    if unknown := sorted(set(query) - _KNOWN_V2):
        raise BadQuery(f"Unknown parameters: {', '.join(unknown)}.")
    model = _one(query, "model")
    if model not in ("flux-general-en", "flux-general-multi"):
        raise BadQuery(f"Unknown model: {model}.")
    read = QueryV2(
        model=model,
        eot_threshold=_decimal(query, "eot_threshold", 0.7) or 0.0,
        eager_eot_threshold=_decimal(query, "eager_eot_threshold", None),
        eot_timeout_ms=_number(query, "eot_timeout_ms", 5000),
        keyterms=tuple(query.get("keyterm", ())),
        language_hints=tuple(query.get("language_hint", ())),
    )
    if problem := read.problem():
        raise BadQuery(problem)
    return read


def _one(query: Query, name: str) -> str | None:
    values = query.get(name)
    return values[0] if values else None


def _flag(query: Query, name: str) -> bool:
    value = _one(query, name)
    if value not in (None, "true", "false"):
        raise BadQuery(f"{name} must be true or false.")
    return value == "true"


def _number(query: Query, name: str, default: int) -> int:
    value = _one(query, name)
    if value is None:
        return default
    if not value.isascii() or not value.isdigit():
        raise BadQuery(f"{name} must be a whole number.")
    return int(value)


def _decimal(query: Query, name: str, default: float | None) -> float | None:
    value = _one(query, name)
    try:
        return default if value is None else float(value)
    except ValueError:
        raise BadQuery(f"{name} must be a number.") from None
