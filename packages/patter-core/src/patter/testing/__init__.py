"""The test kit: a whole phone call in memory, in virtual time, exact to the word.

A test is a short script of the callee, the mind and the carrier, and the call that runs is the one
that runs in production::

    from patter import Agent
    from patter.testing import Callee, ScriptedCarrier, ScriptedMind, ScriptedVoice, run_virtual

    def test_the_agent_books_a_table():
        async def main():
            callee = Callee().says(0.5, "Luigi's, hello?").says(5.0, "Seven is fine.").hangs_up(9.0)
            line = callee.line()
            mind = ScriptedMind(["A table for two at seven, please.", "Thank you, goodbye."])
            agent = Agent(stt=callee.ears(line), llm=mind, tts=ScriptedVoice())
            result = await ScriptedCarrier().rings(0.5).answers(3.0, line).place(agent, goal="Book")
            mind.assert_complete()
            return result

        result = run_virtual(main)
        assert result.status == "completed"
        assert [line.text for line in result.transcript][-1] == "Thank you, goodbye."

`VirtualLoop` jumps over every wait, so a call of minutes takes milliseconds. `check_invariants` holds
what must be true of every call; `patter.testing.pytest_plugin` has the fixtures.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.testing.callee import Callee as Callee
    from patter.testing.carrier import ScriptedCarrier as ScriptedCarrier
    from patter.testing.clock import DeadlockError as DeadlockError
    from patter.testing.clock import LivelockError as LivelockError
    from patter.testing.clock import VirtualLoop as VirtualLoop
    from patter.testing.clock import run_virtual as run_virtual
    from patter.testing.line import HeardWord as HeardWord
    from patter.testing.line import ScriptedLine as ScriptedLine
    from patter.testing.line import Sent as Sent
    from patter.testing.line import word_audio as word_audio
    from patter.testing.log import EventLog as EventLog
    from patter.testing.log import check_invariants as check_invariants
    from patter.testing.providers import MindRequest as MindRequest
    from patter.testing.providers import MindStep as MindStep
    from patter.testing.providers import Pause as Pause
    from patter.testing.providers import ScriptedEars as ScriptedEars
    from patter.testing.providers import ScriptedMind as ScriptedMind
    from patter.testing.providers import ScriptedVoice as ScriptedVoice
    from patter.testing.providers import UnexpectedRequest as UnexpectedRequest
    from patter.testing.providers import UnfinishedScript as UnfinishedScript
    from patter.testing.providers import VoiceFault as VoiceFault
    from patter.testing.providers import reply as reply

_MODULES = {
    "callee": ("Callee",),
    "carrier": ("ScriptedCarrier",),
    "clock": ("DeadlockError", "LivelockError", "VirtualLoop", "run_virtual"),
    "line": ("HeardWord", "ScriptedLine", "Sent", "word_audio"),
    "log": ("EventLog", "check_invariants"),
    "providers": (
        "MindRequest",
        "MindStep",
        "Pause",
        "ScriptedEars",
        "ScriptedMind",
        "ScriptedVoice",
        "UnexpectedRequest",
        "UnfinishedScript",
        "VoiceFault",
        "reply",
    ),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
