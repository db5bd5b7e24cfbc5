"""What the templates of one call may name, and which names lead to secrets."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

from patter.errors import ConfigError
from patter.tools import template
from patter.tools.template import UnknownName

__all__ = ["SYSTEM_NAMES", "RequestScope", "Variables", "collect_secrets"]

logger = logging.getLogger(__name__)

SYSTEM_NAMES = frozenset(
    {
        "caller_phone",
        "callee_phone",
        "call_id",
        "agent_id",
        "conversation_id",
        "direction",
        "now",
        "date",
        "time",
    }
)
"""What every call brings."""

_ARGUMENTS = "args."
_SECRET_NAME = re.compile(r"_*[A-Z][A-Z0-9_]*")
_INDEX = re.compile(r"[0-9]{1,9}")
_HIDDEN_FROM = 4
"""A shorter secret is not taken out of results: it would be found in what has nothing to do with it."""


class Variables:
    """The variables of one call: what it found out, what the host gave it, what every call brings; in this order.

    Args:
        given: the host's ``variables=``.
        system: the values of `SYSTEM_NAMES`, as far as they are known.

    Attributes:
        found: values that were extracted from the conversation or taken from results; grows during the call.
    """

    def __init__(self, given: Mapping[str, Any] | None = None, system: Mapping[str, Any] | None = None) -> None:
        self.found: dict[str, Any] = {}
        self._given = {name: _plain(value) for name, value in (given or {}).items()}
        self._system = {name: _plain(value) for name, value in (system or {}).items()}
        self._reported: set[str] = set()

    def set(self, name: str, value: Any) -> None:
        """Remember what the call found out."""
        self.found[name] = _plain(value)

    def tell(self, **system: Any) -> None:
        """Give values of `SYSTEM_NAMES` that were not known at the beginning."""
        self._system |= {name: _plain(value) for name, value in system.items()}

    def assign(self, result: Any, paths: Mapping[str, str]) -> None:
        """Remember parts of a tool's result.

        Args:
            result: a JSON value.
            paths: where the parts stand in it, such as ``customer.orders.0.id``, by the names they get. A part that
                is not there changes nothing.
        """
        for name, path in paths.items():
            try:
                self.set(name, _walk(path, result))
            except UnknownName:
                continue

    def lookup(self, name: str) -> Any:
        """The value of a name; ``a.b`` and ``a.0`` lead into objects and lists.

        Raises:
            UnknownName: it has none.
        """
        return _first(name, self.found, self._given, self._system)

    def names(self) -> frozenset[str]:
        """The names that have a value now, those of the system in any case."""
        return SYSTEM_NAMES.union(self.found, self._given, self._system)

    def shared(self) -> dict[str, Any]:
        """What a host's own server is told: what was found and what was given."""
        return {**self._given, **self.found}

    def prompt(self, text: str) -> str:
        """A system prompt, a message or a description, filled in. It never holds an argument or a secret.

        A name without a value stays as it stands; the log says so once per call.
        """
        return template.prompt(text, self.lookup, self._report)

    def _report(self, name: str) -> None:
        if name not in self._reported:
            self._reported.add(name)
            logger.warning("{{%s}} has no value and is left as it stands; pass it in variables=.", name)


class RequestScope:
    """What the parts of one request may name: the mind's arguments, the call's variables, and secrets.

    Args:
        variables: the call's.
        arguments: what the mind passed.
        declared: the arguments that a bare ``{{name}}`` may mean; others need ``{{args.name}}``. So a mind that is
            talked into an argument more cannot replace what the call knows, such as ``caller_phone``.
        secrets: values by names in capital letters.
    """

    def __init__(
        self,
        variables: Variables,
        arguments: Mapping[str, Any],
        *,
        declared: Collection[str],
        secrets: Mapping[str, str],
    ) -> None:
        self._variables = variables
        self._arguments = arguments
        self._declared = {name: value for name, value in arguments.items() if name in declared}
        self._secrets = secrets
        self._used: set[str] = set()

    def __call__(self, name: str) -> Any:
        """A `patter.tools.template.Lookup`."""
        if name.startswith(_ARGUMENTS):
            return _first(name.removeprefix(_ARGUMENTS), self._arguments)
        try:
            return _first(name, self._declared)
        except UnknownName:
            pass
        try:
            return self._variables.lookup(name)
        except UnknownName:
            if name not in self._secrets:
                raise
        self._used.add(self._secrets[name])
        return self._secrets[name]

    def conceal(self, value: Any) -> Any:
        """A result without the secrets that the request carried, in case the server repeats them."""
        written = {secret for secret in self._used if len(secret) >= _HIDDEN_FROM}
        forms = written.union(*({quote(one, safe=""), quote(one), quote_plus(one)} for one in written))
        return _without(sorted(forms, key=len, reverse=True), value) if forms else value


def collect_secrets(secrets: Mapping[str, str] | None = None, secrets_env: Sequence[str] = ()) -> dict[str, str]:
    """The secrets of an agent's tools by name.

    Args:
        secrets: values by names in capital letters.
        secrets_env: names of environment variables that are secrets too; no others are ever read.

    Raises:
        ConfigError: a name is not in capital letters, or a variable is not set.
    """
    found = dict(secrets or {})
    for name in secrets_env:
        if name not in os.environ:
            raise ConfigError(f"secrets_env names {name}, which is not set. Set it, or take the name out.")
        found.setdefault(name, os.environ[name])
    for name, value in found.items():
        if not _SECRET_NAME.fullmatch(name):
            raise ConfigError(f"secrets: the name {name!r} must be in capital letters, such as API_KEY.")
        if not isinstance(value, str) or not value:
            raise ConfigError(f"secrets: {name} must be a text that is not empty.")
    return found


def _without(forms: Sequence[str], value: Any) -> Any:
    if isinstance(value, str):
        for form in forms:
            value = value.replace(form, "***")
        return value
    if isinstance(value, dict):
        return {_without(forms, key): _without(forms, entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without(forms, entry) for entry in value]
    return value


def _first(name: str, *scopes: Mapping[str, Any]) -> Any:
    for scope in scopes:
        if name in scope:
            return scope[name]
        try:
            return _walk(name, scope)
        except UnknownName:
            continue
    raise UnknownName(name)


def _walk(path: str, value: Any) -> Any:
    for part in path.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and _INDEX.fullmatch(part) and int(part) < len(value):
            value = value[int(part)]
        else:
            raise UnknownName(path)
    return value


def _plain(value: Any) -> Any:
    """Dates and the like as their text; what JSON has as it is."""
    return value if value is None or isinstance(value, str | int | float | dict | list) else str(value)
