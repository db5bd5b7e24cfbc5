"""Name, description, schema and handler of a tool from a function's type hints and docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from patter.errors import ConfigError
from patter.tools.context import Handler, ToolContext
from patter.tools.define import DECORATED
from patter.tools.refusals import ToolRefusal

__all__ = ["check_handler", "describe"]

_ARGS = frozenset({"args", "arguments", "parameters", "params"})
_SECTION = re.compile(
    r"(args|arguments|parameters|params|returns?|raises|yields?|examples?|notes?|attributes|warns|see also):"
)
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_CLASSIC = frozenset({"arguments", "args"})


def describe(function: Callable[..., Any]) -> dict[str, Any]:
    """The fields of a tool that a function is, decorated or not.

    A decorator's options replace what is read. With ``parameters`` among them the function is a handler of
    ``(arguments, context)``.

    Raises:
        ConfigError: something cannot be read; the message says what to add.
    """
    options: Mapping[str, Any] = getattr(function, DECORATED, {})
    name = options.get("name", getattr(function, "__name__", None))
    if not isinstance(name, str):
        raise ConfigError(f"a {type(function).__name__} has no name for a tool. Pass it as handler=, with a name.")
    summary, documented = _read_docstring(inspect.getdoc(function) or "")
    fields = {"name": name, "description": summary, **options}
    if not fields["description"]:
        raise ConfigError(f"Tool {name}: it has no description. Write a docstring: the mind decides by it.")
    if "parameters" in options:
        return fields | {"handler": function}
    taken = _Taken.of(function, name, documented)
    return fields | {"parameters": taken.schema(), "handler": taken.handler(function)}


def check_handler(handler: Callable[..., Any]) -> None:
    """Refuse a function that cannot be called with two values.

    Raises:
        ValueError: says what is expected.
    """
    try:
        inspect.signature(handler).bind({}, {})
    except TypeError:
        raise ValueError(
            "handler: it must take (arguments, context). "
            "A function whose parameters are the arguments is decorated with @Patter.tool"
        ) from None
    except ValueError:  # some functions written in C tell nothing
        return


@dataclass(frozen=True)
class _Taken:
    """What a function takes: the model of its arguments, whose fields are numbered, and where the context goes."""

    name: str
    model: type[BaseModel]
    names: tuple[str, ...]
    context: str | None

    @classmethod
    def of(cls, function: Callable[..., Any], name: str, documented: Mapping[str, str]) -> _Taken:
        hints = _hints(function, name)
        fields: dict[str, Any] = {}
        names: list[str] = []
        context: str | None = None
        for parameter in inspect.signature(function).parameters.values():
            hint = hints.get(parameter.name, parameter.annotation)
            if _is_context(parameter, hint):
                context = parameter.name
                continue
            _check_parameter(parameter, hint, name)
            # Numbered, so that no name of a parameter meets a name of pydantic's.
            fields[f"p{len(names)}"] = (hint, _field(parameter, hint, documented.get(parameter.name)))
            names.append(parameter.name)
        try:
            model: type[BaseModel] = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
            model.model_json_schema()
        except PydanticUserError:
            raise ConfigError(f"Tool {name}: a type hint has no JSON Schema. Use types that JSON has.") from None
        return cls(name, model, tuple(names), context)

    def schema(self) -> dict[str, Any]:
        schema = self.model.model_json_schema(schema_generator=_Untitled)
        for one in (schema, *schema.get("$defs", {}).values()):
            one.pop("title", None)
        return {"type": "object", "properties": {}} | schema

    def handler(self, function: Callable[..., Any]) -> Handler:
        """Of the same kind as the function: plain, coroutine function or async generator function."""
        if inspect.isasyncgenfunction(function):

            async def steps(arguments: dict[str, Any], context: ToolContext) -> AsyncIterator[Any]:
                async for step in function(**self.keywords(arguments, context)):
                    yield step

            return steps
        if inspect.iscoroutinefunction(function):

            async def run(arguments: dict[str, Any], context: ToolContext) -> Any:
                return await function(**self.keywords(arguments, context))

            return run

        def call(arguments: dict[str, Any], context: ToolContext) -> Any:
            return function(**self.keywords(arguments, context))

        return call

    def keywords(self, arguments: dict[str, Any], context: ToolContext) -> dict[str, Any]:
        """Raises `ToolRefusal` with the paths of arguments that the hints do not accept."""
        try:
            read = self.model.model_validate(arguments)
        except ValidationError as error:
            paths = {"/".join(map(str, one["loc"])) for one in error.errors(include_input=False)}
            details = [f"invalid: {path}" for path in sorted(paths)]
            raise ToolRefusal("invalid_arguments", details=details) from None
        values = {name: getattr(read, f"p{place}") for place, name in enumerate(self.names)}
        return values if self.context is None else values | {self.context: context}


class _Untitled(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigError(
            f"Tool {name}: the type hint {error.name} is not found where the function is defined."
        ) from None
    except TypeError:
        raise ConfigError(f"Tool {name}: its type hints cannot be read. Pass it as handler=, with a schema.") from None


def _is_context(parameter: inspect.Parameter, hint: Any) -> bool:
    if hint is inspect.Parameter.empty:
        return parameter.name == "context"
    return hint is ToolContext or ToolContext in get_args(hint)


def _check_parameter(parameter: inspect.Parameter, hint: Any, name: str) -> None:
    if parameter.kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
        raise ConfigError(f"Tool {name}: {parameter.name} cannot be passed by name. Give each argument its parameter.")
    if parameter.name in _CLASSIC and (hint is inspect.Parameter.empty or dict in (hint, get_origin(hint))):
        raise ConfigError(
            f"Tool {name}: a function of (arguments, context) says nothing of its arguments. "
            "Use Patter.tool(name=..., description=..., parameters=..., handler=...)."
        )
    if hint is inspect.Parameter.empty:
        raise ConfigError(f"Tool {name}: the parameter {parameter.name} has no type hint. The schema is made of hints.")


def _field(parameter: inspect.Parameter, hint: Any, documented: str | None) -> FieldInfo:
    metadata = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    described = any(isinstance(one, FieldInfo) and one.description for one in metadata)
    text = next((one for one in metadata if isinstance(one, str)), documented)
    options: dict[str, Any] = {"alias": parameter.name}
    if text and not described:
        options["description"] = text
    if parameter.default is not inspect.Parameter.empty:
        options["default"] = parameter.default
    found: FieldInfo = Field(**options)
    return found


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """What stands before the first section, as paragraphs, and the entries of a Google-style ``Args:``."""
    said: list[str] = []
    entries: dict[str, list[str]] = {}
    section: str | None = None
    depth: int | None = None
    current: list[str] = []
    for line in text.splitlines():
        if heading := _SECTION.fullmatch(line.strip().lower()) if not line[:1].isspace() else None:
            section, depth = heading[1], None
        elif section is None:
            said.append(line)
        elif section in _ARGS and line.strip():
            indent = len(line) - len(line.lstrip())
            depth = indent if depth is None else depth
            if indent <= depth and (entry := _ENTRY.match(line.strip())):
                current = entries.setdefault(entry[1], [])
                current.append(entry[2])
            else:
                current.append(line.strip())
    paragraphs = "\n".join(said).strip().split("\n\n")
    summary = "\n\n".join(" ".join(one.split()) for one in paragraphs if one.strip())
    return summary, {name: " ".join(lines).strip() for name, lines in entries.items()}
