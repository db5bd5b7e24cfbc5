"""What ``patter doctor --online`` asks Twilio: is the account good, is the number its own, do the clocks agree?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from patter.carriers.twilio_rest import FailedRequest, TwilioRest, read_origin
from patter.cli.checks import Check, State, split_remedy
from patter.policy.numbers import check_number

__all__ = ["ask_twilio"]

_TIMEOUT_S = 4.0
_SKEW_S = 30.0
"""An answer's time has whole seconds, and is as old as the answer was slow."""


class _Owned(NamedTuple):
    """How a number belongs to an account."""

    can_call: bool
    is_verified_only: bool


async def ask_twilio(env: Mapping[str, str], number: str | None) -> list[Check]:
    """Ask with the account's own credentials. Nothing is changed and nothing costs.

    Args:
        number: the number that calls shall come from, or None if there is none to ask about.
    """
    rest = TwilioRest(
        env["TWILIO_ACCOUNT_SID"], env["TWILIO_AUTH_TOKEN"], read_origin(env.get("TWILIO_BASE_URL")), _TIMEOUT_S
    )
    try:
        account = await rest.request(lambda client: _account(client, env["TWILIO_ACCOUNT_SID"]))
        checks = [_judge_account(*account.value)]
        if number is not None:
            owned = await rest.request(lambda client: _owned(client, check_number(number)))
            checks.append(_judge_number(owned.value))
        return [*checks, _judge_clock((datetime.now(UTC) - account.at).total_seconds())]
    except FailedRequest as failed:
        said, remedy = split_remedy(str(rest.error(failed)))
        return [_check("Twilio", "problem", said, remedy, is_passing=failed.passing)]


def _account(client: Any, sid: str) -> tuple[str, str]:
    account = client.api.accounts(sid).fetch()
    return str(account.status), str(account.type)


def _owned(client: Any, number: str) -> _Owned | None:
    """How the number belongs to the account; None if it does not."""
    for bought in client.incoming_phone_numbers.list(phone_number=number, limit=5):
        if bought.phone_number == number:
            return _Owned(can_call=bool((bought.capabilities or {}).get("voice", True)), is_verified_only=False)
    verified = client.outgoing_caller_ids.list(phone_number=number, limit=5)
    if any(one.phone_number == number for one in verified):
        return _Owned(can_call=True, is_verified_only=True)
    return None


def _judge_account(status: str, kind: str) -> Check:
    if status != "active":
        return _check("Twilio", "problem", f"the account is {status}", "see console.twilio.com")
    if kind == "Trial":
        return _check("Twilio", "note", "a trial account, which may only call verified numbers")
    return _check("Twilio", "ok", "the account is active")


def _judge_number(owned: _Owned | None) -> Check:
    if owned is None:
        return _check("number", "problem", "not of this account", "buy it there, or verify it as a caller ID")
    if not owned.can_call:
        return _check("number", "problem", "it cannot make voice calls", "take a number with the voice capability")
    if owned.is_verified_only:
        return _check("number", "note", "a verified caller ID: it can call, and calls to it do not come here")
    return _check("number", "ok", "belongs to the account")


def _judge_clock(ahead_s: float) -> Check:
    if abs(ahead_s) <= _SKEW_S:
        return _check("clock", "ok", "agrees with Twilio's")
    direction = "ahead of" if ahead_s > 0 else "behind"
    return _check(
        "clock",
        "problem",
        f"{abs(ahead_s):.0f} s {direction} Twilio's",
        "turn on time synchronisation",
        is_needed=False,
    )


def _check(
    name: str, state: State, message: str, remedy: str = "", *, is_needed: bool = True, is_passing: bool = False
) -> Check:
    return Check(
        section="Online",
        name=name,
        state=state,
        message=message,
        remedy=remedy,
        is_needed=is_needed,
        is_passing=is_passing,
    )
