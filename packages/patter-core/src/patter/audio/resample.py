"""Streaming conversion of a provider's linear audio to the telephone's 8 kHz, on soxr."""

from __future__ import annotations

from typing import Any

from patter.audio.mulaw import SAMPLE_RATE_HZ
from patter.errors import ConfigError

__all__ = ["To8k"]


class To8k:
    """Resamples one stream of 16-bit little-endian mono audio to 8 kHz.

    Chunks may end anywhere, also in the middle of a sample. soxr holds back about 20 ms, which
    `finish` gives out. At 8000 Hz the audio passes through and soxr is not needed.

    Args:
        rate_hz: the rate of the stream.

    Raises:
        ConfigError: soxr is not installed.
    """

    def __init__(self, rate_hz: int) -> None:
        if rate_hz <= 0:
            raise ValueError(f"a sample rate is above 0 Hz, not {rate_hz}")
        self._odd = b""
        self._stream: Any = None
        if rate_hz != SAMPLE_RATE_HZ:
            try:
                import soxr
            except ImportError as error:
                raise ConfigError("converting audio to 8 kHz needs soxr: pip install patter-core[speech]") from error
            self._stream = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="int16")

    def feed(self, pcm16: bytes) -> bytes:
        """Take the next chunk, and return what is ready at 8 kHz."""
        return self._convert(pcm16, last=False)

    def finish(self) -> bytes:
        """The rest of the stream. Half a sample at its end is dropped. Nothing may be fed afterwards."""
        return self._convert(b"", last=True)

    def _convert(self, pcm16: bytes, *, last: bool) -> bytes:
        whole = self._odd + pcm16
        even = len(whole) & ~1
        self._odd = whole[even:]
        if self._stream is None:
            return whole[:even]
        import numpy as np

        samples = np.frombuffer(whole[:even], dtype="<i2").astype(np.int16, copy=False)
        converted: bytes = self._stream.resample_chunk(samples, last=last).astype("<i2").tobytes()
        return converted
