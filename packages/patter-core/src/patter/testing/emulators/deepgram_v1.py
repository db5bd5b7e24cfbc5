"""Deepgram's listen v1 as seen from the service: audio and control messages in, messages out. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from patter.audio import mulaw
from patter.testing.emulators.deepgram_hearing import Hearing, Word

__all__ = ["ListenV1", "QueryV1"]

CONFIDENCE = 0.98
_QUIET_MS = 300
"""Silence that ends a piece of speech when endpointing is off."""


@dataclass(frozen=True, slots=True)
class QueryV1:
    """What the client asked for in the address."""

    model: str = "nova-3"
    interim_results: bool = False
    endpointing_ms: int | None = 10
    utterance_end_ms: int | None = None
    vad_events: bool = False
    formatted: bool = False
    """True with smart_format or punctuate: the transcript has the punctuated words."""
    channels: int = 1


@dataclass(slots=True)
class ListenV1:
    """One connection. Each method returns the messages that the service sends now.

    Args:
        query: what was asked for.
        hearing: the words in the audio.
        final_every_words: a final without speech_final after so many words, or never.
        speech_final: False never marks the end of speech, so that only UtteranceEnd tells it.
        answers_finalize: False sends no result for Finalize.
        empty_result_s: a final without words after so much silence, again and again, or never.
    """

    query: QueryV1
    hearing: Hearing
    final_every_words: int | None = None
    speech_final: bool = True
    answers_finalize: bool = True
    empty_result_s: float | None = 3.0
    request_id: str = field(default_factory=lambda: str(uuid4()))
    _words: list[Word] = field(default_factory=list)
    _segment_s: float = 0.0
    _speaking: bool = False
    _last_word_end_s: float | None = None
    _digest: Any = field(default_factory=hashlib.sha256)

    def opened(self) -> list[dict[str, Any]]:
        """The connection begins: v1 says nothing."""
        return []

    def audio(self, audio: bytes) -> list[dict[str, Any]]:
        """Take mu-law audio of any length."""
        self._digest.update(audio)
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
            return [self._unreadable(text)], False
        if kind == "KeepAlive":
            return [], False
        if kind == "Finalize":
            return ([self._final(speech_final=False, from_finalize=True)] if self.answers_finalize else []), False
        if kind == "CloseStream":
            return self.ended(), True
        if kind == "Configure":
            return [self._configured(message)], False
        return [self._unreadable(text)], False

    def ended(self) -> list[dict[str, Any]]:
        """The client's stream is over: what is left of the words, and the summary."""
        left = [self._final(speech_final=self._speaking and self.speech_final)] if self._words else []
        metadata = {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self.request_id,
            "sha256": self._digest.hexdigest(),
            "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "duration": round(self.hearing.position_s, 3),
            "channels": self.query.channels,
        }
        return [*left, metadata]

    def _listen(self, frame: bytes, out: list[dict[str, Any]]) -> None:
        hearing, query = self.hearing, self.query
        words = hearing.feed(frame)
        if hearing.sound_start_s is not None and not self._speaking:
            self._speaking = True
            if query.vad_events:
                out.append({"type": "SpeechStarted", "channel": [0, 1], "timestamp": round(hearing.sound_start_s, 3)})
        if words:
            self._words += words
            self._last_word_end_s = words[-1].end_s
            if self.final_every_words and len(self._words) >= self.final_every_words:
                out.append(self._final(speech_final=False))
            elif query.interim_results:
                out.append(self._results(is_final=False, speech_final=False))
        if self._speaking and hearing.sound_start_s is None:
            self._maybe_endpoint(out)
        self._maybe_utterance_end(out)
        self._maybe_empty(out)

    def _maybe_endpoint(self, out: list[dict[str, Any]]) -> None:
        endpointing = self.query.endpointing_ms
        if self.hearing.silence_ms < (_QUIET_MS if endpointing is None else endpointing):
            return
        self._speaking = False
        if endpointing is not None:
            out.append(self._final(speech_final=self.speech_final))

    def _maybe_utterance_end(self, out: list[dict[str, Any]]) -> None:
        wanted, end_s = self.query.utterance_end_ms, self._last_word_end_s
        # Counted from the words, not from the sound: it also comes on a noisy line.
        if wanted is None or end_s is None or round((self.hearing.position_s - end_s) * 1000, 3) < wanted:
            return
        if self._words:
            out.append(self._final(speech_final=False))
        out.append({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": end_s})
        self._last_word_end_s = None

    def _maybe_empty(self, out: list[dict[str, Any]]) -> None:
        if self.empty_result_s is None or self._words or self._speaking:
            return
        if self.hearing.position_s - self._segment_s >= self.empty_result_s:
            out.append(self._final(speech_final=False))

    def _final(self, *, speech_final: bool, from_finalize: bool = False) -> dict[str, Any]:
        result = self._results(is_final=True, speech_final=speech_final, from_finalize=from_finalize)
        self._words = []
        self._segment_s = self.hearing.position_s
        return result

    def _results(self, *, is_final: bool, speech_final: bool, from_finalize: bool = False) -> dict[str, Any]:
        words = [
            {"word": word.bare, "start": word.start_s, "end": word.end_s, "confidence": CONFIDENCE}
            | ({"punctuated_word": word.text} if self.query.formatted else {})
            for word in self._words
        ]
        transcript = " ".join(word.text if self.query.formatted else word.bare for word in self._words)
        alternative = {"transcript": transcript, "confidence": CONFIDENCE if words else 0.0, "words": words}
        return {
            "type": "Results",
            "channel_index": [0, self.query.channels],
            "duration": round(self.hearing.position_s - self._segment_s, 3),
            "start": round(self._segment_s, 3),
            "is_final": is_final,
            "speech_final": speech_final,
            "channel": {"alternatives": [alternative]},
            "metadata": {
                "request_id": self.request_id,
                "model_info": {"name": self.query.model, "version": "emulated", "arch": "tones"},
                "model_uuid": "00000000-0000-0000-0000-000000000000",
            },
            "from_finalize": from_finalize,
        }

    def _configured(self, message: Mapping[str, Any]) -> dict[str, Any]:
        keyterms = message.get("keyterms")
        if keyterms is not None and not self.query.model.startswith("nova-3"):
            return {
                "type": "ConfigureFailure",
                "request_id": self.request_id,
                "code": "CONFIGURE_KEYTERMS_NOT_SUPPORTED",
                "description": "Keyterms can be changed with Nova-3 models only.",
            }
        kept = {} if keyterms is None else {"keyterms": keyterms}
        return {"type": "ConfigureSuccess", "request_id": self.request_id, **kept}

    def _unreadable(self, text: str) -> dict[str, Any]:
        return {
            "type": "Error",
            "variant": "SchemaError",
            "description": "Could not deserialize last text message.",
            "message": text,
        }
