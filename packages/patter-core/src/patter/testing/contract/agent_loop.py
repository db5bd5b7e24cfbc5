"""The tool in the hands of the framework's real agent, with a scripted model."""

from __future__ import annotations

import pytest

from patter.testing.contract.base import ContractBase
from patter.testing.contract.checks import broken, check_result
from patter.testing.contract.desk import BOTH_WAYS, Desk, Way
from patter.testing.contract.harness import Use
from patter.testing.contract.phone import BUSY, FAILED, NOT_ANSWERED, STRANGER, STRANGER_SAYS

__all__ = ["AgentContract"]


class AgentContract(ContractBase):
    """An agent makes its calls and reads their envelopes, however they end."""

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_an_agent_calls_and_reads_the_envelope(self, desk: Desk, way: Way) -> None:
        """The model's use is one call, and the model reads its envelope as JSON, in any language."""
        (observed,) = desk.run_agent([[desk.use(goal="東京")]], way)
        envelope = check_result(observed, self.harness)
        assert [envelope["call_id"]] == [call.sid for call in desk.dials], broken("one use is one call", envelope)
        assert "東京" in observed.text, broken("text beyond ASCII reaches the model as itself", observed.text)

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_an_agent_goes_on_when_nobody_is_reached(self, desk: Desk, way: Way) -> None:
        """Busy, unanswered and failed calls are results to the agent, too: it goes on, and nothing is repeated."""
        turns = [[desk.use(BUSY)], [desk.use(NOT_ANSWERED)], [desk.use(FAILED)]]
        observed = desk.run_agent(turns, way)
        for one, status in zip(observed, ("busy", "no-answer", "failed"), strict=True):
            check_result(one, self.harness, status)
        assert len(desk.dials) == 3, broken("three uses are three dials", f"{len(desk.dials)} dials")

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_two_uses_in_one_turn_are_two_calls(self, desk: Desk, way: Way) -> None:
        """Uses side by side each get their own envelope."""
        uses = [desk.use(goal="Tea"), desk.use(goal="Cake")]
        envelopes = [check_result(one, self.harness) for one in desk.run_agent([uses], way)]
        said = [envelope["transcript"][-1]["text"] for envelope in envelopes]
        wanted = [f"{use.arguments['goal']}." for use in uses]
        assert said == wanted, broken(f"each use of a turn gets its own envelope: {wanted}", said)
        ids = {envelope["call_id"] for envelope in envelopes}
        assert ids == {call.sid for call in desk.dials}, broken("two uses are two calls", ids)

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_an_agent_may_repeat_a_call_on_purpose(self, desk: Desk, way: Way) -> None:
        """A use of a later turn with the same arguments dials again: the agent's loop caches nothing."""
        first = desk.use(BUSY)
        observed = desk.run_agent([[first], [Use(first.arguments, desk.use().id)]], way)
        ids = [check_result(one, self.harness, "busy")["call_id"] for one in observed]
        assert ids == [call.sid for call in desk.dials], broken("two turns are two calls", ids)
        assert len(ids) == 2, broken("two turns are two dials", ids)

    def test_what_a_stranger_says_reaches_an_agent_as_a_string(self, desk: Desk) -> None:
        """In the agent's loop, too, speech that looks like JSON or like an instruction is text and no more."""
        (observed,) = desk.run_agent([[desk.use(STRANGER)]])
        said = [line["text"] for line in check_result(observed, self.harness)["transcript"] if line["role"] == "user"]
        assert said == [STRANGER_SAYS], broken("the stranger's words are one string", observed.text)
        assert len(desk.dials) == 1, broken("what a stranger says dials nobody", f"{len(desk.dials)} dials")
