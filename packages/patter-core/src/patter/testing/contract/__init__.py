"""The contract of an adapter: what every framework's form of the phone tool has to keep.

A package that brings `PatterTool` to a framework writes an `AdapterHarness`, which says how that framework
builds, describes and calls its tool, and runs the suite over it::

    from patter.testing.contract import AdapterContract

    class TestMyAdapter(AdapterContract):
        harness = MyHarness()

The suite places calls on the local network: a real server, a real media socket, no keys. It needs pytest
(``patter-core[testing]``) and none of its plugins: its tests are plain functions, which run loops of their own.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.testing.contract.bare import BareHarness as BareHarness
    from patter.testing.contract.harness import AdapterHarness as AdapterHarness
    from patter.testing.contract.harness import Observed as Observed
    from patter.testing.contract.harness import Use as Use
    from patter.testing.contract.suite import AdapterContract as AdapterContract

_WHERE = {
    "AdapterContract": "suite",
    "AdapterHarness": "harness",
    "BareHarness": "bare",
    "Observed": "harness",
    "Use": "harness",
}

__all__ = sorted(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
