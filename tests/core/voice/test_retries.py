import pytest

from patter.voice.retries import Retries


@pytest.mark.parametrize(
    ("lived_s", "waits"),
    [
        ([0, 0, 0, 0], [0.2, 0.5, 1.0, None]),
        ([0.1, 4.9, 0, 0], [0.2, 0.5, 1.0, None]),
        ([0, 0, 0, 5.0, 0, 0, 0], [0.2, 0.5, 1.0, 0.2, 0.5, 1.0, None]),
        ([60.0] * 6, [0.2] * 6),
    ],
)
def test_failures_that_follow_closely_use_up_the_tries(lived_s: list[float], waits: list[float | None]) -> None:
    retries = Retries()
    assert [retries.wait_s(lived) for lived in lived_s] == waits


def test_without_waits_nothing_is_tried_again() -> None:
    assert Retries(()).wait_s(0) is None
