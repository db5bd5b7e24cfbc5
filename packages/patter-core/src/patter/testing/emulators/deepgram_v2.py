"""Deepgram's listen v2 (Flux) as seen from the service: audio and control messages in, messages out. Pure.

The state machine of a turn is the vendor's (developers.deepgram.com/docs/flux/state): an Update about
every quarter of a second of audio unless the state has changed, an EagerEndOfTurn is never empty,
TurnResumed follows only an EagerEndOfTurn, and the EndOfTurn after an EagerEndOfTurn has its transcript.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from patter.audio import mulaw
from patter.testing.emulators.deepgram_hearing import Hearing, Word

__all__ = ["ListenV2", "QueryV2"]

CONFIDENCE = 0.98
UPDATE_S = 0.24
"""Distance of the Updates on the audio clock."""
SILENCE_CONFIDENCE = 0.05


@dataclass(frozen=True, slots=True)
class QueryV2:
    """What the client asked for in the address, or later with Configure."""

    model: str = "flux-general-en"
    eot_threshold: float = 0.7
    eager_eot_threshold: float | None = None
    eot_timeout_ms: int = 5000
    keyterms: tuple[str, ...] = ()
    language_hints: tuple[str, ...] = ()

    def problem(self) -> str | None:
        """What is wrong with the values, or None. The limits are those of the vendor's SDK."""
        if not 0.5 <= self.eot_threshold <= 1.0:
            return "eot_threshold must be between 0.5 and 1.0."
        if self.eager_eot_threshold is not None:
            if not 0.3 <= self.eager_eot_threshold <= 0.9:
                return "eager_eot_threshold must be between 0.3 and 0.9."
            if self.eager_eot_threshold > self.eot_threshold:
                return "eager_eot_threshold must not exceed eot_threshold."
        if not 500 <= self.eot_timeout_ms <= 60_000:
            return "eot_timeout_ms must be between 500 and 60000."
        return None


@dataclass(slots=True)
class ListenV2:
    """One connection. Each method returns the messages that the service sends now.

    Args:
        query: what was asked for.
        hearing: the words in the audio.
        eager_silence_ms: silence after which the end of the turn is likely.
        end_silence_ms: silence after which it is certain.
    """

    query: QueryV2
    hearing: Hearing
    eager_silence_ms: int = 200
    end_silence_ms: int = 500
    request_id: str = field(default_factory=lambda: str(uuid4()))
    fatal: bool = False
    """True once an Error was sent, which ends the connection."""
    _sequence: int = 0
    _turn: int = 0
    _words: list[Word] = field(default_factory=list)
    _told: int = 0
    _eager: bool = False
    _turn_start_s: float = 0.0
    _update_s: float = 0.0

    def opened(self) -> list[dict[str, Any]]:
        """The connection begins."""
        return [self._numbered({"type": "Connected", "request_id": self.request_id})]

    def audio(self, audio: bytes) -> list[dict[str, Any]]:
        """Take mu-law audio of any length."""
        out: list[dict[str, Any]] = []
        for begin in range(0, len(audio), mulaw.FRAME_BYTES):
            self._listen(audio[begin : begin + mulaw.FRAME_BYTES], out)
        return out

    def text(self, text: str) -> tuple[list[dict[str, Any]], bool]:
        """Take a control message. The second value is True if it ends the stream."""
        try:
            message = json.loads(text)
            kind = message["type"]
        except (ValueError, TypeError, KeyError):
            kind = None
        if kind == "CloseStream":
            return self.ended(), True
        if kind == "ForceEndTurn":
            return ([self._end("manual")] if self._words else []), False
        if kind == "Configure":
            return [self._configure(message)], False
        # Flux knows neither KeepAlive nor Finalize.
        self.fatal = True
        error = {
            "type": "Error",
            "code": "UNPARSABLE_CLIENT_MESSAGE",
            "description": f"Client message of type {kind!r} is not supported.",
        }
        return [self._numbered(error)], True

    def ended(self) -> list[dict[str, Any]]:
        """The client's stream is over: words not yet reported come as an Update; the turn is not ended."""
        return [self._info("Update", SILENCE_CONFIDENCE)] if len(self._words) > self._told else []

    def _listen(self, frame: bytes, out: list[dict[str, Any]]) -> None:
        hearing, query = self.hearing, self.query
        words = hearing.feed(frame)
        if words:
            begins = not self._words
            self._words += words
            if begins:
                out.append(self._info("StartOfTurn", SILENCE_CONFIDENCE))
            elif self._eager:
                self._eager = False
                out.append(self._info("TurnResumed", SILENCE_CONFIDENCE))
        silence_ms = hearing.silence_ms
        if self._words and hearing.sound_start_s is None:
            eager = query.eager_eot_threshold
            if query.eot_threshold < 1 and silence_ms >= self.end_silence_ms:
                out.append(self._end("model"))
            elif silence_ms >= query.eot_timeout_ms:
                out.append(self._end("timeout"))
            elif eager is not None and not self._eager and silence_ms >= self.eager_silence_ms:
                self._eager = True
                out.append(self._info("EagerEndOfTurn", min(eager + 0.05, query.eot_threshold)))
        if hearing.position_s - self._update_s >= UPDATE_S - 1e-9:
            out.append(self._info("Update", SILENCE_CONFIDENCE))

    def _end(self, trigger: str) -> dict[str, Any]:
        confidence = min(self.query.eot_threshold + 0.1, 0.99) if trigger == "model" else SILENCE_CONFIDENCE
        message = self._info("EndOfTurn", confidence) | {"trigger": trigger}
        self._words, self._told, self._eager = [], 0, False
        self._turn += 1
        self._turn_start_s = self.hearing.position_s
        return message

    def _info(self, event: str, confidence: float) -> dict[str, Any]:
        self._told = len(self._words)
        self._update_s = self.hearing.position_s
        languages = {"languages": ["en"]} if self.query.model.endswith("multi") else {}
        hinted = {"languages_hinted": list(self.query.language_hints)} if self.query.language_hints else {}
        info = {
            "type": "TurnInfo",
            "request_id": self.request_id,
            "event": event,
            "turn_index": self._turn,
            "audio_window_start": round(self._turn_start_s, 3),
            "audio_window_end": round(self.hearing.position_s, 3),
            "transcript": " ".join(word.text for word in self._words),
            "words": [
                {"word": word.text, "confidence": CONFIDENCE, "start": word.start_s, "end": word.end_s}
                for word in self._words
            ],
            "end_of_turn_confidence": round(confidence, 3),
        }
        return self._numbered(info | languages | hinted)

    def _configure(self, message: Mapping[str, Any]) -> dict[str, Any]:
        thresholds = message.get("thresholds") or {}
        asked: dict[str, Any] = {
            name: value
            for name in ("eot_threshold", "eager_eot_threshold", "eot_timeout_ms")
            if (value := thresholds.get(name)) is not None
        }
        if (keyterms := message.get("keyterms")) is not None:
            asked["keyterms"] = (keyterms,) if isinstance(keyterms, str) else tuple(keyterms)
        if (hints := message.get("language_hints")) is not None:
            asked["language_hints"] = tuple(hints)
        try:
            query = replace(self.query, **asked)
            problem = query.problem()
        except TypeError:
            problem = "A value has the wrong type."
        if problem:
            failure = {"code": "INVALID_CONFIGURATION", "description": problem}
            return self._numbered({"type": "ConfigureFailure", "request_id": self.request_id, **failure})
        self.query = query
        success = {
            "type": "ConfigureSuccess",
            "request_id": self.request_id,
            "thresholds": {
                "eager_eot_threshold": query.eager_eot_threshold,
                "eot_threshold": query.eot_threshold,
                "eot_timeout_ms": query.eot_timeout_ms,
            },
            "keyterms": list(query.keyterms),
            "language_hints": list(query.language_hints),
        }
        return self._numbered(success)

    def _numbered(self, message: dict[str, Any]) -> dict[str, Any]:
        numbered = message | {"sequence_id": self._sequence}
        self._sequence += 1
        return numbered
