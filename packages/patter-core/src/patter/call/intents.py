"""What the mind has asked to be done with the call itself. It is done when what the agent says now was heard."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from patter.envelope import Ending, EndReason
from patter.tools.context import Handler, ToolContext
from patter.voice.base import ToolCall

if TYPE_CHECKING:
    from patter.tools.model import Tool

__all__ = ["END_CALL", "Intents", "TransferWish", "as_meant"]

END_CALL = "end_call"
REASONS = ["goal_reached", "goal_refused", "voicemail", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferWish:
    """To whom the call shall be handed over, and how.

    Args:
        hold_music: play music to a caller who stays with us while the target rings and is briefed; the others are
            arguments of `patter.call.transfer.Transfers.run`.
    """

    to: str
    mode: str
    ring_timeout_s: int
    announce: str | None = None
    post_dial_digits: str | None = None
    hold_music: bool = False

    def order(self) -> dict[str, Any]:
        """The arguments of `patter.call.transfer.Transfers.run`."""
        order = asdict(self)
        del order["hold_music"]
        return order


class Intents:
    """The wishes to hang up or to hand the call over, and the words that go before.

    Args:
        may_close: asked whether the agent may take the floor for good.
        on_machine: told that the mind has found an answering machine, if that does not end the call.
    """

    def __init__(self) -> None:
        self.closing = False
        """True once the call shall end after this turn."""
        self.may_close: Callable[[], bool] = lambda: True
        self.on_machine: Callable[[], None] | None = None
        self.transfer: TransferWish | None = None
        self.under_way: TransferWish | None = None
        """The transfer that is being carried out."""
        self.ending = Ending(EndReason.AGENT_HANGUP)
        self._words: list[str] = []

    def words(self) -> str:
        """What is to be said before it is done; asked once."""
        words, self._words = " ".join(self._words), []
        return words

    def take_transfer(self) -> TransferWish | None:
        """The wish to hand the call over, once; from then on it is under way."""
        wish, self.transfer = self.transfer, None
        self.under_way = wish or self.under_way
        return wish

    def close(self, ending: Ending) -> None:
        """Let the call end like this, once what is being said was said."""
        self.closing = True
        self.ending = ending

    def bind(self, tool: Tool) -> Handler:
        """The handler of a tool that ends the call or hands it over."""
        config: Any = tool.config
        if tool.tool_type == "end_call":
            return self.ender(config.goodbye_message)

        async def transfer(arguments: dict[str, Any], context: ToolContext) -> dict[str, str]:
            if self.under_way is not None:
                return {"status": "failed", "reason": "a transfer is under way; its target is being called"}
            if self.closing or self.transfer is not None or not self.may_close():
                return {"status": "failed", "reason": "the other side has begun to speak, or the call is ending"}
            summary = arguments.get("summary")
            is_monitored = tool.tool_type == "monitored_transfer"
            self.transfer = TransferWish(
                to=config.phone_number or arguments["phone_number"],
                mode="monitored" if is_monitored else config.transfer_mode,
                ring_timeout_s=round(config.timeout_seconds),
                announce=(config.announce or summary) if is_monitored else summary,
                post_dial_digits=None if is_monitored else config.post_dial_dtmf,
                hold_music=not is_monitored and config.play_hold_music,
            )
            if not is_monitored and config.message:
                self._words.append(config.message)
            return {"status": "transferring"}

        return transfer

    def ender(self, goodbye: str | None = None) -> Handler:
        """The handler of ``end_call``: only records the wish."""

        async def end_call(arguments: dict[str, Any], context: ToolContext) -> dict[str, str]:
            if self.closing:
                return {"status": "ending"}
            is_machine = arguments.get("reason") == "voicemail"
            if is_machine and self.on_machine is not None:
                self.on_machine()
                return {"status": "the message is left after the beep"}
            if not self.may_close():
                return {"status": "not ended", "reason": "the other side has begun to speak"}
            self.closing = True
            if is_machine:
                self.ending = Ending(EndReason.VOICEMAIL)
            if goodbye:
                self._words.append(goodbye)
            return {"status": "ending"}

        return end_call


def as_meant(call: ToolCall) -> ToolCall:
    """The wish to hang up, without arguments that are none: refused, the goodbye would be said once more."""
    try:
        reason = json.loads(call.arguments)["reason"]
    except (ValueError, TypeError, KeyError, RecursionError):
        reason = None
    return call if reason in REASONS else replace(call, arguments="{}")
