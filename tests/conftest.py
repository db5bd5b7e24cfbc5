"""What every test has: an asyncio loop by default, and a guard that keeps tests on this machine."""

# ruff: noqa: E402 - the frameworks read their switches when they are imported

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

os.environ |= {
    "ANONYMIZED_TELEMETRY": "False",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TESTING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "OTEL_SDK_DISABLED": "true",
}
# CrewAI writes below the home folder.
_home = tempfile.TemporaryDirectory(prefix="patter-tests-")
os.environ |= {"CREWAI_STORAGE_DIR": f"{_home.name}/crewai", "XDG_DATA_HOME": f"{_home.name}/data"}

import pytest
from hypothesis import settings

# The same examples in every run, so that a failure is the change's; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("brief", derandomize=True, deadline=None, max_examples=15)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

_LOOPBACK = ("127.", "::1", "localhost")


_AT_THE_PACE_OF_LIFE = ("wire", "server")
"""The folders whose calls take as long as calls take; they need little of the processor, but need it in time."""
_LONG = ("contract", "crewai", "langchain", "llamaindex", "tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files in turn: living calls beside calculation, and what takes long before what does not.

    The workers take file after file in this order. So they end together, and the calls do not all live at once.
    """
    files = list(dict.fromkeys(item.path for item in items))
    living = [file for file in reversed(files) if file.parent.name in _AT_THE_PACE_OF_LIFE]
    others = sorted((file for file in files if file not in living), key=lambda file: file.parent.name not in _LONG)
    order = [file for pair in zip_longest(living, others) for file in pair if file is not None]
    place = {file: number for number, file in enumerate(order)}
    items.sort(key=lambda item: place[item.path])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse to resolve or to reach any other machine."""
    resolve = socket.getaddrinfo

    def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not str(name).startswith(_LOOPBACK):
            raise OSError(f"a test tried to reach {name}")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", guarded)
    yield


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The developer's own accounts and settings stay out of the tests."""
    for name in os.environ:
        if name.startswith("PATTER_") or name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER"):
            monkeypatch.delenv(name)
    for vendor in ("TWILIO", "DEEPGRAM", "OPENAI", "ANTHROPIC", "ELEVENLABS"):
        if "live" not in request.keywords:
            monkeypatch.delenv(f"{vendor}_API_KEY", raising=False)
        monkeypatch.delenv(f"{vendor}_BASE_URL", raising=False)
