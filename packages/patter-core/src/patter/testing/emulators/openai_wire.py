"""What OpenAI's two chat interfaces have in common: refusals, and the reading of messages and tools."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from patter.testing.emulators.chat import Refused
from patter.voice.base import ToolSpec

__all__ = ["error", "items_of", "number_of", "refuse", "text_of", "tool_of"]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def error(
    message: str, *, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> Any:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refuse(message: str, param: str | None = None, code: str | None = None, *, status: int = 400) -> NoReturn:
    """Answer with an HTTP error."""
    raise Refused(status, error(message, param=param, code=code))


def items_of(value: Any, param: str) -> list[Any]:
    """A list with something in it."""
    if not isinstance(value, list):
        refuse(f"Invalid type for '{param}': expected an array.", param, "invalid_type")
    if not value:
        message = f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array."
        refuse(message, param, "empty_array")
    return value


def number_of(body: Mapping[str, Any], name: str, least: int) -> int | None:
    """An optional whole number."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        refuse(f"Invalid type for '{name}': expected an integer.", name, "invalid_type")
    if value < least:
        message = (
            f"Invalid '{name}': integer below minimum value. Expected a value >= {least}, but got {value} instead."
        )
        refuse(message, name, "integer_below_min_value")
    return value


def text_of(content: Any, param: str, kinds: tuple[str, ...]) -> str:
    """The text of a message's content: a string, or parts of these kinds. Images and sounds have none."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        refuse(f"Invalid type for '{param}': expected one of a string or array of objects.", param, "invalid_type")
    texts = []
    for at, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in kinds:
            message = f"Invalid value: {kind!r}. Supported values are: {', '.join(map(repr, kinds))}."
            refuse(message, f"{param}[{at}]", "invalid_value")
        texts.append(str(part.get("text", part.get("refusal", ""))))
    return "".join(texts)


def tool_of(function: Any, param: str) -> ToolSpec:
    """The tool that a function object describes."""
    name = function.get("name") if isinstance(function, dict) else None
    if name is None:
        refuse(f"Missing required parameter: '{param}.name'.", f"{param}.name", "missing_required_parameter")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        message = (
            f"Invalid '{param}.name': string does not match pattern. Expected a string that matches '{_NAME.pattern}'."
        )
        refuse(message, f"{param}.name", "invalid_value")
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(parameters, dict) or parameters.get("type") != "object":
        message = f"Invalid schema for function {name!r}: schema must be a JSON Schema of 'type: \"object\"'."
        refuse(message, f"{param}.parameters", "invalid_function_parameters")
    return ToolSpec(name, str(function.get("description") or ""), json.loads(json.dumps(parameters)))
