"""The tool that an agent may use during a call."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from patter.errors import ConfigError
from patter.voice.base import ToolSpec

__all__ = ["Handler", "Tool", "ToolContext"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


class ToolContext(dict[str, Any]):
    """What a handler learns of its call: ``call_id``, ``tool_call_id``, ``tool_name``, ``caller``, ``callee``."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


Handler = Callable[[dict[str, Any], ToolContext], Awaitable[Any] | Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function the mind may call while the conversation goes on.

    Args:
        name: 1 to 100 characters of ``A-Z a-z 0-9 _ -``.
        description: tells the mind when to use it; handed over unchanged.
        parameters: JSON Schema of the arguments, an object.
        handler: called with the arguments and a `ToolContext`; sync handlers run in a thread. Returns
            a string, handed to the mind as it is, or any JSON value.
        timeout_s: the mind is told ``timeout`` after this time; None takes the agent's default.
    """

    name: str
    description: str
    handler: Handler = field(repr=False)
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"Tool name {self.name!r} is not 1 to 100 characters of A-Z a-z 0-9 _ -.")
        if not callable(self.handler):
            raise ConfigError(f"Tool {self.name}: handler must be a function of (arguments, context).")
        if self.parameters.get("type") != "object":
            raise ConfigError(f"Tool {self.name}: parameters must be a JSON Schema of type object.")
        from jsonschema import Draft202012Validator, SchemaError  # 60 ms, and not needed to import the package

        try:
            Draft202012Validator.check_schema(self.parameters)
        except SchemaError as error:
            raise ConfigError(f"Tool {self.name}: parameters are no JSON Schema: {error.message}.") from None

    def spec(self) -> ToolSpec:
        """What the mind is told of the tool."""
        return ToolSpec(self.name, self.description, self.parameters)
