"""What a framework's adapter has to show, so that one suite can be run over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from patter.call.request import Event
from patter.envelope import CallResult
from patter.tool import PatterTool

__all__ = ["AdapterHarness", "Observed", "Use"]


@dataclass(frozen=True, slots=True)
class Use:
    """One use of the tool by the host's model.

    ``id`` is the model's id of the use, where the framework passes one on.
    """

    arguments: Mapping[str, Any]
    id: str = "call_1"


@dataclass(frozen=True, slots=True)
class Observed:
    """What came of one use.

    Args:
        text: what the host's model reads.
        is_error: the framework's own mark of a failed use.
        result: the envelope as the framework hands it to the program; None for an error, or if the
            framework hands over text only.
        events: the progress events as the framework's user receives them, in order.
    """

    text: str
    is_error: bool
    result: CallResult | None = None
    events: Sequence[Event] = ()


class AdapterHarness(Protocol):
    """How one framework builds, describes and calls the tool.

    The four flags say what the framework can do; the suite asks for the promise in another way where it cannot.
    A harness may have a fifth, ``cancels_agent``: False if cancelling an agent does not reach the tool, although
    cancelling a use by hand does. Without it, ``cancels_on_await`` holds for both.
    """

    name: str
    cancels_on_await: bool
    """Cancelling the task that awaits a use reaches the tool."""
    has_events: bool
    """`Observed.events` is filled."""
    sees_use_id: bool
    """The framework tells the tool the model's id of a use."""
    has_result: bool
    """`Observed.result` is filled."""

    def build(self, tool: PatterTool) -> Any:
        """The framework's own kind of tool."""

    def schema(self, native: Any) -> dict[str, Any]:
        """``name``, ``description`` and ``parameters`` as the host's model is told them."""

    def invoke(self, native: Any, use: Use) -> Observed:
        """One use from plain code, the way the framework's users call a tool by hand."""

    async def ainvoke(self, native: Any, use: Use) -> Observed:
        """One use from async code."""

    def run_agent(self, native: Any, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        """Run the framework's real agent loop from plain code, with a scripted model.

        The model makes the uses of one turn side by side, then those of the next, then answers with a
        sentence. The list tells what the model read of each use, in the order of the script.
        """

    async def arun_agent(self, native: Any, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        """`run_agent` in async code."""
