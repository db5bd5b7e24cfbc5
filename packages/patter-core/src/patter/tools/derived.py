"""What the mind is told of a tool's arguments and use if its type decides it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel

from patter.tools import template
from patter.tools.configs import (
    EndCallConfig,
    ExtractVariableConfig,
    HttpRequestConfig,
    KnowledgeBaseConfig,
    MonitoredTransferConfig,
    PlayToneConfig,
    TransferCallConfig,
)
from patter.tools.variables import SYSTEM_NAMES

__all__ = ["derive_description", "derive_parameters"]

_SUMMARY = {"type": "string", "description": "What the person who takes over must know, in one or two sentences."}
_REASON = {"type": "string", "description": "Why the call ends."}
_QUERY = {"type": "string", "minLength": 1, "description": "What to search for, in a few words or as a question."}
_CONFIRMED = {"type": "boolean", "description": "True once the caller has confirmed this value when asked."}
_DIGITS = {
    "type": "string",
    "pattern": "^[0-9*#A-Dw]{1,32}$",
    "description": "The keys to press, in order: 0-9, *, #, A-D; w waits half a second.",
}


def derive_parameters(config: BaseModel, known: Collection[str] = ()) -> dict[str, Any]:
    """The JSON Schema of a type's arguments.

    Args:
        config: the tool's config.
        known: names that the call itself has a value for; the templates of an http_request may name these too.
    """
    if isinstance(config, HttpRequestConfig):
        asked = _argument_names(config, known)
        return _object({name: {"type": "string"} for name in asked}, asked)
    if isinstance(config, TransferCallConfig):
        return _transfer(config)
    if isinstance(config, MonitoredTransferConfig):
        return _object({"summary": _SUMMARY})
    if isinstance(config, EndCallConfig):
        return _object({"reason": _REASON})
    if isinstance(config, ExtractVariableConfig):
        value = {"type": "string", "description": f"The {config.variable_name} that the caller has said."}
        confirmed = {"confirmed": _CONFIRMED} if config.confirmation_enabled else {}
        return _object({"value": value, **confirmed}, ["value"])
    if isinstance(config, PlayToneConfig) and config.dtmf_digit is None:
        return _object({"digits": _DIGITS}, ["digits"])
    if isinstance(config, KnowledgeBaseConfig):
        return _object({"query": _QUERY}, ["query"])
    return _object({})


def derive_description(description: str, config: BaseModel) -> str:
    """The description that the mind reads: as it was written, with what the config of an extract_variable adds."""
    if not isinstance(config, ExtractVariableConfig):
        return description
    parts = [description]
    if config.prompt_text is not None:
        parts.append(f"Ask for it like this: {config.prompt_text}")
    if config.example_format is not None:
        parts.append(f"Example of a value: {config.example_format}")
    return "\n".join(parts)


def _transfer(config: TransferCallConfig) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    if config.phone_number is None:
        properties["phone_number"] = {
            "type": "string",
            "enum": list(dict.fromkeys(config.allowed_numbers)),
            "description": "Whom to transfer the call to.",
        }
    required = list(properties)
    if config.transfer_mode == "warm":
        properties["summary"] = _SUMMARY
    return _object(properties, required)


def _argument_names(config: HttpRequestConfig, known: Collection[str]) -> list[str]:
    pairs = [pair.value for pair in (*config.headers, *config.query_params)]
    asked: dict[str, None] = {}
    for name in template.names([config.url, pairs, config.body]):
        first, _, rest = name.partition(".")
        if first == "args" and rest:
            asked[rest.partition(".")[0]] = None
        elif first not in known and first not in SYSTEM_NAMES and first != first.upper():
            # Names in capital letters are secrets, which no mind may choose.
            asked[first] = None
    return list(asked)


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return schema | {"required": required} if required else schema
