"""What the executors of one call's tools work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from patter.tools.variables import Variables

if TYPE_CHECKING:
    from patter.tools.safe_http import SafeHttp

__all__ = ["CallServices"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallServices:
    """What the tools of one call share.

    Args:
        variables: what templates may name; executors write what they find out.
        http: sends every request; it belongs to the phone, which closes it.
        secrets: values by names in capital letters, for the parts of requests alone.
        webhook_secret: signs the requests of the program's webhook tools that have no secret of their own.
    """

    variables: Variables
    http: SafeHttp
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    webhook_secret: str | None = field(default=None, repr=False)
