"""The one model of a tool that an agent uses during a call, whatever carries it out."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from patter.errors import ConfigError
from patter.tools import exporters
from patter.tools.configs import (
    SEEN,
    CustomWebsocketConfig,
    HttpRequestConfig,
    PlayToneConfig,
    SpeechPolicy,
    ToolConfig,
    ToolType,
    WebhookConfig,
    Whole,
    speech_of,
)
from patter.tools.context import Handler, ToolContext
from patter.tools.define import ToolDecorator
from patter.tools.derived import derive_description, derive_parameters
from patter.tools.schema_limits import check_parameters
from patter.tools.shapes import Wire, canonical, to_wire
from patter.tools.signature import check_handler, describe
from patter.voice.base import ToolSpec

__all__ = ["IS_RETRIED", "TAKES_PARAMETERS", "Assignment", "Handler", "Tool", "ToolContext"]

_log = logging.getLogger("patter")

TAKES_PARAMETERS = ("handler", "webhook", "http_request", "custom_websocket")
IS_RETRIED = ("webhook", "http_request")
_WEBHOOK_MS = 10_000
_TONES_GRACE_MS = 5_000
_MOST_TONES = 32
_LONGEST_PAUSE_MS = 500


def _name(value: str) -> str:
    if not 1 <= len(value) <= 100 or not value.isascii() or not value.replace("-", "_").replace("_", "a").isalnum():
        raise ValueError("it is not 1 to 100 characters of A-Z a-z 0-9 _ -")
    return value


def _description(value: str) -> str:
    if not re.search(SEEN, value):
        raise ValueError("it is empty. Say what the tool does and when to use it: the mind decides by it")
    return value


class Assignment(BaseModel):
    """A part of a result that becomes a variable of the call.

    Args:
        variable: its name in templates.
        path: where it stands in the result, such as ``customer.orders.0.id``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    variable: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
    path: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class Tool(BaseModel):
    """Something the mind may do while the conversation goes on. Immutable.

    It is made of keywords in any shape that `from_any` takes as a mapping; the usual ones are a ``handler``, a
    ``webhook_url``, or a ``tool_type`` with its ``config``. ``timeout_s`` may stand in place of ``timeout_ms``.

    Args:
        id, agent_id, created_at, updated_at: what a store knows of it.
        name: 1 to 100 characters of ``A-Z a-z 0-9 _ -``.
        display_name: for people, at most 255 characters.
        description: tells the mind what it does and when to use it, at most 2,000 characters; handed over unchanged.
        tool_type: what carries it out.
        config: what is set for this type, see `patter.tools.configs`.
        parameters: JSON Schema of the arguments, an object; None derives it from type and config.
        strict: exporters ask the vendor to enforce the schema.
        execution_mode: with ``async`` the mind does not wait; the result joins the conversation when it is there.
        timeout_ms: the mind is told ``timeout`` after this time, at most 600,000 ms; None see `limit_ms`.
        is_enabled: a tool that is not is neither offered nor carried out.
        priority: of several calls in one turn, those of the lowest number run first; -1,000,000 to 1,000,000.
        speech: when the agent speaks around its use; by default as the config says.
        interruption: what a barge-in does to it.
        wait_for_response: with ``async``: the agent reports the result when it comes, and does nothing else before.
        max_retries: of a webhook or an http_request, 0 to 5, where nothing can have happened yet.
        assignments: parts of the result that become variables of the call.
        static_arguments: added to the mind's arguments, which cannot replace them and do not see them.
        handler: of a tool of type ``handler``: takes the arguments and a `ToolContext`; a plain function runs in a
            thread. Returns a string, handed to the mind as it is, or any JSON value.

    Raises:
        ConfigError: the message names every wrong field by its path, and never a value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: UUID | None = None
    agent_id: str | None = None
    name: Annotated[str, AfterValidator(_name), Field(json_schema_extra={"pattern": "^[A-Za-z0-9_-]{1,100}$"})]
    display_name: Annotated[str, StringConstraints(max_length=255)] | None = None
    description: Annotated[
        str,
        StringConstraints(max_length=2000),
        AfterValidator(_description),
        Field(json_schema_extra={"pattern": SEEN}),
    ]
    tool_type: ToolType
    config: ToolConfig
    parameters: dict[str, Any] | None = None
    strict: StrictBool = False
    execution_mode: Literal["sync", "async"] = "sync"
    timeout_ms: Annotated[Whole, Field(ge=1, le=600_000)] | None = None
    is_enabled: StrictBool = True
    priority: Whole = Field(default=0, ge=-1_000_000, le=1_000_000)
    speech: SpeechPolicy = SpeechPolicy()
    interruption: Literal["continue", "cancel"] = "continue"
    wait_for_response: StrictBool = False
    max_retries: Whole = Field(default=0, ge=0, le=5)
    assignments: tuple[Assignment, ...] = ()
    static_arguments: dict[str, Any] = {}
    handler: Callable[..., Any] | None = Field(default=None, exclude=True)
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**canonical(fields))
        except ValidationError as error:
            problems = _problems(error)
            told = " ".join(f"{path}: {problem}." if path else f"{problem}." for path, problem in problems)
            raise ConfigError(f"{_who(fields)}: {told}", problems=problems) from None
        except ConfigError as error:
            raise ConfigError(f"{_who(fields)}: {error}", problems=[_problem(str(error))]) from None
        if self.tool_type in TAKES_PARAMETERS and len(self.description.split()) < 4:
            _warn_of_terse(self.name)

    @classmethod
    def from_any(cls, given: Any) -> Tool:
        """A tool of any shape: a `Tool`, a mapping (see `patter.tools.shapes`), or a function with type hints.

        Raises:
            ConfigError: it is none of these, or something in it is wrong.
        """
        if isinstance(given, cls):
            return given
        if isinstance(given, Mapping):
            if not all(isinstance(key, str) for key in given):
                raise ConfigError("A tool's fields must have names that are strings.")
            return cls(**given)
        if isinstance(given, ToolDecorator):
            raise ConfigError(
                "Patter.tool(...) was given neither handler nor webhook_url: a tool has exactly one of them. "
                "Without them it decorates a function: put it above one as @Patter.tool(...)."
            )
        if callable(given) and not isinstance(given, type):
            return cls(**describe(given))
        raise ConfigError(
            f"a tool must be patter.Tool(...), a mapping or a function, and {type(given).__name__} is none."
        )

    def llm_parameters(self, known: Collection[str] = ()) -> dict[str, Any]:
        """The JSON Schema of the arguments as the mind sees it, a copy.

        Args:
            known: names of variables that the call itself has a value for, so that the mind is not asked for them.
        """
        if self.parameters is None:
            schema = derive_parameters(self.config, known)
        else:
            schema = {**self.parameters, "properties": self.parameters.get("properties", {})}
        if self.static_arguments:
            schema["properties"] = {
                name: one for name, one in schema["properties"].items() if name not in self.static_arguments
            }
            if "required" in schema:
                schema["required"] = [name for name in schema["required"] if name not in self.static_arguments]
        return copy.deepcopy(schema)

    def spec(self, known: Collection[str] = ()) -> ToolSpec:
        """What the mind is told of the tool, under `exported_name`; ``known`` as for `llm_parameters`."""
        description = derive_description(self.description, self.config)
        return ToolSpec(self.exported_name, description, self.llm_parameters(known))

    @property
    def exported_name(self) -> str:
        """The name that a model knows: `name`, shortened if it has more than 64 characters."""
        return exporters.exported_name(self.name)

    @property
    def limit_ms(self) -> int | None:
        """How long the tool may take, milliseconds: `timeout_ms`, or else its type's; None: the agent's default."""
        if self.timeout_ms is not None:
            return self.timeout_ms
        config = self.config
        if isinstance(config, WebhookConfig):
            return _WEBHOOK_MS
        if isinstance(config, HttpRequestConfig):
            return round(config.timeout * 1000)
        if isinstance(config, CustomWebsocketConfig):
            return config.tool_call_output_timeout_ms
        if isinstance(config, PlayToneConfig):
            tones = 1 if config.dtmf_digit is not None else _MOST_TONES
            return tones * (max(config.duration, _LONGEST_PAUSE_MS) + config.gap_ms) + _TONES_GRACE_MS
        return None

    @property
    def timeout_s(self) -> float | None:
        """`timeout_ms` in seconds."""
        return None if self.timeout_ms is None else self.timeout_ms / 1000

    def to_openai(self, *, api: Literal["chat", "responses"] = "chat", strict: bool | None = None) -> dict[str, Any]:
        """OpenAI's function tool; ``strict`` is by default the tool's own. See `patter.tools.exporters.to_openai`."""
        return exporters.to_openai(self.spec(), api=api, strict=self.strict if strict is None else strict)

    def to_anthropic(self) -> dict[str, Any]:
        """Anthropic's tool."""
        return exporters.to_anthropic(self.spec())

    def to_hermes(self) -> dict[str, Any]:
        """Hermes's tool."""
        return exporters.to_hermes(self.spec())

    def to_wire(self, wire: Wire) -> dict[str, Any]:
        """The tool as JSON in the shape of another system, see `patter.tools.shapes.to_wire`."""
        return to_wire(self, wire)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("name", self.name), ("tool_type", self.tool_type)]

    @field_validator("parameters")
    @classmethod
    def _check_parameters(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        if schema is None:
            return None
        check_parameters(schema)
        return copy.deepcopy(schema)

    @field_validator("static_arguments")
    @classmethod
    def _copy_arguments(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        return copy.deepcopy(arguments)

    @field_validator("created_at", "updated_at")
    @classmethod
    def _to_utc(cls, time: datetime | None) -> datetime | None:
        return None if time is None else time.astimezone(UTC)

    @model_validator(mode="after")
    def _check(self) -> Tool:
        if (self.handler is not None) != (self.tool_type == "handler"):
            raise ValueError("handler: a tool of type handler has one, and no other has")
        if self.handler is not None:
            check_handler(self.handler)
        if self.parameters is not None and self.tool_type not in TAKES_PARAMETERS:
            raise ValueError(f"parameters: those of {self.tool_type} follow from its config. Leave them out")
        if self.wait_for_response and self.execution_mode != "async":
            raise ValueError("wait_for_response: it is for execution_mode async")
        if self.max_retries and self.tool_type not in IS_RETRIED:
            raise ValueError(f"max_retries: only {' and '.join(IS_RETRIED)} are retried")
        if "speech" not in self.model_fields_set:
            object.__setattr__(self, "speech", speech_of(self.config))
        return self


def _who(fields: Mapping[str, Any]) -> str:
    name = fields.get("name")
    return f"Tool {name:.100}" if isinstance(name, str) and name else "Tool"


def _problems(error: ValidationError) -> list[tuple[str, str]]:
    """Every field that is wrong, by its path, with what is wrong with it; no values."""
    found: dict[tuple[str, str], None] = {}
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        path = list(one["loc"])
        if path[:1] == ["config"]:
            del path[1:2]  # pydantic's name of the union's member
        problem = _PROBLEMS.get(one["type"]) or one["msg"].removeprefix("Value error, ").rstrip(".")
        where = ".".join(f"{part!s:.60}" for part in path)
        found[_problem(problem) if not where else (where, problem)] = None
    return list(found)


def _problem(text: str) -> tuple[str, str]:
    """The path before a colon, and the rest."""
    path, colon, problem = text.partition(": ")
    return (path, problem.rstrip(".")) if colon and _PATH.fullmatch(path) else ("", text.rstrip("."))


_PATH = re.compile(r"[a-z_][A-Za-z0-9_.]*(, [a-z_.]+)*")
_PROBLEMS = {"extra_forbidden": "there is no such field", "missing": "it is missing"}


@lru_cache(maxsize=1000)
def _warn_of_terse(name: str) -> None:
    _log.warning("Tool %s: its description is very short. Say what it does, when to use it and what it returns.", name)
