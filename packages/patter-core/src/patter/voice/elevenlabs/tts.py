"""ElevenLabs' voice: live over a websocket, or clause by clause over HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Literal

import anyio.to_thread

from patter.errors import ConfigError
from patter.settings import require_env, vendor_url
from patter.voice.elevenlabs import http, wire
from patter.voice.elevenlabs.http import HttpVoice
from patter.voice.elevenlabs.socket import SocketVoice
from patter.voice.elevenlabs.wire import Settings

__all__ = ["ElevenLabsTTS"]

_ID = re.compile(r"[A-Za-z0-9]{20}")
_PREMADE = {
    "adam": "pNInz6obpgDQGcFmaJgB",
    "antoni": "ErXwobaYiN019PkySvjV",
    "arnold": "VR6AewLTigWG4xSOukaG",
    "bill": "pqHfZKP75CvOlQylNhV4",
    "brian": "nPczCjzI2devNBz1zQrb",
    "chris": "iP95p4xoKVk53GoZ742B",
    "daniel": "onwK4e9ZLuTAKqWW03F9",
    "eric": "cjVigY5qzO86Huf0OWal",
    "george": "JBFqnCBsd6RMkjVDRZzb",
    "jessica": "cgSgspJ2msm6clMCkdW9",
    "josh": "TxGEqnHWrfWFTfGW9XjX",
    "lily": "pFZP5JQG7iQjIQuC4Bku",
    "matilda": "XrExE9yKIg1WjnnlVkGX",
    "rachel": "21m00Tcm4TlvDq8ikWAM",
    "sarah": "EXAVITQu4vr4xnSDxMaL",
    "will": "bIHbv24MWmeRgasZH58o",
}
"""Voices that every account has, so that their names need not be looked up."""

_VOICE_SETTINGS = ("similarity_boost", "speed", "stability", "style", "use_speaker_boost")


class ElevenLabsTTS:
    """The voice of ElevenLabs.

    Args:
        api_key: or ``ELEVENLABS_API_KEY``.
        voice_id: the id of a voice or its name; a name that is not well known is looked up once.
        model: such as ``eleven_flash_v2_5``; not every model has the websocket.
        base_url: ElevenLabs' http(s) origin; or ``ELEVENLABS_BASE_URL``.
        transport: ``websocket`` speaks while the text is being written; ``http`` asks for each clause.
        language: such as ``en``, for models that can be told; None lets the model find out.
        voice_settings: ``stability``, ``similarity_boost``, ``style``, ``speed``, ``use_speaker_boost``.
        open_timeout_s: the longest that connecting takes, with all tries.

    Raises:
        ConfigError: there is no key, or an option is malformed.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        voice_id: str = "rachel",
        model: str = "eleven_flash_v2_5",
        base_url: str | None = None,
        transport: Literal["websocket", "http"] = "websocket",
        language: str | None = None,
        voice_settings: Mapping[str, float | bool] | None = None,
        open_timeout_s: float = 5.0,
    ) -> None:
        if transport not in ("websocket", "http"):
            raise ConfigError(f'transport must be "websocket" or "http", not {transport!r:.40}.')
        if not voice_id.strip():
            raise ConfigError("voice_id is empty. Pass the id of a voice, or its name, such as 'rachel'.")
        self.model = f"elevenlabs/{model}"
        self._transport = transport
        self._voice_name = voice_id.strip()
        self._voice = _known_voice(self._voice_name)
        self._settings = Settings(
            key=require_env(api_key, argument="api_key", variable=wire.KEY_VARIABLE),
            base_url=vendor_url(base_url, variable=wire.BASE_URL_VARIABLE, default="https://api.elevenlabs.io"),
            model=model,
            language=language,
            voice_settings=_checked(voice_settings or {}),
            open_s=open_timeout_s,
        )

    def __repr__(self) -> str:
        settings = self._settings
        return (
            f"ElevenLabsTTS(voice_id={self._voice_name!r}, model={settings.model!r}, "
            f"transport={self._transport!r}, base_url={settings.base_url!r})"
        )

    async def start(self) -> None:
        """Load what the first call needs, in a thread. Opening a session does it too, if it was not done.

        Raises:
            ConfigError: the SDK is needed, and not installed.
        """
        if self._transport == "websocket":
            await anyio.to_thread.run_sync(import_module, "websockets.asyncio.client")
        if self._transport == "http" or self._voice is None:
            await http.load()

    def open(self) -> SocketVoice | HttpVoice:
        """Open the session of one call. Entering it connects; leaving it closes within a second.

        Raises:
            ProviderError: on entering: refused, unreachable, not answered in time, or no such voice.
        """
        if self._transport == "http":
            return HttpVoice(self._settings, self._find_voice)
        return SocketVoice(self._settings, self._find_voice)

    async def _find_voice(self) -> str:
        if self._voice is None:
            found = await http.find_voice(self._settings, self._voice_name)
            if found == self._voice_name:
                return found  # the service could not be asked; it may the next time
            self._voice = found
        return self._voice


def _known_voice(name: str) -> str | None:
    return name if _ID.fullmatch(name) else _PREMADE.get(name.casefold())


def _checked(given: Mapping[str, float | bool]) -> dict[str, float | bool]:
    for name, value in given.items():
        if name not in _VOICE_SETTINGS:
            raise ConfigError(f"voice_settings has no {name!r:.40}. It takes {', '.join(_VOICE_SETTINGS)}.")
        if not isinstance(value, int | float):
            raise ConfigError(f"voice_settings[{name!r}] must be a number, or for use_speaker_boost a boolean.")
    return dict(given)
