"""Ends a call: nothing more is played, it is hung up once, and the last words are taken."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio

from patter.call.conversation import Conversation
from patter.call.report import CallFacts
from patter.carriers.base import CallUpdate, Carrier, Line
from patter.envelope import EndReason
from patter.errors import CarrierError
from patter.settings import Timing

__all__ = ["Teardown"]

_log = logging.getLogger("patter")

_FLUSH_S = _FETCH_S = 1.0


class Teardown:
    """What is due when a call has ended, within `Timing.settle_s`.

    Args:
        final: set when the carrier has said its last word.
        report: takes what the carrier answers when it is asked.
    """

    def __init__(
        self,
        carrier: Carrier,
        facts: CallFacts,
        timing: Timing,
        *,
        final: anyio.Event,
        report: Callable[[CallUpdate], None],
    ) -> None:
        self._carrier = carrier
        self._facts = facts
        self._timing = timing
        self._final = final
        self._report = report
        self._is_done = False

    async def run(self, line: Line | None, conversation: Conversation | None) -> None:
        """Close the line and the call, and enter the last words. The second time does nothing."""
        if self._is_done:
            return
        self._is_done = True
        try:
            with anyio.move_on_after(self._timing.settle_s):
                async with anyio.create_task_group() as tasks:
                    if line is not None:
                        tasks.start_soon(line.close)  # first, so that nothing more is played than was written down
                    if conversation is not None:
                        tasks.start_soon(_flush, conversation)
                    tasks.start_soon(self._hang_up)
        finally:
            if conversation is not None:
                conversation.close(anyio.current_time())

    async def ask_carrier(self) -> None:
        """Fetch how the call stands, where its callbacks did not say."""
        if self._facts.carrier_id is None:
            return
        try:
            with anyio.move_on_after(_FETCH_S):
                self._report(await self._carrier.fetch(self._facts.carrier_id))
        except CarrierError:
            return

    async def _hang_up(self) -> None:
        facts = self._facts
        if facts.carrier_id is None or facts.ending.reason is EndReason.TRANSFERRED:
            return  # a transferred call goes on without us
        if facts.ending.reason is EndReason.USER_HANGUP:
            with anyio.move_on_after(self._timing.final_status_s):
                await self._final.wait()
        if self._final.is_set():
            return
        facts.is_doubtful = True
        try:
            await self._carrier.hang_up(facts.carrier_id)
            facts.is_doubtful = False
        except Exception as error:  # whatever became of it, the envelope is due
            _log.warning("Hanging up failed with %s.", type(error).__name__)
        with anyio.move_on_after(self._timing.final_status_s):
            await self._final.wait()
        if not self._final.is_set():
            await self.ask_carrier()


async def _flush(conversation: Conversation) -> None:
    try:
        with anyio.move_on_after(_FLUSH_S):
            await conversation.flush()
    except Exception as error:  # the words are lost, the call is not
        _log.warning("The last words were lost: %s", type(error).__name__)
