"""Uses that repeat: nothing is cached, and one use is not dialled twice."""

from __future__ import annotations

import pytest

from patter.testing.contract.base import ContractBase
from patter.testing.contract.checks import broken, check_result
from patter.testing.contract.desk import BOTH_WAYS, Desk, Way
from patter.testing.contract.harness import Use
from patter.testing.contract.phone import BUSY

__all__ = ["RepetitionContract"]


class RepetitionContract(ContractBase):
    """Two uses are two calls, whatever their arguments; the same use twice is one call."""

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_the_same_arguments_twice_are_two_calls(self, desk: Desk, way: Way) -> None:
        """A second use with the same arguments dials again: a call is never answered from a cache."""
        first = desk.use()
        second = Use(first.arguments, desk.use().id)
        ids = [check_result(desk.make(use, way), self.harness)["call_id"] for use in (first, second)]
        assert len(desk.dials) == 2, broken("two uses with the same arguments are two dials", f"{len(desk.dials)}")
        assert ids == [call.sid for call in desk.dials], broken("each use gets the envelope of its own call", ids)

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_the_same_use_twice_is_one_call(self, desk: Desk, way: Way) -> None:
        """A use that is made again, as retries and resumed graphs do, gets the first one's envelope.

        That is so where the framework tells the tool the use's id; where it does not, they are two uses.
        """
        use = desk.use()
        ids = [check_result(desk.make(use, way), self.harness)["call_id"] for _ in range(2)]
        wanted = 1 if self.harness.sees_use_id else 2
        assert len(desk.dials) == wanted, broken(f"the same use twice is dialled {wanted} times", f"{len(desk.dials)}")
        assert len(set(ids)) == wanted, broken(f"the same use twice has {wanted} call_id", ids)

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_an_id_that_comes_again_with_other_arguments_is_a_call_of_its_own(self, desk: Desk, way: Way) -> None:
        """Some models number their uses anew in each turn: an id alone does not make a use the same."""
        first = desk.use(BUSY)
        second = Use(desk.use(BUSY).arguments, first.id)
        ids = [check_result(desk.make(use, way), self.harness, "busy")["call_id"] for use in (first, second)]
        assert ids == [call.sid for call in desk.dials], broken("two goals under one id are two calls", ids)
