"""The contract over `PatterTool` itself, without a framework."""

from __future__ import annotations

from patter.testing.contract import AdapterContract, BareHarness


class TestBare(AdapterContract):
    harness = BareHarness()
