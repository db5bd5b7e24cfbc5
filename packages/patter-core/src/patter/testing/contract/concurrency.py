"""Uses at once: side by side up to the owner's limit, each with an envelope of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from patter.testing.contract.base import ContractBase
from patter.testing.contract.checks import broken, check_result
from patter.testing.contract.desk import BOTH_WAYS, Desk, Way
from patter.testing.contract.harness import Observed, Use
from patter.testing.contract.phone import ANSWERS, MEETING

__all__ = ["ConcurrencyContract"]


class ConcurrencyContract(ContractBase):
    """`PatterTool`'s limit decides how many calls there are at once, and no adapter mixes them up."""

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_four_uses_at_once_are_four_calls(self, desk: Desk, way: Way) -> None:
        """Four uses at once, as tasks or from threads, are on the line together; each gets its own envelope."""
        self.contract_phone.company = 4
        uses = [desk.use(MEETING) for _ in range(4)]
        self._check_own(uses, self._at_once(desk, uses, way))
        most = self.contract_phone.most_at_once
        assert most == 4, broken("four uses at once are four calls at once", f"at most {most} at once")
        assert len(desk.dials) == 4, broken("four uses are four dials", f"{len(desk.dials)} dials")

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_max_concurrent_calls_makes_uses_wait(self, desk: Desk, way: Way) -> None:
        """With max_concurrent_calls=1 the second use is dialled when the first call is over."""
        desk.equip(max_concurrent_calls=1)
        uses = [desk.use(ANSWERS) for _ in range(2)]
        self._check_own(uses, self._at_once(desk, uses, way))
        most = self.contract_phone.most_at_once
        assert most == 1, broken("max_concurrent_calls=1 is one call at once", f"{most} at once")

    def _at_once(self, desk: Desk, uses: Sequence[Use], way: Way) -> list[Observed]:
        if way == "sync":
            with ThreadPoolExecutor(len(uses)) as threads:
                return list(threads.map(desk.make, uses))

        async def gather() -> list[Observed]:
            return list(await asyncio.gather(*[self.harness.ainvoke(desk.native, use) for use in uses]))

        return asyncio.run(gather())

    def _check_own(self, uses: Sequence[Use], observed: Sequence[Observed]) -> None:
        envelopes = [check_result(one, self.harness) for one in observed]
        ids = {envelope["call_id"] for envelope in envelopes}
        assert len(ids) == len(uses), broken("each use has a call_id of its own", ids)
        said = [next(line["text"] for line in one["transcript"] if line["role"] == "agent") for one in envelopes]
        wanted = [f"{use.arguments['goal']}." for use in uses]
        assert said == wanted, broken(f"each use gets the transcript of its own call: {wanted}", said)
