"""The whole contract."""

from __future__ import annotations

from patter.testing.contract.agent_loop import AgentContract
from patter.testing.contract.arguments import ArgumentContract
from patter.testing.contract.cancellation import CancellationContract
from patter.testing.contract.concurrency import ConcurrencyContract
from patter.testing.contract.events import EventContract
from patter.testing.contract.failures import FailureContract
from patter.testing.contract.repetition import RepetitionContract
from patter.testing.contract.results import ResultContract
from patter.testing.contract.schema import SchemaContract

__all__ = ["AdapterContract"]


class AdapterContract(
    SchemaContract,
    ResultContract,
    ArgumentContract,
    FailureContract,
    ConcurrencyContract,
    RepetitionContract,
    EventContract,
    CancellationContract,
    AgentContract,
):
    """Every promise of an adapter as a test. Subclass it in a test module and set ``harness``."""
