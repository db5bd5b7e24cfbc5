"""What the exporters have in common: the tool as they see it, and how an SDK is imported."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from patter.errors import ConfigError

if TYPE_CHECKING:
    from patter.call.request import EventSink
    from patter.envelope import CallResult

__all__ = ["Answer", "PhoneTool", "load"]


class Answer(Protocol):
    """What came of one use of the tool; its ``str()`` is what the host's model reads."""

    @property
    def text(self) -> str:
        """What the host's model reads."""

    @property
    def result(self) -> CallResult | None:
        """The envelope; None if nothing was dialled."""

    @property
    def code(self) -> str | None:
        """Why nothing was dialled."""

    @property
    def is_error(self) -> bool:
        """True if nothing was dialled."""


class PhoneTool(Protocol):
    """What the exporters need of a `patter.tool.PatterTool`."""

    name: str
    description: str

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON Schema of the arguments. A copy."""

    def openai_schema(self, api: Any = "chat", *, strict: bool = False) -> dict[str, Any]:
        """The tool for OpenAI's models."""

    async def answer(
        self,
        args: Mapping[str, Any] | str | None = None,
        /,
        *,
        on_event: EventSink | None = None,
        tool_call_id: str | None = None,
        scope: str = "",
    ) -> Answer:
        """Place a call; never raises. Cancelling hangs up."""


def load(module: str, *, extra: str) -> Any:
    """Import a module of a framework's SDK.

    Args:
        extra: the extra of the distribution that brings the SDK.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ConfigError(
            f"The package {package} is missing or broken. Install it with: pip install 'patter-core[{extra}]'"
        ) from error
