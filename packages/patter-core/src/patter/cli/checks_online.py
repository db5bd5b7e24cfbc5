"""What ``patter doctor --online`` asks: each vendor whether it knows the key, and the webhook's own address.

Everybody is asked at the same time and has 5 s. Nothing is asked that costs money or changes anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from patter.cli.checks import Check, mind_of, split_remedy
from patter.cli.checks_twilio import ask_twilio
from patter.cli.checks_webhook import ask_webhook
from patter.errors import Stage
from patter.settings import vendor_url
from patter.voice.refusal import RETRYABLE_STATUSES, refusal

if TYPE_CHECKING:
    from httpx2 import Response

__all__ = ["ANSWER_S", "ask"]

ANSWER_S = 5.0
"""The longest wait for one vendor."""


class Vendor(NamedTuple):
    """Where a vendor tells whether it knows a key. ``headers`` makes the request's headers of the key."""

    name: str
    stage: Stage
    variable: str
    address_variable: str
    default: str
    path: str
    headers: Callable[[str], dict[str, str]]


_DEEPGRAM = Vendor(
    "Deepgram",
    "stt",
    "DEEPGRAM_API_KEY",
    "DEEPGRAM_BASE_URL",
    "https://api.deepgram.com",
    "/v1/auth/token",
    lambda key: {"Authorization": f"Token {key}"},
)
_OPENAI = Vendor(
    "OpenAI",
    "llm",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "https://api.openai.com/v1",
    "/models",
    lambda key: {"Authorization": f"Bearer {key}"},
)
_ANTHROPIC = Vendor(
    "Anthropic",
    "llm",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "https://api.anthropic.com",
    "/v1/models",
    lambda key: {"x-api-key": key, "anthropic-version": "2023-06-01"},
)
_ELEVENLABS = Vendor(
    "ElevenLabs",
    "tts",
    "ELEVENLABS_API_KEY",
    "ELEVENLABS_BASE_URL",
    "https://api.elevenlabs.io",
    "/v1/user",
    lambda key: {"xi-api-key": key},
)
_VENDORS = (_DEEPGRAM, _OPENAI, _ANTHROPIC, _ELEVENLABS)

Question = Callable[[], Awaitable[list[Check]]]


async def ask(
    env: Mapping[str, str], found: Sequence[Check], *, host: str, port: int, answer_s: float = ANSWER_S
) -> list[Check]:
    """Ask everybody whose settings are there and have no flaw.

    Args:
        found: what the checks of this machine have found.
        host, port: where the server of a call listens.
        answer_s: the longest wait for each.

    Returns:
        One line or more for each who was asked, always in the same order.
    """
    await anyio.to_thread.run_sync(import_module, "httpx2")
    good = {check.name for check in found if check.state in ("ok", "note")}
    broken = {check.name for check in found if check.state == "problem"}
    questions: list[tuple[str, Question]] = []
    if {"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"} <= good and "TWILIO_BASE_URL" not in broken:
        number = env["TWILIO_PHONE_NUMBER"] if "TWILIO_PHONE_NUMBER" in good else None
        questions.append(("Twilio", partial(ask_twilio, env, number)))
    other_mind = _ANTHROPIC if mind_of(env) == "openai" else _OPENAI
    questions += [
        (vendor.name, partial(_ask_vendor, vendor, env))
        for vendor in _VENDORS
        if vendor is not other_mind and vendor.variable in good and vendor.address_variable not in broken
    ]
    if "PATTER_WEBHOOK_URL" in good:
        is_signable = "TWILIO_AUTH_TOKEN" in good
        questions.append(("webhook", partial(ask_webhook, env, host=host, port=port, is_signable=is_signable)))
    answers: list[list[Check]] = [[] for _ in questions]
    async with anyio.create_task_group() as tasks:
        for place, (name, question) in enumerate(questions):
            tasks.start_soon(_bounded, name, question, answer_s, answers, place)
    return [check for answer in answers for check in answer]


async def _bounded(name: str, question: Question, answer_s: float, answers: list[list[Check]], place: int) -> None:
    with anyio.move_on_after(answer_s):
        answers[place] = await question()
        return
    answers[place] = [_failed(name, f"no answer within {answer_s:g} s", "try again; check the network")]


async def _ask_vendor(vendor: Vendor, env: Mapping[str, str]) -> list[Check]:
    import httpx2

    base = vendor_url(env.get(vendor.address_variable), variable=vendor.address_variable, default=vendor.default)
    is_local = urlsplit(base).hostname in ("127.0.0.1", "localhost", "::1")
    try:
        # A proxy of the environment does not reach this machine's loopback.
        async with httpx2.AsyncClient(timeout=ANSWER_S, trust_env=not is_local) as client:
            response = await client.get(f"{base}{vendor.path}", headers=vendor.headers(env[vendor.variable]))
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
        return [_failed(vendor.name, f"cannot be reached ({type(error).__name__})", "check the network")]
    return [_judge(vendor, response)]


def _judge(vendor: Vendor, response: Response) -> Check:
    if response.is_success and isinstance(_json(response), dict):
        return _ok(vendor.name, "knows the key")
    if response.status_code in (401, 403) and _is_restricted(response.text):
        return _ok(vendor.name, "knows the key, which may not read account data; a call need not")
    if response.status_code == 404:
        message = "nobody knows keys at its address (HTTP 404)"
        return _failed(vendor.name, message, f"check {vendor.address_variable}", is_passing=False)
    if response.is_success or response.is_redirect:
        message = f"something else answered (HTTP {response.status_code}): a proxy, or a portal"
        return _failed(vendor.name, message, f"check the network and {vendor.address_variable}")
    error = refusal(vendor.stage, vendor.name, response.status_code, variable=vendor.variable)
    said, remedy = split_remedy(str(error))
    return _failed(vendor.name, said, remedy, is_passing=response.status_code in RETRYABLE_STATUSES)


def _is_restricted(body: str) -> bool:
    """True for a key that is known and lacks the permission for this question alone."""
    return any(word in body.lower() for word in ("missing_permissions", "missing scopes", "permission_error"))


def _json(response: Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _ok(name: str, message: str) -> Check:
    return Check(section="Online", name=name, state="ok", message=message)


def _failed(name: str, message: str, remedy: str, *, is_passing: bool = True) -> Check:
    return Check(section="Online", name=name, state="problem", message=message, remedy=remedy, is_passing=is_passing)
