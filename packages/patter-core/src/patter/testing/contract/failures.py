"""What comes of errors inside the phone: an envelope after the dial, a readable error before it."""

from __future__ import annotations

import asyncio

import pytest

from patter.testing.contract.base import ContractBase
from patter.testing.contract.checks import broken, check_error, check_result, check_silence
from patter.testing.contract.desk import BOTH_WAYS, Desk, Way
from patter.testing.contract.phone import BREAK, SECRET, ContractPhone

__all__ = ["FailureContract"]


class FailureContract(ContractBase):
    """No error inside the phone ends the host, is dialled again, or shows the program's own text."""

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_an_error_after_the_dial_is_an_envelope(self, desk: Desk, way: Way) -> None:
        """An exception inside a call that was dialled is a result with status failed, one dial, and no secret."""
        observed = desk.make(desk.use(goal=BREAK), way)
        check_result(observed, self.harness, "failed")
        check_silence(observed)
        assert len(desk.dials) == 1, broken("a call that failed is not repeated", f"{len(desk.dials)} dials")

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_an_agent_survives_an_error_after_the_dial(self, desk: Desk, way: Way) -> None:
        """In the framework's agent loop, too: the model reads the envelope, and nothing is dialled again."""
        (observed,) = desk.run_agent([[desk.use(goal=BREAK)]], way)
        check_result(observed, self.harness, "failed")
        check_silence(observed)
        assert len(desk.dials) == 1, broken("a call that failed is not repeated", f"{len(desk.dials)} dials")

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_an_error_before_the_dial_is_readable(self, desk: Desk, way: Way) -> None:
        """An exception of which nobody thought, before the dial, is an error without its text, and no dial."""
        desk.equip(start_error=RuntimeError(f"401 for key={SECRET}"))
        observed = desk.make(desk.use(), way)
        check_error(observed)
        assert observed.text.strip(), broken("the model reads a sentence", repr(observed.text))
        assert not desk.dials, broken("nobody was dialled", f"{len(desk.dials)} dials")

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_an_agent_survives_an_error_before_the_dial(self, desk: Desk, way: Way) -> None:
        """In the framework's agent loop, too: the model reads the error, and it is not told the exception."""
        desk.equip(start_error=RuntimeError(f"401 for key={SECRET}"))
        (observed,) = desk.run_agent([[desk.use()]], way)
        check_error(observed)
        assert not desk.dials, broken("nobody was dialled", f"{len(desk.dials)} dials")

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_a_stopped_tool_says_so_and_dials_nobody(self, way: Way) -> None:
        """A tool whose phone was stopped answers with an error that says so: by hand, and in the agent loop."""
        phone = ContractPhone()
        desk = Desk(self.harness, phone)
        asyncio.run(desk.tool.stop())
        check_error(desk.make(desk.use(), way), "stopped")
        (observed,) = desk.run_agent([[desk.use()]], way)
        check_error(observed, "stopped")
        assert not desk.dials, broken("a stopped tool dials nobody", f"{len(desk.dials)} dials")
