"""The voice over ElevenLabs' HTTP interface, one request for each clause, and voices by their names."""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from functools import lru_cache
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.to_thread

from patter.errors import ConfigError, ProviderError
from patter.voice.base import Speech
from patter.voice.clausewise import ClausewiseUtterance
from patter.voice.elevenlabs import wire as wire
from patter.voice.elevenlabs.whole_words import WholeWords
from patter.voice.elevenlabs.wire import Pieces, Settings

if TYPE_CHECKING:
    from elevenlabs.client import AsyncElevenLabs

__all__ = ["HttpVoice", "find_voice", "load"]

_SDK = "elevenlabs.client"
_LOOKUP_S = 3.0
_CLOSE_S = 0.9
_CONTEXT_CHARS = 300
"""So much of what was said before goes with a clause, for its melody."""
_NAMES_SHOWN = 5
_NOT_ALLOWED = (401, 402, 403)


async def load() -> None:
    """Import the SDK, in a thread, if it was not done.

    Raises:
        ConfigError: it is not installed.
    """
    if _SDK not in sys.modules:
        await anyio.to_thread.run_sync(_import)


def _import() -> None:
    try:
        import_module(_SDK)
    except ImportError:
        raise ConfigError(
            "ElevenLabsTTS needs the ElevenLabs SDK for HTTP, and to find a voice by its name; "
            "run: pip install 'patter-core[elevenlabs]', or pass the id of the voice."
        ) from None


async def find_voice(settings: Settings, name: str) -> str:
    """The id of the account's voice of this name; the name itself if the service cannot be asked.

    Raises:
        ProviderError: there is no such voice, or the key may not ask.
    """
    await load()
    import httpx
    from elevenlabs.core.api_error import ApiError

    try:
        with anyio.fail_after(_LOOKUP_S):
            async with _client(settings, _LOOKUP_S) as client:
                # Without its own limit the SDK tries three times.
                once: Any = {"max_retries": 0}
                found = _voices(await client.voices.search(search=name, page_size=100, request_options=once))
                if voice := _named(found, name):
                    return voice
                known = found or _voices(await client.voices.search(page_size=100, request_options=once))
    except ApiError as error:
        if error.status_code in _NOT_ALLOWED:
            raise wire.refused(wire.error_word(error.body), error.status_code) from None
        return name
    except (httpx.HTTPError, TimeoutError):
        return name
    names = ", ".join([voice for voice, _ in known][:_NAMES_SHOWN]) or "none"
    message = f"{wire.VENDOR} has no voice named {name!r}. Voices of this account: {names}. Check voice_id."
    raise ProviderError("tts", message)


def _voices(answer: object) -> list[tuple[str, str]]:
    """Names and ids. The SDK does not check what it was sent."""
    voices = getattr(answer, "voices", None)
    pairs = [(getattr(voice, "name", None), getattr(voice, "voice_id", None)) for voice in voices or ()]
    return [(name, voice) for name, voice in pairs if isinstance(name, str) and isinstance(voice, str)]


def _named(voices: Sequence[tuple[str, str]], name: str) -> str | None:
    """The voice of this name, or whose name begins with it, as in "Roger - Laid-back, casual"."""
    wanted = name.casefold()
    for whole in (True, False):
        for known, voice in voices:
            if wanted == (known if whole else known.partition(" - ")[0]).strip().casefold():
                return voice
    return None


class HttpVoice:
    """The voice's session of one call: an HTTP client that is kept warm. Leaving closes it within a second.

    Args:
        find_id: gives the id of the voice.
        stall_s: the longest wait for an answer, and for each piece of it.
    """

    _client: AsyncElevenLabs

    def __init__(self, settings: Settings, find_id: Callable[[], Awaitable[str]], *, stall_s: float = 4.0) -> None:
        self._settings = settings
        self._find_id = find_id
        self._stall_s = stall_s
        self._opened = _client(settings, stall_s)
        self._voice = ""

    def utter(self) -> ClausewiseUtterance:
        """Begin an utterance. Leaving it early abandons what is not yet synthesised."""
        return ClausewiseUtterance(_Narrator(self._client, self._voice, self._settings, self._stall_s))

    async def __aenter__(self) -> Self:
        self._voice = await self._find_id()
        self._client = await self._opened.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._opened.__aexit__(kind, error, trace)


class _Narrator:
    """Speaks the clauses of one utterance, each knowing what was said before."""

    def __init__(self, client: AsyncElevenLabs, voice: str, settings: Settings, stall_s: float) -> None:
        self._client = client
        self._voice = voice
        self._settings = settings
        self._stall_s = stall_s
        self._said = ""

    async def __call__(self, text: str) -> AsyncGenerator[Speech, None]:
        if not wire.is_speakable(text):
            return
        words, pieces = WholeWords(), Pieces(times_restart=False)
        pieces.say(text)
        async with AsyncExitStack() as stack:
            with _bounded(self._stall_s):
                answer = await stack.enter_async_context(self._ask(text))
            chunks = await stack.enter_async_context(aclosing(answer.data))
            while True:
                with _bounded(self._stall_s):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    break
                for speech in words.take(pieces.take(*_content(chunk)), is_whole=pieces.is_whole):
                    yield speech
        for speech in [*words.rest(), *pieces.rest()]:
            yield speech

    def _ask(self, text: str) -> AbstractAsyncContextManager[Any]:
        from elevenlabs.types import VoiceSettings

        settings = self._settings
        options: dict[str, Any] = {"language_code": settings.language, "previous_text": self._said}
        if settings.voice_settings:
            options["voice_settings"] = VoiceSettings.model_validate(settings.voice_settings)
        self._said = f"{self._said} {text}"[-_CONTEXT_CHARS:].lstrip()
        speech: AbstractAsyncContextManager[Any] = self._client.text_to_speech.with_raw_response.stream_with_timestamps(
            self._voice,
            text=text,
            model_id=settings.model,
            output_format=wire.OUTPUT_FORMAT,
            # The SDK would send what is None as null.
            **{name: value for name, value in options.items() if value},
        )
        return speech


def _content(chunk: object) -> tuple[bytes, tuple[tuple[str, float], ...]]:
    alignment = getattr(chunk, "alignment", None)
    timed: Mapping[str, object] = {
        "chars": getattr(alignment, "characters", None),
        "charStartTimesMs": _milliseconds(getattr(alignment, "character_start_times_seconds", None)),
    }
    return wire.decoded(getattr(chunk, "audio_base_64", None)), wire.starts_of(timed)


def _milliseconds(times: object) -> object:
    if not isinstance(times, list):
        return None
    return [time * 1000 if isinstance(time, int | float) else None for time in times]


@contextmanager
def _bounded(stall_s: float) -> Iterator[None]:
    """Bounds a step of a request, and translates its errors."""
    import httpx
    from elevenlabs.core.api_error import ApiError

    try:
        with anyio.fail_after(stall_s):
            yield
    except ApiError as error:
        raise wire.refused(wire.error_word(error.body), error.status_code) from None
    except TimeoutError:
        message = f"{wire.VENDOR} sent nothing for {stall_s:g} s; try again later, or add a fallback provider."
        raise ProviderError("tts", message, retryable=True) from None
    except httpx.HTTPError as error:
        message = f"The connection to {wire.VENDOR} failed ({type(error).__name__}); check the network and base_url."
        raise ProviderError("tts", message, retryable=True) from None


@asynccontextmanager
async def _client(settings: Settings, timeout_s: float) -> AsyncIterator[AsyncElevenLabs]:
    await load()
    import httpx
    from elevenlabs.client import AsyncElevenLabs

    tls = await anyio.to_thread.run_sync(_tls)
    # With a proxy in the environment, even a loopback address would go there.
    direct: dict[str, Any] = dict.fromkeys(("all://127.0.0.1", "all://localhost", "all://[::1]"))
    http = httpx.AsyncClient(verify=tls, timeout=timeout_s, mounts=direct)
    try:
        yield AsyncElevenLabs(base_url=settings.base_url, api_key=settings.key, timeout=timeout_s, httpx_client=http)
    finally:
        with anyio.move_on_after(_CLOSE_S, shield=True):
            await http.aclose()


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Loading the certificates takes tens of milliseconds, so it is done once, and not on the loop."""
    return ssl.create_default_context()
