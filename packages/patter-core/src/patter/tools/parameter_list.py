"""Parameters as a flat list of ``{type, name, description, is_required}``, and the JSON Schema that says the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from patter.errors import ConfigError

__all__ = ["schema_from_list", "schema_to_list"]

_FLAT = ("string", "integer", "number", "boolean")
_KEYS = {"type", "name", "description", "is_required", "item_type"}


def schema_from_list(parameters: Sequence[Any]) -> dict[str, Any]:
    """The JSON Schema of a list of parameters.

    Raises:
        ConfigError: an entry is malformed; the message names it by its place.
    """
    properties: dict[str, Any] = {}
    required: list[str] = []
    for place, entry in enumerate(parameters):
        path = f"parameters.{place}"
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{path}: it must be an object with type, name, description and is_required.")
        if unknown := sorted(set(entry) - _KEYS):
            raise ConfigError(f"{path}.{unknown[0]!s:.60}: a parameter has no such field.")
        name = entry.get("name")
        if not isinstance(name, str) or not name or name in properties:
            raise ConfigError(f"{path}.name: it must be a text that is not empty, and no other parameter's.")
        properties[name] = _property(entry, path)
        if not isinstance(is_required := entry.get("is_required", False), bool):
            raise ConfigError(f"{path}.is_required: it must be true or false.")
        if is_required:
            required.append(name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def schema_to_list(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The list of parameters that says the same as a JSON Schema.

    Raises:
        ConfigError: the schema says more than a flat list can; the message names the place.
    """
    if unknown := sorted(set(schema) - {"type", "properties", "required", "additionalProperties", "title"}):
        raise ConfigError(f"parameters.{unknown[0]}: a list of parameters cannot say this.")
    required = schema.get("required", ())
    properties = schema.get("properties", {})
    if undeclared := [name for name in required if name not in properties]:
        raise ConfigError(f"parameters.required: {undeclared[0]} is not among the properties.")
    return [_entry(name, one, name in required, f"parameters.properties.{name}") for name, one in properties.items()]


def _property(entry: Mapping[str, Any], path: str) -> dict[str, Any]:
    kind, item = entry.get("type"), entry.get("item_type")
    if kind not in (*_FLAT, "array"):
        raise ConfigError(f"{path}.type: it must be string, integer, number, boolean or array.")
    if (kind == "array") != (item is not None) or (item is not None and item not in _FLAT):
        raise ConfigError(f"{path}.item_type: an array has one of string, integer, number, boolean; others have none.")
    description = entry.get("description", "")
    if not isinstance(description, str):
        raise ConfigError(f"{path}.description: it must be a text.")
    found: dict[str, Any] = {"type": kind}
    if item is not None:
        found["items"] = {"type": item}
    return found | ({"description": description} if description else {})


def _entry(name: str, schema: Any, is_required: bool, path: str) -> dict[str, Any]:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    entry = {"type": kind, "name": name, "description": "", "is_required": is_required}
    allowed = {"type", "description", "title"}
    if kind == "array":
        allowed |= {"items"}
        items = schema.get("items")
        item = items.get("type") if isinstance(items, Mapping) and set(items) == {"type"} else None
        if item not in _FLAT:
            raise ConfigError(f"{path}.items: a list of parameters has arrays of plain values only.")
        entry["item_type"] = item
    elif kind not in _FLAT:
        raise ConfigError(f"{path}: a list of parameters has plain values and arrays of them only.")
    if unknown := sorted(set(schema) - allowed):
        raise ConfigError(f"{path}.{unknown[0]}: a list of parameters cannot say this.")
    entry["description"] = schema.get("description", "")
    return entry
