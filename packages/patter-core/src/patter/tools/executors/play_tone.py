"""The play_tone tool: the tones of telephone keys, in the audio of the call itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

import anyio.lowlevel

from patter.audio import dtmf

if TYPE_CHECKING:
    from patter.tools.configs import PlayToneConfig
    from patter.tools.model import Handler, Tool, ToolContext

__all__ = ["ToneServices", "bind"]


class ToneServices(Protocol):
    """What the executor needs of a call."""

    async def play(self, audio: bytes) -> None:
        """Play mu-law audio of 8 kHz to the other side; returns when it was played."""


def bind(tool: Tool, services: ToneServices) -> Handler:
    """The handler that presses keys: the configured one, or those that the mind names.

    Returns:
        The handler. Its result is ``{"status": "played", "digits": n}``, pauses not counted.
    """
    config = cast("PlayToneConfig", tool.config)

    async def press(arguments: dict[str, Any], context: ToolContext) -> dict[str, Any]:
        digits = config.dtmf_digit or str(arguments["digits"])
        await services.play(await _audio(digits, config))
        return {"status": "played", "digits": len(digits.replace("w", ""))}

    return press


async def _audio(digits: str, config: PlayToneConfig) -> bytes:
    parts = []
    for digit in digits:
        # A key at a time: 32 long tones in one piece would hold up the audio of other calls.
        parts.append(dtmf.tones(digit, on_ms=config.duration, gap_ms=config.gap_ms, volume=config.volume))
        await anyio.lowlevel.checkpoint()
    return b"".join(parts)
