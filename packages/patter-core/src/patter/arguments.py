"""The tool's arguments as a pydantic model, for frameworks that take no JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from patter.errors import InvalidArguments
from patter.schema import PARAMETERS, check_arguments

__all__ = ["CallArgs", "explain"]

_OF: dict[str, dict[str, Any]] = PARAMETERS["properties"]


class CallArgs(BaseModel):
    """`patter.schema.PARAMETERS` as a model. Its errors are those of `check_arguments`."""

    model_config = ConfigDict(extra="forbid")

    to: str = Field(description=_OF["to"]["description"], pattern=_OF["to"]["pattern"])
    goal: Annotated[str, Field(max_length=_OF["goal"]["maxLength"])] | None = Field(
        None, description=_OF["goal"]["description"]
    )
    first_message: Annotated[str, Field(max_length=_OF["first_message"]["maxLength"])] | None = Field(
        None, description=_OF["first_message"]["description"]
    )
    max_duration_sec: (
        Annotated[int, Field(ge=_OF["max_duration_sec"]["minimum"], le=_OF["max_duration_sec"]["maximum"])] | None
    ) = Field(None, description=_OF["max_duration_sec"]["description"])

    @model_validator(mode="before")
    @classmethod
    def _check(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        checked = check_arguments(value)
        return {name: getattr(checked, name) for name in value}


def explain(error: ValidationError) -> str:
    """What a model reads of arguments that `CallArgs` refused: the field, what was wrong, what to do."""
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidArguments):
        return str(cause)
    field = ".".join(str(part) for part in first["loc"]) or "arguments"
    return f"{field}: {first['msg']}."
