"""What comes of a call, from wherever it is made."""

from __future__ import annotations

import asyncio
import time

import pytest

from patter.testing.contract.base import ContractBase
from patter.testing.contract.checks import broken, check_result
from patter.testing.contract.desk import BOTH_WAYS, WAYS, Desk, Way
from patter.testing.contract.phone import ANSWERS, BUSY, FAILED, HOLD, NOT_ANSWERED, STRANGER, STRANGER_SAYS

__all__ = ["ResultContract"]

_NOBODY = {"busy": BUSY, "no-answer": NOT_ANSWERED, "failed": FAILED}
_OWNERS_S = 8
_FOREIGN = "Ü東京☎"


class ResultContract(ContractBase):
    """Every ending of a call is a result that model and program can read, whatever code the use is made in."""

    @pytest.mark.parametrize("way", WAYS)
    def test_a_call_is_placed_and_its_envelope_comes_back(self, desk: Desk, way: Way) -> None:
        """A use in plain code, in async code, in a worker thread or on a running loop is one call and its envelope."""
        use = desk.use()
        envelope = check_result(desk.make(use, way), self.harness)
        (call,) = desk.dials
        assert envelope["call_id"] == call.sid, broken("the envelope is that of the call", (envelope, call.sid))
        assert envelope["transcript"] == [
            {"role": "user", "text": "Yes?"},
            {"role": "agent", "text": f"{use.arguments['goal']}."},
        ], broken("the transcript holds what was heard, in order", envelope["transcript"])
        assert call.request.to == ANSWERS, broken("the number of the use is dialled", call.request.to)
        strays = self.contract_phone.strays
        assert not strays, broken("every call runs on the phone's own loop", f"{strays} turns on others")

    def test_one_tool_serves_two_loops_after_each_other(self, desk: Desk) -> None:
        """A tool outlives the event loop that it was first used on."""
        check_result(desk.make(desk.use(), "async"), self.harness)
        check_result(desk.make(desk.use(BUSY), "async"), self.harness, "busy")
        check_result(desk.make(desk.use(BUSY), "sync"), self.harness, "busy")

    def test_loops_of_two_threads_share_one_tool(self, desk: Desk) -> None:
        """A tool that is used on a loop can be used on the loop of another thread meanwhile."""

        async def both() -> None:
            other = asyncio.to_thread(desk.make, desk.use(), "async")
            mine = self.harness.ainvoke(desk.native, desk.use())
            for observed in await asyncio.gather(other, mine):
                check_result(observed, self.harness)

        asyncio.run(both())
        assert len(desk.dials) == 2, broken("two uses are two calls", f"{len(desk.dials)} dialled")

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_text_in_any_language_reaches_the_model_as_itself(self, desk: Desk, way: Way) -> None:
        """Characters beyond ASCII stand as themselves in the JSON that the model reads."""
        observed = desk.make(desk.use(goal=_FOREIGN), way)
        said = check_result(observed, self.harness)["transcript"][-1]["text"]
        assert said.startswith(_FOREIGN), broken(f"the transcript holds {_FOREIGN!r}", said)
        assert _FOREIGN in observed.text, broken("the text is not escaped to ASCII", observed.text)

    @pytest.mark.parametrize("way", BOTH_WAYS)
    @pytest.mark.parametrize("status", _NOBODY)
    def test_a_call_that_reaches_nobody_is_a_result(self, desk: Desk, status: str, way: Way) -> None:
        """Busy, unanswered and failed calls are results, and are dialled once."""
        envelope = check_result(desk.make(desk.use(_NOBODY[status]), way), self.harness, status)
        assert envelope["transcript"] == [], broken("nobody said anything", envelope["transcript"])
        assert len(desk.dials) == 1, broken(f"a call that ended {status} is not repeated", f"{len(desk.dials)} dials")

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_a_call_that_takes_too_long_is_hung_up_and_is_a_result(self, desk: Desk, way: Way) -> None:
        """The use's max_duration_sec reaches the phone: after it the call is hung up, and its status is timeout."""
        desk.equip(max_duration_sec=_OWNERS_S)
        began = time.monotonic()
        check_result(desk.make(desk.use(goal=HOLD, max_duration_sec=1), way), self.harness, "timeout")
        took_s = time.monotonic() - began
        promise = "the use's max_duration_sec, 1 s, comes before the tool's own"
        assert took_s < _OWNERS_S - 1, broken(promise, f"the use took {took_s:.1f} s")
        assert len(desk.dials) == 1, broken("a call that timed out is not repeated", f"{len(desk.dials)} dials")
        desk.check_hung_up()

    @pytest.mark.parametrize("way", BOTH_WAYS)
    def test_what_a_stranger_says_stays_inside_a_json_string(self, desk: Desk, way: Way) -> None:
        """Speech that looks like JSON or like an instruction is the text of a line of the transcript, and no more."""
        envelope = check_result(desk.make(desk.use(STRANGER), way), self.harness)
        said = [line["text"] for line in envelope["transcript"] if line["role"] == "user"]
        assert said == [STRANGER_SAYS], broken("the stranger's words are one string", envelope["transcript"])
        assert len(desk.dials) == 1, broken("what a stranger says dials nobody", f"{len(desk.dials)} dials")

    def test_what_the_agent_shall_say_first_reaches_the_phone(self, desk: Desk) -> None:
        """The use's first_message is what the callee hears first."""
        envelope = check_result(desk.make(desk.use(first_message="Hi!")), self.harness)
        said = [line["text"] for line in envelope["transcript"] if line["role"] == "agent"]
        assert said[:1] == ["Hi!"], broken("the agent says first_message first", envelope["transcript"])
