import subprocess
import sys

import pytest

from patter.testing import emulators
from patter.testing.emulators.faults import BlackHole, Drop, Faults, Refuse, Stall


def test_faults_are_taken_in_their_order_and_then_the_one_for_every_connection():
    faults = Faults()
    faults.append(Stall())
    faults.extend([None, Refuse(503)])
    faults.every = BlackHole()
    assert len(faults) == 3
    assert [faults.take() for _ in range(5)] == [Stall(), None, Refuse(503), BlackHole(), BlackHole()]
    faults.append(Stall())
    faults.clear()
    assert faults.take() is None


def test_a_refusal_tells_when_to_come_back():
    assert Refuse(429, retry_after_s=1.5).headers == {"Retry-After": "1.5"}
    assert Refuse(429).headers == {}


@pytest.mark.parametrize(("drop", "at_once"), [(Drop(), True), (Drop(code=1011), True), (Drop(after_s=0), False)])
def test_a_drop_without_a_limit_is_at_once(drop, at_once):
    assert drop.at_once is at_once


def test_importing_the_emulators_loads_neither_server_nor_vendors():
    code = "import sys, patter.testing.emulators.deepgram, patter.testing.emulators.elevenlabs; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )
    assert loaded & {"deepgram", "elevenlabs", "openai", "anthropic", "starlette", "uvicorn"} == set()


def test_every_public_name_can_be_had():
    for name in emulators.__all__:
        assert getattr(emulators, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        emulators.nonsense  # noqa: B018
