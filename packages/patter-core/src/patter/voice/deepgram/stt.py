"""Deepgram's ears: Nova on version 1 of its protocol, Flux on version 2."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

import anyio.to_thread

from patter.errors import ConfigError
from patter.settings import vendor_url
from patter.voice.deepgram.ears import DeepgramEars
from patter.voice.deepgram.link import Flux, Nova, Service
from patter.voice.deepgram.wire import VARIABLE, address
from patter.voice.sdk import load_sdk, vendor_key

__all__ = ["DeepgramSTT"]


class DeepgramSTT:
    """Ears of Deepgram. Models whose name begins with ``flux`` tell the end of a turn themselves.

    Args:
        api_key: or ``DEEPGRAM_API_KEY``.
        model: such as ``nova-3`` or ``flux-general-en``.
        base_url: Deepgram's http(s) origin; or ``DEEPGRAM_BASE_URL``.
        language: such as ``en`` or ``multi``; for Flux a hint, which only its multilingual model knows.
        endpointing_ms: Nova: silence after which a piece ends with `EndOfSpeech.PAUSE`. It is short, so that the
            mind can begin; how long a pause has to be to end a turn is `Timing.end_of_turn_marked_s`.
        utterance_end_ms: Nova: the same on noisy lines, by the gap between words; at least 1000.
        keyterms: names and words to listen for.
        smart_format: Nova: write numbers, dates and the like as people do, which rewrites what was said.
        punctuate: Nova: add punctuation and capitals.
        eager_threshold: Flux: confidence for `EndOfSpeech.EAGER`, 0.3 to 0.9; None to do without.
        end_of_turn_threshold: Flux: confidence for `EndOfSpeech.TURN`, 0.5 to 0.9.
        end_of_turn_timeout_ms: Flux: silence that ends a turn in any case, 500 to 10000.
        open_timeout_s: the longest that opening a session takes, with all tries.

    Raises:
        ConfigError: there is no key, or an option is out of its range.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        model: str = "nova-3",
        base_url: str | None = None,
        language: str | None = None,
        endpointing_ms: int = 100,
        utterance_end_ms: int = 1000,
        keyterms: Sequence[str] = (),
        smart_format: bool = False,
        punctuate: bool = True,
        eager_threshold: float | None = 0.5,
        end_of_turn_threshold: float = 0.7,
        end_of_turn_timeout_ms: int = 5000,
        open_timeout_s: float = 5.0,
    ) -> None:
        self.model = f"deepgram/{model}"
        key = vendor_key(api_key, variable=VARIABLE)
        origin = vendor_url(base_url, variable="DEEPGRAM_BASE_URL", default="https://api.deepgram.com")
        options: list[tuple[str, object]] = [("model", model), ("encoding", "mulaw"), ("sample_rate", 8000)]
        if model.startswith("flux"):
            _check_flux(eager_threshold, end_of_turn_threshold, end_of_turn_timeout_ms)
            options += [
                ("eot_threshold", end_of_turn_threshold),
                ("eager_eot_threshold", eager_threshold),
                ("eot_timeout_ms", end_of_turn_timeout_ms),
                ("language_hint", language),
            ]
        else:
            _check("utterance_end_ms", utterance_end_ms, 1000, 5000)
            options += [
                ("channels", 1),
                ("interim_results", True),
                ("endpointing", endpointing_ms),
                ("utterance_end_ms", utterance_end_ms),
                ("vad_events", True),
                ("smart_format", smart_format),
                ("punctuate", punctuate),
                ("language", language),
            ]
        version, path = (Flux, "v2") if model.startswith("flux") else (Nova, "v1")
        where = address(origin, path, [*options, ("keyterm", list(keyterms))])
        self._service = Service(address=where, key=key, version=version, open_timeout_s=open_timeout_s)

    def __repr__(self) -> str:
        return f"DeepgramSTT(model={self.model.removeprefix('deepgram/')!r}, address={self._service.address!r})"

    async def start(self) -> None:
        """Load the SDK, in a thread. Opening a session does it too, if it was not done.

        Raises:
            ConfigError: the SDK is not installed.
        """
        if sys.modules.get(self._service.version.module) is None:
            await anyio.to_thread.run_sync(_load, self._service.version.module)

    def open(self) -> DeepgramEars:
        """Open the session of one call. Entering it connects; leaving it closes within a second.

        Raises:
            ProviderError: on entering: refused, unreachable, or not answered in time.
        """
        return DeepgramEars(self._service, self.start)


def _check_flux(eager: float | None, threshold: float, timeout_ms: float) -> None:
    _check("end_of_turn_threshold", threshold, 0.5, 0.9)
    _check("end_of_turn_timeout_ms", timeout_ms, 500, 10_000)
    if eager is not None:
        _check("eager_threshold", eager, 0.3, 0.9)
        if eager > threshold:
            raise ConfigError("eager_threshold must not be above end_of_turn_threshold; lower it, or pass None.")


def _check(argument: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigError(f"{argument} must be between {least:g} and {most:g}, not {value:g}.")


def _load(module: str) -> None:
    with warnings.catch_warnings():
        # The SDK imports the deprecated half of websockets; none of it is used.
        warnings.filterwarnings("ignore", message="websockets.legacy", category=DeprecationWarning)
        load_sdk("deepgram", module.removeprefix("deepgram."))
        import_module("websockets.asyncio.client")
