"""What comes of the arguments that a model writes: wrong ones dial nobody and can be mended."""

from __future__ import annotations

from typing import Any

import pytest

from patter.testing.contract.base import ContractBase
from patter.testing.contract.checks import broken, check_error, check_result
from patter.testing.contract.desk import BOTH_WAYS, Desk, Way
from patter.testing.contract.phone import ANSWERS, BUSY

__all__ = ["ArgumentContract"]

_WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "no-country-code": ("to", {"to": "5550100101", "goal": "Tea"}),
    "no-number": ("to", {"to": "my mother", "goal": "Tea"}),
    "emergency": ("to", {"to": "911", "goal": "Tea"}),
    "to-missing": ("to", {"goal": "Tea"}),
    "to-null": ("to", {"to": None, "goal": "Tea"}),
    "to-of-wrong-type": ("to", {"to": 15550100101, "goal": "Tea"}),
    "goal-missing": ("goal", {"to": ANSWERS}),
    "goal-null": ("goal", {"to": ANSWERS, "goal": None}),
    "goal-of-wrong-type": ("goal", {"to": ANSWERS, "goal": ["Tea"]}),
    "goal-too-long": ("goal", {"to": ANSWERS, "goal": "x" * 4001}),
    "first-message-of-wrong-type": ("first_message", {"to": ANSWERS, "goal": "Tea", "first_message": {"say": "Hi"}}),
    "duration-too-short": ("max_duration_sec", {"to": ANSWERS, "goal": "Tea", "max_duration_sec": 0}),
    "duration-too-long": ("max_duration_sec", {"to": ANSWERS, "goal": "Tea", "max_duration_sec": 99999}),
    "duration-of-wrong-type": ("max_duration_sec", {"to": ANSWERS, "goal": "Tea", "max_duration_sec": "soon"}),
    "unknown-argument": ("volume", {"to": ANSWERS, "goal": "Tea", "volume": 11}),
}
_MENDED = ("no-country-code", "goal-missing", "duration-too-long", "unknown-argument")


class ArgumentContract(ContractBase):
    """Wrong arguments come back to the model as an error that names the argument, and nobody is dialled."""

    @pytest.mark.parametrize("way", BOTH_WAYS)
    @pytest.mark.parametrize("wrong", _WRONG)
    def test_a_wrong_argument_is_named_and_dials_nobody(self, desk: Desk, wrong: str, way: Way) -> None:
        """A use with a wrong, missing or unknown argument is marked as an error that names it."""
        field, arguments = _WRONG[wrong]
        check_error(desk.make(desk.bad(arguments), way), field=field)
        assert not desk.dials, broken("wrong arguments dial nobody", f"{len(desk.dials)} dials")

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_a_number_that_the_owner_has_not_allowed_is_not_dialled(self, desk: Desk, way: Way) -> None:
        """The owner's allowed_numbers holds in every framework; the model reads which argument was refused."""
        desk.equip(allowed_numbers=["+1555010010"])
        check_error(desk.make(desk.use("+16505551234"), way), "allowed", field="to")
        assert not desk.dials, broken("a number that is not allowed is not dialled", f"{len(desk.dials)} dials")

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_an_explicit_null_is_an_argument_left_out(self, desk: Desk, way: Way) -> None:
        """Models whose schema is strict write null for what they leave out."""
        use = desk.use(BUSY, first_message=None, max_duration_sec=None)
        check_result(desk.make(use, way), self.harness, "busy")
        assert len(desk.dials) == 1, broken("one use is one dial", f"{len(desk.dials)} dials")

    @pytest.mark.parametrize("way", BOTH_WAYS)
    @pytest.mark.parametrize("wrong", _MENDED)
    def test_an_agent_mends_its_arguments_and_gets_through(self, desk: Desk, wrong: str, way: Way) -> None:
        """In the framework's agent loop a wrong argument ends nothing: the model reads the error, and tries again."""
        field, arguments = _WRONG[wrong]
        refused, placed = desk.run_agent([[desk.bad(arguments)], [desk.use(BUSY)]], way)
        check_error(refused, field=field)
        check_result(placed, self.harness, "busy")
        assert len(desk.dials) == 1, broken("only the mended use is dialled", f"{len(desk.dials)} dials")
