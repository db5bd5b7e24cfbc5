"""What ``patter doctor`` checks without asking anybody. Nothing here waits, writes or leaves the machine.

A value of the environment never stands in a message: it may be a key in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal
from urllib.parse import urlsplit

from patter.carriers.addresses import Addresses, public_url
from patter.carriers.twilio_rest import read_origin
from patter.errors import ConfigError, InvalidArguments
from patter.policy.numbers import check_number, mask_number
from patter.settings import vendor_url

__all__ = [
    "CARRIER_VARIABLES",
    "SDKS",
    "Check",
    "Mind",
    "State",
    "Surroundings",
    "local_checks",
    "mind_of",
    "missing_variables",
    "split_remedy",
]

State = Literal["ok", "note", "missing", "problem"]
Section = Literal["This machine", "Carrier", "Ears, mind and voice", "Online"]
Mind = Literal["openai", "anthropic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the doctor's report.

    Args:
        message: what was found.
        remedy: what to do next.
        is_needed: a real call needs it.
        is_passing: it is a vendor's or the network's failure, and may be gone later.
    """

    section: Section
    name: str
    state: State
    message: str = ""
    remedy: str = ""
    is_needed: bool = True
    is_passing: bool = False

    @property
    def blocks(self) -> bool:
        """True if no real call can be placed because of it."""
        return self.is_needed and self.state in ("missing", "problem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the checks look at.

    Args:
        now: wall-clock time.
        python: the interpreter's version.
        version_of: the version of an installed distribution, or None.
        speech_problem: what the demo's speech lacks; "" if nothing.
        port_problem: why the port cannot be listened on, and what to do; None if it can.
    """

    env: Mapping[str, str]
    now: datetime
    python: str
    version_of: Callable[[str], str | None]
    speech_problem: str
    host: str
    port: int
    port_problem: tuple[str, str] | None


CARRIER_VARIABLES = {
    "TWILIO_ACCOUNT_SID": "AC..., from console.twilio.com",
    "TWILIO_AUTH_TOKEN": "beside it, under Account Info",
    "TWILIO_PHONE_NUMBER": "a number of that account, such as +15551234567",
    "PATTER_WEBHOOK_URL": "a public name of this machine: api.example.com",
}
"""What a call through the carrier needs, and where to get it."""

SDKS: dict[Mind, tuple[str, ...]] = {
    "openai": ("deepgram-sdk", "openai"),
    "anthropic": ("deepgram-sdk", "anthropic"),
}
"""The distributions that a call needs, by the mind's vendor."""

_EARS, _VOICE = "DEEPGRAM_API_KEY", "ELEVENLABS_API_KEY"
_MINDS: dict[Mind, str] = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
_PROVIDERS = {
    _EARS: "ears: console.deepgram.com",
    _MINDS["openai"]: "mind: platform.openai.com, or ANTHROPIC_API_KEY",
    _MINDS["anthropic"]: "mind: console.anthropic.com",
    _VOICE: "voice: elevenlabs.io",
}
_ADDRESSES = {
    "DEEPGRAM_BASE_URL": "https://api.deepgram.com",
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "ANTHROPIC_BASE_URL": "https://api.anthropic.com",
    "ELEVENLABS_BASE_URL": "https://api.elevenlabs.io",
}
_PACKAGES = ("twilio", "openai", "anthropic", "deepgram-sdk", "elevenlabs")
_VOICE_EXTRA = "pip install 'patter-core[voice]'"
_ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}", re.ASCII)
_PLACEHOLDER = re.compile(r"<.*>|\.{3}|x{4,}|changeme|(your|my)[-_ ].*", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_TUNNELS = (".trycloudflare.com", ".ngrok.io", ".ngrok.app", ".ngrok-free.app", ".ngrok-free.dev", ".loca.lt")
_FIRST_YEAR, _LAST_YEAR = 2026, 2099


def local_checks(around: Surroundings) -> list[Check]:
    """Everything that can be known on this machine, in the order of the report."""
    return [*_machine(around), *_carrier(around.env), *_providers(around.env)]


def mind_of(env: Mapping[str, str]) -> Mind:
    """Whose key there is: Anthropic's if it is the only one."""
    return "anthropic" if env.get(_MINDS["anthropic"]) and not env.get(_MINDS["openai"]) else "openai"


def missing_variables(env: Mapping[str, str], mind: Mind | None) -> list[str]:
    """The variables that a call needs and that are not set; without a mind, only those of the carrier."""
    wanted = [*CARRIER_VARIABLES, *([] if mind is None else [_EARS, _MINDS[mind], _VOICE])]
    return [name for name in wanted if not env.get(name, "").strip()]


def split_remedy(text: str) -> tuple[str, str]:
    """The text of an error as what was wrong and, where it says so, what to do."""
    found = re.fullmatch(r"(.+?)(?:; |\. )(.+?)\.?", text)
    return (found[1], found[2][0].lower() + found[2][1:]) if found else (text.removesuffix("."), "")


# --- this machine ---------------------------------------------------------------------------------


def _machine(around: Surroundings) -> Iterator[Check]:
    patter = around.version_of("patter-core") or "not installed as a package"
    yield Check(section="This machine", name="versions", state="ok", message=f"Python {around.python}, patter {patter}")
    yield _packages(around)
    yield _clock(around.now)
    if around.port_problem is None:
        yield Check(section="This machine", name="port", state="ok", message=f"{around.port} on {around.host} is free")
    else:
        problem, remedy = around.port_problem
        yield Check(section="This machine", name="port", state="problem", message=problem, remedy=remedy)
    yield Check(
        section="This machine",
        name="demo",
        state="note" if around.speech_problem else "ok",
        message=around.speech_problem or "speaks and listens: flite, pocketsphinx",
        is_needed=False,
    )


def _packages(around: Surroundings) -> Check:
    found = {name: around.version_of(name) for name in _PACKAGES}
    there = ", ".join(f"{name} {version}" for name, version in found.items() if version is not None)
    missing = [name for name, version in found.items() if version is None]
    if not missing:
        return Check(section="This machine", name="packages", state="ok", message=there)
    is_needed = bool({"twilio", *SDKS[mind_of(around.env)]} & {*missing})
    return Check(
        section="This machine",
        name="packages",
        state="missing" if is_needed else "note",
        message=f"without {_listed(missing)}",
        remedy=_VOICE_EXTRA,
        is_needed=is_needed,
    )


def _clock(now: datetime) -> Check:
    said = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    if _FIRST_YEAR <= now.year <= _LAST_YEAR:
        return Check(section="This machine", name="clock", state="ok", message=said)
    return Check(
        section="This machine",
        name="clock",
        state="problem",
        message=f"{said}: no certificate will be valid",
        remedy="set the time, or turn on its synchronisation",
    )


# --- the carrier ----------------------------------------------------------------------------------


def _carrier(env: Mapping[str, str]) -> Iterator[Check]:
    readers = {
        "TWILIO_ACCOUNT_SID": _account_sid,
        "TWILIO_AUTH_TOKEN": _auth_token,
        "TWILIO_PHONE_NUMBER": _number,
        "PATTER_WEBHOOK_URL": _webhook,
    }
    for name, source in CARRIER_VARIABLES.items():
        yield _variable(env, "Carrier", name, source, readers[name])
    if env.get("TWILIO_BASE_URL"):
        yield _redirected(env, "Carrier", "TWILIO_BASE_URL", read_origin)
    try:
        voice_url = Addresses(public_url(env.get("PATTER_WEBHOOK_URL", "")), "twilio").voice()
    except ConfigError:
        return
    yield Check(
        section="Carrier",
        name="voice webhook",
        state="note",
        message=f"POST {voice_url}",
        remedy="set it at the number, for incoming calls",
        is_needed=False,
    )


Verdict = tuple[State, str, str]


def _account_sid(value: str) -> Verdict:
    if value.startswith("SK"):
        return "problem", "an API key (SK...), which signs no webhooks", "take the account's own SID, AC..."
    if not _ACCOUNT_SID.fullmatch(value):
        return "problem", "no account SID: AC and 32 hex digits", "copy it again from console.twilio.com"
    return "ok", "set", ""


def _auth_token(value: str) -> Verdict:
    if _ACCOUNT_SID.fullmatch(value):
        return "problem", "this is an account SID", "copy the auth token beside it"
    return "ok", "set", ""


def _number(value: str) -> Verdict:
    try:
        return "ok", mask_number(check_number(value)), ""
    except InvalidArguments as error:
        return "problem", _QUOTED.sub("it", error.problem), "write it like +15551234567"


def _webhook(value: str) -> Verdict:
    try:
        address = public_url(value)
    except ConfigError:
        if value.startswith("http://"):
            return "problem", "carriers call https only", "set a bare host name: api.example.com"
        return "problem", "no host name", "set one like api.example.com"
    if (urlsplit(address).hostname or "").endswith(_TUNNELS):
        return "note", f"{address}, a tunnel: its name changes", "for production, take a name of your own"
    return "ok", address, ""


# --- ears, mind and voice -------------------------------------------------------------------------


def _providers(env: Mapping[str, str]) -> Iterator[Check]:
    # A second mind's key is not needed, and not looked at.
    for name in (_EARS, _MINDS[mind_of(env)], _VOICE):
        yield _variable(env, "Ears, mind and voice", name, _PROVIDERS[name], _reader(name))
    for name, default in _ADDRESSES.items():
        if env.get(name):
            yield _redirected(env, "Ears, mind and voice", name, partial(vendor_url, variable=name, default=default))


def _reader(name: str) -> Callable[[str], Verdict]:
    def read(value: str) -> Verdict:
        if name == _MINDS["openai"] and value.startswith("sk-ant-"):
            return "problem", "this is a key of Anthropic", f"set it as {_MINDS['anthropic']}"
        return "ok", "set", ""

    return read


# --- variables ------------------------------------------------------------------------------------


def _variable(
    env: Mapping[str, str], section: Section, name: str, source: str, read: Callable[[str], Verdict]
) -> Check:
    value = env.get(name, "")
    if not value.strip():
        return Check(section=section, name=name, state="missing", remedy=source)
    state, message, remedy = _flaw(value) or read(value)
    return Check(section=section, name=name, state=state, message=message, remedy=remedy)


def _flaw(value: str) -> Verdict | None:
    """What is wrong with a value whatever it is for."""
    if value != value.strip():
        return "problem", "a blank or a line break at an end", "set it again without"
    if value[0] in "'\"`" or value[-1] in "'\"`":
        return "problem", "quotes are part of the value", "set it again without"
    if not (value.isascii() and value.isprintable()):
        return "problem", "a character that belongs in no such value", "copy it again"
    if _PLACEHOLDER.fullmatch(value):
        return "problem", "a placeholder", "put the real value there"
    return None


def _redirected(env: Mapping[str, str], section: Section, name: str, read: Callable[[str], str | None]) -> Check:
    try:
        parts = urlsplit(read(env[name]) or "")
    except ConfigError:
        remedy = "unset it, or set an address like http://127.0.0.1:4010"
        return Check(section=section, name=name, state="problem", message="no http address", remedy=remedy)
    open_ = parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1")
    return Check(
        section=section,
        name=name,
        state="note",
        message=f"traffic goes to {parts.scheme}://{parts.netloc}{', unencrypted' if open_ else ''}",
        is_needed=False,
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
