"""Phones on the local network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("langchain")

from tests.langchain.scripted import Mind, brief

from patter import Patter, PatterTool
from patter.engine import Engine
from patter.local.dialogue import Persona
from patter.local.exchange import Timings
from patter.voice.base import ChatModel

MakeTool = Callable[..., PatterTool]

_local = Patter.local


def pytest_configure(config: pytest.Config) -> None:
    """Know the marks of langchain-tests, also where the plugins that bring them are not loaded."""
    for mark in ("benchmark", "vcr"):
        config.addinivalue_line("markers", f"{mark}: used by langchain-tests")


@pytest.fixture
def make_tool() -> Iterator[MakeTool]:
    phones: list[Patter] = []

    def make(persona: Persona | str | None = None, *, llm: ChatModel | None = None, **options: Any) -> PatterTool:
        phone = _local(persona or brief(), voice="tones", timings=Timings.quick(), llm=llm or Mind())
        phones.append(phone)
        return PatterTool(phone, **options)

    yield make
    for phone in phones:
        Engine.shared().run_sync(lambda _, phone=phone: phone.stop())
