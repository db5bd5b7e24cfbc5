"""What is sent to the API and what it answers, but for the tools of agents (see `patter.server.rest.tool_bodies`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    model_validator,
)

from patter.agent import check_name
from patter.errors import ConfigError
from patter.server.rest.errors import ApiError
from patter.tools.configs import SEEN, Whole

__all__ = [
    "AgentAnswer",
    "AgentChange",
    "AgentCreate",
    "Body",
    "Created",
    "DocumentAnswer",
    "DocumentCreate",
    "Health",
    "TrialAnswer",
    "TrialContext",
    "TrialCreate",
    "WorkspaceToolAnswer",
    "WorkspaceToolChange",
    "WorkspaceToolCreate",
    "moment",
    "read",
    "wrong",
]

B = TypeVar("B", bound="Body")


def _no_id(name: str) -> str:
    try:
        check_name(name)
    except ConfigError:
        raise ValueError("it is a UUID, and could stand for another agent") from None
    return name


AgentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$"), AfterValidator(_no_id)]
ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
PlainName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,100}$")]
Prompt = Annotated[str, StringConstraints(max_length=50_000)]
Message = Annotated[str, StringConstraints(max_length=2_000)]
Description = Annotated[str, StringConstraints(max_length=2_000), Field(json_schema_extra={"pattern": SEEN})]
ToolNames = Annotated[tuple[ToolName, ...], Field(max_length=100)]
WaitMs = Annotated[Whole, Field(ge=1_000, le=180_000)]
Project = Annotated[str | None, Field(description="Accepted and not kept: a phone is one project.")]
Plain = Literal["string", "integer", "number", "boolean"]

_GIVEN = {"id", "agent_id", "created_at", "updated_at"}


class Body(BaseModel):
    """An object with these fields and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @property
    def changes(self) -> dict[str, Any]:
        """What was sent, by its fields' names."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def read(model: type[B], given: dict[str, Any]) -> B:
    """A body of this kind.

    Raises:
        ApiError: it is none; the details name every field that is wrong, and no value.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise wrong(_problem(one) for one in error.errors(include_url=False, include_input=False)) from None


def wrong(problems: Iterable[tuple[str, str]]) -> ApiError:
    """Several fields are wrong."""
    return ApiError("VALIDATION_ERROR", "The request is not valid, see details.", details=problems)


def moment(time: datetime) -> str:
    """A moment as it is told."""
    return time.isoformat().replace("+00:00", "Z")


def _seen(text: str) -> str:
    if not re.search(SEEN, text):
        raise ValueError("it is empty")
    return text


def _problem(error: Any) -> tuple[str, str]:
    path = ".".join(f"{part!s:.60}" for part in error["loc"])
    if error["type"] == "missing":
        return path, "it is missing"
    if error["type"] == "extra_forbidden":
        return path, "the server sets it" if path in _GIVEN else "there is no such field"
    return path, error["msg"].removeprefix("Value error, ").rstrip(".")


# --- agents --------------------------------------------------------------------------------------

_SAME = (("system_prompt", "prompt"), ("first_message", "greeting"))


class _Agent(Body):
    model_config = ConfigDict(
        json_schema_extra={"allOf": [{"not": {"required": [name, other]}} for name, other in _SAME]}
    )

    system_prompt: Prompt | None = None
    prompt: Prompt | None = Field(default=None, description="The same as system_prompt.")
    first_message: Message | None = None
    greeting: Message | None = Field(default=None, description="The same as first_message.")
    tools: ToolNames = Field(default=(), description="Names of tools of the workspace.")

    @model_validator(mode="after")
    def _check(self) -> _Agent:
        for name, other in _SAME:
            if {name, other} <= self.model_fields_set:
                raise ValueError(f"{name} and {other} are the same; pass one of them")
        return self

    @property
    def changes(self) -> dict[str, Any]:
        """What was sent, by the names of an `AgentRecord`."""
        names = {"prompt": "system_prompt", "greeting": "first_message"}
        return {names.get(name, name): value for name, value in super().changes.items()}


class AgentCreate(_Agent):
    """A new agent."""

    name: AgentName


class AgentChange(_Agent):
    """What to change of an agent; null takes a text away."""

    name: AgentName = ""


class AgentAnswer(Body):
    """An agent. One that the program defines is read-only, and has no times."""

    id: str
    name: str
    system_prompt: str | None
    first_message: str | None
    tools: tuple[str, ...]
    is_read_only: bool
    created_at: AwareDatetime | None
    updated_at: AwareDatetime | None


# --- tools of the workspace ----------------------------------------------------------------------


class Parameter(Body):
    """A parameter of a tool; an array has an ``item_type``."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"type": {"const": "array"}}},
            "then": {"required": ["item_type"], "properties": {"item_type": {"type": "string"}}},
            "else": {"properties": {"item_type": {"type": "null"}}},
        }
    )

    type: Literal["string", "integer", "number", "boolean", "array"]
    name: Annotated[str, StringConstraints(min_length=1)]
    description: str = ""
    is_required: StrictBool = False
    item_type: Plain | None = None


class _WorkspaceTool(Body):
    execution_mode: Literal["sync", "async"] = "sync"
    parameters: tuple[Parameter, ...] = ()
    tool_call_output_timeout_ms: WaitMs = 5_000
    wait_for_response: StrictBool = False
    require_speech_before_tool_call: StrictBool = False
    wait_for_speech_before_tool_call: StrictBool = False
    forbid_speech_after_tool_call: StrictBool = False

    @property
    def changes(self) -> dict[str, Any]:
        """What was sent, as `patter.Tool` takes it."""
        sent = self.model_dump(mode="json", exclude_unset=True, exclude={"project"})
        for one in sent.get("parameters", ()):
            if one.get("item_type") is None:
                one.pop("item_type", None)
        return sent


class WorkspaceToolCreate(_WorkspaceTool):
    """A new tool for clients on a websocket, by which any agent may name it."""

    name: PlainName
    description: Description
    type: Literal["custom_websocket"]
    project: Project = None


class WorkspaceToolChange(_WorkspaceTool):
    """What to change of a tool of the workspace."""

    name: PlainName = ""
    description: Description = ""
    type: Literal["custom_websocket"] = "custom_websocket"
    project: Project = None


class Created(Body):
    """What was created."""

    id: str
    name: str


class WorkspaceToolAnswer(_WorkspaceTool):
    """A tool of the workspace. Flags that are not set are left out."""

    id: str
    name: str
    description: str
    type: Literal["custom_websocket"]
    created_at: AwareDatetime
    updated_at: AwareDatetime


# --- the rest ------------------------------------------------------------------------------------


class Health(Body):
    """The server answers."""

    status: Literal["ok"]


class TrialContext(Body):
    """What the tool learns of the call that there is not."""

    call_id: Annotated[str, StringConstraints(max_length=200)] = "none"
    caller: Annotated[str, StringConstraints(max_length=100)] | None = None
    callee: Annotated[str, StringConstraints(max_length=100)] | None = None
    direction: Literal["inbound", "outbound"] = "outbound"
    variables: dict[str, Any] = {}


class TrialCreate(Body):
    """What the mind would pass, and what there is in place of a call."""

    arguments: dict[str, Any] = {}
    context: TrialContext = TrialContext()


class TrialAnswer(Body):
    """What the mind would be told."""

    output: str
    is_error: bool
    reason: Literal["unknown_tool", "invalid_arguments", "handler_error", "timeout", "shutdown"] | None
    duration_ms: float


class DocumentCreate(Body):
    """A text that the agent can look things up in, and where it is from."""

    text: Annotated[str, AfterValidator(_seen), Field(json_schema_extra={"pattern": SEEN})]
    source: Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class DocumentAnswer(Body):
    """A document, cut into so many passages."""

    id: str
    source: str
    passages: int
