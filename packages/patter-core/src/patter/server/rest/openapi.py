"""The description of the API, OpenAPI 3.1, made from the endpoints and from what checks their bodies."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any, get_args

from pydantic import BaseModel, create_model

from patter.server.rest import bodies
from patter.server.rest.endpoint import Endpoint
from patter.server.rest.errors import CODES
from patter.server.rest.tool_bodies import NAMED, REQUIRED, SETTINGS, SHOWN, TOOL_TYPES
from patter.tools import configs
from patter.tools.model import IS_RETRIED, TAKES_PARAMETERS, Tool

__all__ = ["describe"]

_MODELS: Mapping[str, type[BaseModel]] = {
    "Agent": bodies.AgentAnswer,
    "AgentChange": bodies.AgentChange,
    "AgentCreate": bodies.AgentCreate,
    "Created": bodies.Created,
    "Document": bodies.DocumentAnswer,
    "DocumentCreate": bodies.DocumentCreate,
    "Health": bodies.Health,
    "Trial": bodies.TrialAnswer,
    "TrialCreate": bodies.TrialCreate,
    "WebsocketTool": bodies.WorkspaceToolAnswer,
    "WorkspaceToolChange": bodies.WorkspaceToolChange,
    "WorkspaceToolCreate": bodies.WorkspaceToolCreate,
}
_REF = "#/components/schemas/"
_OWN = {
    "id": {"type": "string", "format": "uuid"},
    "agent_id": {"type": ["string", "null"]},
    "created_at": {"type": "string", "format": "date-time"},
    "updated_at": {"type": "string", "format": "date-time"},
}

Schema = dict[str, Any]


def describe(endpoints: Sequence[Endpoint], root: str) -> Schema:
    """The description of these endpoints, which are mounted there."""
    paths: Schema = {}
    for endpoint in endpoints:
        operation = _operation(endpoint)
        if endpoint.method == "POST" and (links := _links(endpoint, endpoints)):
            operation["responses"][str(endpoint.status)]["links"] = links
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Patter", "version": version("patter-core"), "description": _ABOUT},
        "servers": [{"url": root or "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "Bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


_ABOUT = "The agents of a phone, their tools, and the documents that they look things up in."


def _operation(endpoint: Endpoint) -> Schema:
    success: Schema = {"description": "Done"}
    if endpoint.gives is not None:
        success["content"] = _json(endpoint.gives)
    operation: Schema = {
        "operationId": endpoint.act.__name__,
        "summary": endpoint.summary,
        "responses": {str(endpoint.status): success} | _refusals(endpoint),
        "security": [],
    }
    if endpoint.permission is not None:
        operation["description"] = f"Needs the permission {endpoint.permission}."
        operation["security"] = [{"ApiKey": []}, {"Bearer": []}]
    if names := _names(endpoint):
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "description": _PARAMETERS[name], "schema": _NAME}
            for name in names
        ]
    if endpoint.takes is not None:
        operation["requestBody"] = {"required": True, "content": _json(endpoint.takes)}
    return operation


def _links(endpoint: Endpoint, endpoints: Iterable[Endpoint]) -> Schema:
    """What can be asked for of that which was created."""
    links: Schema = {}
    for one in endpoints:
        if found := re.fullmatch(re.escape(endpoint.path) + r"/{(\w+)}(/\w+)?", one.path):
            parameters = {name: f"$request.path.{name}" for name in _names(endpoint)}
            parameters[found[1]] = "$response.body#/id"
            links[one.act.__name__] = {"operationId": one.act.__name__, "parameters": parameters}
    return links


def _names(endpoint: Endpoint) -> list[str]:
    return re.findall(r"{(\w+)}", endpoint.path)


_NAME: Schema = {"type": "string", "minLength": 1}
_PARAMETERS = {
    "agent": "The agent's id or name.",
    "tool": "The tool's id or name.",
    "document": "The document's id.",
}


def _refusals(endpoint: Endpoint) -> Schema:
    codes = ["INTERNAL", *endpoint.refusals]
    if endpoint.permission is not None:
        codes += ["UNAUTHORIZED", "FORBIDDEN", "RATE_LIMITED", "UNAVAILABLE"]
    if "{" in endpoint.path:
        codes.append("NOT_FOUND")
    if endpoint.takes is not None:
        codes += ["BAD_REQUEST", "VALIDATION_ERROR", "REQUEST_TIMEOUT", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"]
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code], []).append(code)
    return {
        str(status): {"description": " or ".join(found), "content": _json("Error")}
        for status, found in sorted(by_status.items())
    }


def _json(name: str) -> Schema:
    schema: Schema = {"$ref": _REF + name.strip("[]")}
    if name.startswith("["):
        schema = {"type": "array", "items": schema}
    return {"application/json": {"schema": schema}}


@cache
def _schemas() -> Schema:
    found: Schema = {}
    for name, model in _MODELS.items():
        found |= _of_model(name, model)
    for kind, model in _configs().items():
        found |= _of_model(_config_name(kind), model)
        del found[_config_name(kind)]["properties"]["tool_type"]  # it stands beside the config
        found[_config_name(kind)] |= _TOGETHER.get(kind, {})
    fields: dict[str, Any] = {
        name: (Tool.model_fields[name].annotation, Tool.model_fields[name]) for name in (*NAMED, *SETTINGS)
    }
    common = _of_model("ToolFields", create_model("ToolFields", __base__=bodies.Body, **fields))
    given: Schema = common.pop("ToolFields")["properties"]
    found |= common
    for name in ("AgentChange", "WorkspaceToolChange"):
        for one in found[name]["properties"].values():
            one.pop("default", None)
    found["WorkspaceToolCreate"] |= _REPORTING
    found["Error"] = _ERROR
    found["Description"] = {"type": "object", "description": "This description."}
    given["parameters"] |= {"anyOf": [_JSON_SCHEMA, {"type": "null"}]}
    found["ToolChange"] = _change(
        given, {name for kind in TOOL_TYPES for name in found[_config_name(kind)]["properties"]}
    )
    found["ToolCreate"] = _by_type(given, REQUIRED, _CREATED)
    found["Tool"] = _by_type(_OWN | given, SHOWN, {})
    found["WorkspaceTool"] = {"anyOf": [{"$ref": f"{_REF}WebsocketTool"}, {"$ref": f"{_REF}Tool"}]}
    return found


_JSON_SCHEMA: Schema = {
    "type": "object",
    "description": "JSON Schema of the arguments.",
    "properties": {"type": {"const": "object"}, "properties": {"type": "object"}},
    "required": ["type"],
}
_REPORTING: Schema = {
    "if": {"properties": {"wait_for_response": {"const": True}}, "required": ["wait_for_response"]},
    "then": {"properties": {"execution_mode": {"const": "async"}}, "required": ["execution_mode"]},
}
_TOGETHER: Mapping[str, Schema] = {
    "transfer_call": {
        "anyOf": [
            {"required": ["phone_number"], "properties": {"phone_number": {"type": "string"}}},
            {"required": ["allowed_numbers"], "properties": {"allowed_numbers": {"minItems": 1}}},
        ]
    },
    "mcp": {
        "oneOf": [
            {"required": ["url"], "properties": {"url": {"type": "string"}}},
            {"required": ["command"], "properties": {"command": {"type": "array"}}},
        ]
    },
}
"""What the fields of a config must be together, which their types do not say."""

_CREATED: Mapping[str, Schema] = {"mcp": {"required": ["url"], "properties": {"command": {"type": "null"}}}}
"""What is not accepted from outside though a tool may have it: a program that is started here."""


def _of_model(name: str, model: type[BaseModel]) -> Schema:
    schema: Schema = _plain(model.model_json_schema(ref_template=_REF + "{model}"))
    inner: Schema = schema.pop("$defs", {})
    return inner | {name: schema}


_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum"}


def _plain(schema: Any) -> Any:
    """Without titles, which repeat names, and with bounds that pydantic has left under its own names."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        _BOUNDS.get(name, name) if isinstance(one, int | float) else name: _plain(one)
        for name, one in schema.items()
        if name != "title" or not isinstance(one, str)
    }


def _configs() -> dict[str, type[BaseModel]]:
    models = get_args(get_args(configs.ToolConfig)[0])
    by_type = {model.model_fields["tool_type"].default: model for model in models}
    return {kind: by_type[kind] for kind in TOOL_TYPES}


def _config_name(kind: str) -> str:
    return f"Config_{kind}"


def _by_type(properties: Schema, required: Iterable[str], rules: Mapping[str, Schema]) -> Schema:
    """One variant for each type of tool; ``rules`` are of their configs, beside what each config says itself."""
    variants = []
    for kind in TOOL_TYPES:
        config: Schema = {"$ref": _REF + _config_name(kind)}
        own: Schema = {"tool_type": {"const": kind}, "config": config | rules.get(kind, {})}
        if kind not in TAKES_PARAMETERS:
            own["parameters"] = {"type": "null"}
        if kind not in IS_RETRIED:
            own["max_retries"] = {"const": 0}
        variants.append(
            {
                "type": "object",
                "title": kind,
                "properties": properties | own,
                "required": list(required),
                "additionalProperties": False,
                **_REPORTING,
            }
        )
    return {"oneOf": variants}


def _change(given: Schema, settable: Iterable[str]) -> Schema:
    properties = copy.deepcopy(given)
    for one in properties.values():
        one.pop("default", None)
    config = {
        "type": "object",
        "description": "Merged key by key; null resets a key.",
        "propertyNames": {"enum": sorted(settable)},
    }
    properties |= {"tool_type": {"enum": list(TOOL_TYPES)}, "config": config}
    return {"type": "object", "properties": properties, "additionalProperties": False}


_ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"enum": list(CODES)},
                "message": {"type": "string"},
                "details": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                        "required": ["field", "message"],
                        "additionalProperties": False,
                    },
                },
                "request_id": {"type": "string"},
            },
            "required": ["code", "message", "details", "request_id"],
            "additionalProperties": False,
        }
    },
    "required": ["error"],
    "additionalProperties": False,
}
