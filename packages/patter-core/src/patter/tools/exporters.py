"""A tool in the words of OpenAI, Anthropic and Hermes, and what a model answers in ours."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from patter.errors import ConfigError
from patter.voice.base import ToolSpec

__all__ = [
    "exported_name",
    "names_by_export",
    "strict_schema",
    "to_anthropic",
    "to_hermes",
    "to_openai",
    "without_nulls",
]

_LONGEST = 64
_KEPT = 55
_NOT_STRICT = ("patternProperties", "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas")


def exported_name(name: str) -> str:
    """The name under which a model knows the tool: at most 64 characters, as OpenAI and Anthropic demand."""
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_KEPT]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def names_by_export(names: Iterable[str]) -> dict[str, str]:
    """Our names by those that a model knows.

    Raises:
        ConfigError: two tools would have the same name.
    """
    known: dict[str, str] = {}
    for name in names:
        if known.setdefault(exported_name(name), name) != name:
            raise ConfigError(
                f"Tools {known[exported_name(name)]} and {name} have the same name for a model: rename one."
            )
    return known


def to_openai(spec: ToolSpec, *, api: Literal["chat", "responses"] = "chat", strict: bool = False) -> dict[str, Any]:
    """OpenAI's function tool: nested for chat completions, flat for responses.

    With ``strict`` the vendor enforces the schema; see `strict_schema`.

    Raises:
        ConfigError: no such api, or the schema cannot be strict.
    """
    if api not in ("chat", "responses"):
        raise ConfigError(f"api must be 'chat' or 'responses', and {api!r} is neither.")
    function: dict[str, Any] = {"name": exported_name(spec.name), "description": spec.description}
    if strict:
        try:
            function |= {"parameters": strict_schema(spec.parameters), "strict": True}
        except ConfigError as error:
            raise ConfigError(f"Tool {spec.name}: {error}") from None
    else:
        function["parameters"] = _copied(spec.parameters)
    if api == "responses":
        # Left out, this api takes strict for true.
        return {"type": "function", "strict": strict, **function}
    return {"type": "function", "function": function}


def to_anthropic(spec: ToolSpec) -> dict[str, Any]:
    """Anthropic's tool."""
    return _named(spec, "input_schema")


def to_hermes(spec: ToolSpec) -> dict[str, Any]:
    """Hermes's tool."""
    return _named(spec, "parameters")


def strict_schema(schema: Any, path: str = "parameters") -> dict[str, Any]:
    """The schema with every property required; those that may be left out take null, see `without_nulls`.

    Raises:
        ConfigError: it has something that strict schemas have not; the message names the place.
    """
    if not isinstance(schema, Mapping):
        raise ConfigError(f"{path}: a schema without a type cannot be strict. Give it one, or leave strict out.")
    if unfit := [key for key in _NOT_STRICT if key in schema]:
        raise ConfigError(f"{path}: {unfit[0]} cannot be strict. Describe it without, or leave strict out.")
    result = _copied(schema)
    result.pop("default", None)
    for key in ("$defs", "definitions"):
        if key in result:
            result[key] = {name: strict_schema(one, f"{path}.{key}.{name}") for name, one in result[key].items()}
    if isinstance(result.get("items"), dict):
        result["items"] = strict_schema(result["items"], f"{path}.items")
    for key in ("anyOf", "oneOf"):
        if key in result:
            branches = [strict_schema(one, f"{path}.{key}.{n}") for n, one in enumerate(result.pop(key))]
            result["anyOf"] = branches
    if "properties" in result or _is_object(result):
        if result.get("additionalProperties", False) not in (False, True):
            raise ConfigError(f"{path}: additionalProperties of a type cannot be strict. Name the properties.")
        needed = set(result.get("required", ()))
        result["properties"] = {
            name: strict_schema(one, f"{path}.{name}")
            if name in needed
            else _nullable(strict_schema(one, f"{path}.{name}"))
            for name, one in result.get("properties", {}).items()
        }
        result |= {"required": list(result["properties"]), "additionalProperties": False}
    return result


def without_nulls(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as `strict_schema` has them, with each null taken out that the schema itself does not accept."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    needed = schema.get("required", ())
    kept: dict[str, Any] = {}
    for name, value in arguments.items():
        one = properties.get(name, {})
        if value is None and name in properties and name not in needed and not _takes_null(one):
            continue
        kept[name] = _within(one, value)
    return kept


def _within(schema: Any, value: Any) -> Any:
    if isinstance(schema, Mapping) and isinstance(value, dict):
        return without_nulls(schema, value)
    if isinstance(schema, Mapping) and isinstance(value, list):
        return [_within(schema.get("items"), one) for one in value]
    return value


def _named(spec: ToolSpec, key: str) -> dict[str, Any]:
    return {"name": exported_name(spec.name), "description": spec.description, key: _copied(spec.parameters)}


def _copied(schema: Mapping[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(dict(schema))


def _is_object(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _takes_null(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return True
    kind = schema.get("type")
    if "enum" in schema:
        return None in schema["enum"]
    if kind is not None:
        return kind == "null" or (isinstance(kind, list) and "null" in kind)
    branches = schema.get("anyOf") or schema.get("oneOf")
    return any(map(_takes_null, branches)) if branches else not any(key in schema for key in ("$ref", "const"))


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if _takes_null(schema):
        return schema
    kind = schema.get("type")
    if kind is None or "const" in schema:
        if "anyOf" in schema:
            return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
        return {"anyOf": [schema, {"type": "null"}]}
    made = {**schema, "type": [*(kind if isinstance(kind, list) else [kind]), "null"]}
    if "enum" in schema:
        made["enum"] = [*schema["enum"], None]
    return made
