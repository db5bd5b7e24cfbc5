"""Where a store is: the addresses that are accepted, read once, and shown without their passwords."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal

from patter.errors import ConfigError

__all__ = ["StoreAddress"]

_FORMS = "sqlite:// (in memory), sqlite:///patter.db, or postgresql://user@host/database"
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
# Nothing is shown of an address in which a password could be taken for something else.
_PLAIN = re.compile(
    r"([^@/?#]*@)?(?P<place>([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])?(:[0-9]+)?(/[A-Za-z0-9_-]*)?)(\?[^@]*)?"
)


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """What a store's URL says.

    Args:
        kind: ``memory`` and ``file`` are SQLite.
        path: the file; None for the others.
        url: as SQLAlchemy takes it, with its password.
        shown: what may be shown of it.
    """

    kind: Literal["memory", "file", "postgres"]
    path: str | None
    url: str = field(repr=False)
    shown: str

    @classmethod
    def of(cls, url: str) -> StoreAddress:
        """Read a URL.

        Raises:
            ConfigError: it is none that is accepted, or a package is missing that it needs. The message holds nothing
                of the URL.
        """
        scheme, separator, rest = url.partition("://") if isinstance(url, str) else ("", "", "")
        if not separator:
            raise ConfigError(f"store must be the address of a database: {_FORMS}.")
        _need("sqlalchemy", "server")
        if scheme == "sqlite":
            return cls._sqlite(rest)
        if scheme in _POSTGRES:
            _need("psycopg", "postgres")
            return cls("postgres", None, f"postgresql+psycopg://{rest}", _shown(rest))
        raise ConfigError(f"store is an address of a kind that is not known. Pass {_FORMS}.")

    @classmethod
    def _sqlite(cls, rest: str) -> StoreAddress:
        if rest in ("", "/", "/:memory:"):
            return cls("memory", None, "sqlite://", "sqlite://")
        path = rest.removeprefix("/")
        if path == rest or "?" in path or "#" in path:
            raise ConfigError(
                "store: a file's address has three slashes before its path, and no options behind it, such as "
                "sqlite:///patter.db or sqlite:////var/lib/patter.db."
            )
        return cls("file", path, f"sqlite:///{path}", f"sqlite:///{path}")


def _need(package: str, extra: str) -> None:
    if find_spec(package) is None:
        raise ConfigError(f"store needs the package {package}. Install it with: pip install 'patter-core[{extra}]'")


def _shown(rest: str) -> str:
    """Host and database; a user's name, a password and options stay out of it."""
    found = _PLAIN.fullmatch(rest)
    return f"postgresql://{found['place'] if found else '...'}"
