"""What the framework's user sees while the call goes on."""

from __future__ import annotations

import json

import pytest

from patter.testing.contract.base import ContractBase
from patter.testing.contract.checks import broken, check_result, check_silence
from patter.testing.contract.desk import BOTH_WAYS, Desk, Way
from patter.testing.contract.harness import Observed
from patter.testing.contract.phone import BREAK

__all__ = ["EventContract"]

_MILESTONES = ["dialing", "ringing", "answered", "user", "agent", "ended"]


class EventContract(ContractBase):
    """The events of a call arrive in their order, from the dial to the end, and no event is made up."""

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_progress_arrives_in_order(self, desk: Desk, way: Way) -> None:
        """A use by hand shows dialing, ringing, answered, what was said, and ended, in this order."""
        self._check(desk, desk.make(desk.use(), way))

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_progress_of_an_agent_arrives_in_order(self, desk: Desk, way: Way) -> None:
        """A use in the framework's agent loop shows the same."""
        (observed,) = desk.run_agent([[desk.use()]], way)
        self._check(desk, observed)

    def test_the_events_of_a_failed_call_end_and_keep_the_secret(self, desk: Desk) -> None:
        """A call that fails ends its events, too, and none of them has the text of the exception."""
        observed = desk.make(desk.use(goal=BREAK))
        check_silence(observed)
        kinds = [event["type"] for event in observed.events]
        wanted = ["ended"] if self.harness.has_events else []
        assert kinds[-1:] == wanted, broken(f"the events end with {wanted}", kinds)

    def _check(self, desk: Desk, observed: Observed) -> None:
        envelope = check_result(observed, self.harness)
        if not self.harness.has_events:
            assert not observed.events, broken("a harness without has_events has no events", observed.events)
            return
        assert observed.events, broken("the user of the framework gets the events of the call", "none")
        kinds = [event["type"] for event in observed.events]
        seen = [kind for kind in kinds if kind in _MILESTONES]
        assert seen == _MILESTONES, broken(f"the events come in this order: {', '.join(_MILESTONES)}", kinds)
        last = observed.events[-1]
        assert last["type"] == "ended", broken("the last event is ended", kinds)
        assert last["call_id"] == envelope["call_id"], broken("the events are of this call", last)
        times = [event["at_s"] for event in observed.events]
        assert times == sorted(times), broken("the events come in the order of their times", times)
        json.dumps(observed.events)
