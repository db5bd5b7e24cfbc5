"""A phone on the local network, on which the number that is dialled decides what happens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from patter.testing.contract.phone import ContractPhone


@pytest.fixture
def phone() -> Iterator[ContractPhone]:
    phone = ContractPhone()
    phone.start()
    yield phone
    phone.stop()
