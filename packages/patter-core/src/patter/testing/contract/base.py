"""What every part of the suite stands on: the phone of the class, and the desk of the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from patter.testing.contract.desk import Desk
from patter.testing.contract.harness import AdapterHarness
from patter.testing.contract.phone import ContractPhone

__all__ = ["ContractBase"]


class ContractBase:
    """One phone on the local network for all tests of a class. Every test also fails if it leaves a call or a task."""

    harness: ClassVar[AdapterHarness]
    contract_phone: ClassVar[ContractPhone]

    @classmethod
    def setup_class(cls) -> None:
        """Start the phone."""
        if not hasattr(cls, "harness"):
            raise pytest.UsageError(f"{cls.__name__} needs its adapter's harness: harness = MyHarness().")
        cls.contract_phone = ContractPhone()
        cls.contract_phone.start()

    @classmethod
    def teardown_class(cls) -> None:
        """Stop the phone."""
        cls.contract_phone.stop()

    @pytest.fixture
    def desk(self) -> Iterator[Desk]:
        """The framework's tool, and what the carrier saw of this test."""
        desk = Desk(self.harness, self.contract_phone)
        try:
            yield desk
        finally:
            desk.close()
