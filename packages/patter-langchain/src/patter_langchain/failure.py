"""What an exception out of LangChain means for a call: cause and remedy, and none of its own words. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from patter.errors import ProviderError
from patter.voice.chat.failure import Vendor, read_failure
from patter.voice.chat.wire import NotAnAnswer
from patter.voice.refusal import refusal

__all__ = ["Writer", "failure_of"]

_UNREACHED = ("Connect", "Network", "Protocol", "ReadError", "WriteError")


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes the mind's answers."""

    name: str
    """As the error texts name it."""
    key: str
    """Where its key is from, such as an environment variable."""


def failure_of(error: BaseException, writer: Writer) -> ProviderError:
    """The error of the mind. The words of a vendor may repeat what was said on the phone, and are not told."""
    if isinstance(error, ProviderError):
        return error
    kind = type(error).__name__
    if isinstance(error, NotAnAnswer):
        message = f"{writer.name} answered {error}; let it answer with messages that can be spoken."
        return ProviderError("llm", message)
    if isinstance(error, Exception) and isinstance(getattr(error, "status_code", None), int):
        vendor = Vendor(writer.name, writer.key)
        return read_failure(error, vendor, begun=False, timeout_s=0, parameters=()).error
    if (status := _status(error)) is not None:
        return refusal("llm", writer.name, status, variable=writer.key)
    if isinstance(error, TimeoutError) or "Timeout" in kind:
        message = f"{writer.name} did not answer in time ({kind}); try again later, or use a faster model."
        return ProviderError("llm", message, retryable=True)
    if isinstance(error, OSError) or any(part in kind for part in _UNREACHED):
        message = f"{writer.name} cannot be reached, or broke off ({kind}); check the network and its address."
        return ProviderError("llm", message, retryable=True)
    return ProviderError("llm", f"{writer.name} failed with {kind}; its callbacks see the cause.")


def _status(error: BaseException) -> int | None:
    """The HTTP status, where the clients of some vendors put it."""
    for status in (getattr(getattr(error, "response", None), "status_code", None), getattr(error, "code", None)):
        if isinstance(status, int) and 400 <= status < 600:
            return int(status)
    return None
