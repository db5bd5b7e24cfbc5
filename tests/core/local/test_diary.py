"""The diary of the demo: slow, and always taken at the time that is asked for."""

from __future__ import annotations

import json

import anyio
import pytest

from patter.local.diary import ENTRY, FILLER, diary
from patter.testing import run_virtual
from patter.tools.runner import ToolRunner


@pytest.mark.parametrize(
    ("time", "found"),
    [
        ("four thirty", {"entry": ENTRY, "time": "four thirty", "free_at": "five thirty"}),
        ("twelve fifteen", {"entry": ENTRY, "time": "twelve fifteen", "free_at": "one fifteen"}),
        ("three in the afternoon", {"entry": ENTRY, "time": "three in the afternoon", "free_at": "four"}),
        ("some time", {"entry": ""}),
    ],
)
def test_what_it_answers(time: str, found: dict[str, str]) -> None:
    async def look() -> tuple[str, float]:
        began = anyio.current_time()
        outcome = await ToolRunner([diary()]).run("1", "look_in_diary", {"time": time})
        return outcome.output, anyio.current_time() - began

    output, took_s = run_virtual(look)
    assert json.loads(output) == found
    assert took_s == pytest.approx(1.5)


def test_the_agent_asks_for_a_moment_before_it_answers() -> None:
    speech = diary().speech
    assert (speech.filler, speech.delay_ms) == (FILLER, 400)
