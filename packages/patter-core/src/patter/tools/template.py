"""Templates: ``{{name}}`` in texts, addresses, headers and bodies. A value that was put in is never expanded again.

Every function takes a `Lookup`, which gives a name's value or raises `TemplateError`. What is not exactly
``{{name}}``, single braces included, is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus, urlencode
from xml.sax.saxutils import escape

__all__ = [
    "Lookup",
    "TemplateError",
    "UnknownName",
    "form_body",
    "header",
    "json_body",
    "json_text",
    "names",
    "prompt",
    "query",
    "text",
    "url",
    "xml_text",
]

_PLACEHOLDER = re.compile(r"\{\{ *([A-Za-z_][A-Za-z0-9_.]*) *\}\}")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_NOT_IN_A_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Lookup = Callable[[str], Any]


class TemplateError(Exception):
    """A template cannot be filled in. The message names what is missing or does not fit, and holds no value."""


class UnknownName(TemplateError):
    """Nothing has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{{{{{name}}}}} has no value")
        self.name = name


def names(template: Any) -> tuple[str, ...]:
    """The names in a text, or in the strings of a JSON value, each once, in the order of their first place.

    The keys of objects are never templates.
    """
    return tuple(dict.fromkeys(_names(template)))


def text(template: str, lookup: Lookup) -> str:
    """The template with each value as text: strings as they are, null as nothing, others as JSON."""
    return _fill(template, lambda name: _as_text(name, lookup(name)))


def prompt(template: str, lookup: Lookup, on_unknown: Callable[[str], None]) -> str:
    """The same for what the mind or the callee is told: a name without a value stays as it stands, and is reported."""

    def value(match: re.Match[str]) -> str:
        try:
            return _as_text(match[1], lookup(match[1]))
        except TemplateError:
            on_unknown(match[1])
            return match[0]

    return _PLACEHOLDER.sub(value, template)


def url(template: str, lookup: Lookup) -> str:
    """An address, its values percent-encoded. They can change neither the host nor which path is meant.

    Raises:
        TemplateError: a name stands before the path, a value would take away a part of the path (it is empty, or
            ``..``), or a name has no value.
    """
    origin = _ORIGIN.match(template)
    if origin is None or _PLACEHOLDER.search(origin[0]):
        raise TemplateError("scheme and host of a url must be literal")
    rest = template[origin.end() :]
    length = re.search(r"[?#]|$", rest)
    path, tail = (rest, "") if length is None else (rest[: length.start()], rest[length.start() :])
    segments = [_segment(part, lookup) for part in path.split("/")]
    return origin[0] + "/".join(segments) + _fill(tail, lambda name: _encoded(name, lookup))


def query(pairs: list[tuple[str, str]], lookup: Lookup) -> str:
    """A query string of templates in the order given, duplicates kept."""
    return urlencode([(key, text(value, lookup)) for key, value in pairs], quote_via=quote, safe="")


def header(template: str, lookup: Lookup) -> str:
    """The value of a header, without spaces around it.

    Raises:
        TemplateError: a value holds a line break or another control character, or a name has no value.
    """
    value = text(template, lookup)
    if _NOT_IN_A_HEADER.search(value):
        raise TemplateError("a value of a header holds a line break or a control character")
    return value.strip(" \t")


def json_body(template: Any, lookup: Lookup) -> Any:
    """A JSON value with its strings filled in. A string that is one placeholder becomes the value itself."""
    if isinstance(template, dict):
        return {key: json_body(value, lookup) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [json_body(value, lookup) for value in template]
    if not isinstance(template, str):
        return template
    if (whole := _PLACEHOLDER.fullmatch(template.strip())) is not None:
        return lookup(whole[1])
    return text(template, lookup)


def json_text(template: str, lookup: Lookup) -> str:
    """A body that is written as JSON text: each value becomes a JSON value, or a part of the string that it stands in.

    Raises:
        TemplateError: the result is no JSON, or a name has no value.
    """
    parts: list[str] = []
    end, quoted = 0, False
    for match in _PLACEHOLDER.finditer(template):
        literal = template[end : match.start()]
        parts.append(literal)
        quoted = _is_quoted(literal, quoted)
        value = lookup(match[1])
        parts.append(_as_json(match[1], _as_text(match[1], value))[1:-1] if quoted else _as_json(match[1], value))
        end = match.end()
    filled = "".join([*parts, template[end:]])
    try:
        json.loads(filled)
    except (ValueError, RecursionError):
        raise TemplateError("the body is no JSON when its names are filled in") from None
    return filled


def form_body(template: str | dict[str, Any], lookup: Lookup) -> str:
    """A body of type ``application/x-www-form-urlencoded``, from its text or its fields; a list is a repeated field."""
    if isinstance(template, str):
        return _fill(template, lambda name: quote_plus(_as_text(name, lookup(name)), safe=""))
    fields = json_body(template, lookup)
    pairs = [(key, each) for key, value in fields.items() for each in (value if isinstance(value, list) else [value])]
    return urlencode([(key, _as_text(key, value)) for key, value in pairs])


def xml_text(template: str, lookup: Lookup) -> str:
    """A body of XML or HTML: a value is always text, and never a tag, an attribute or an entity."""
    return _fill(template, lambda name: escape(_as_text(name, lookup(name)), {'"': "&quot;", "'": "&apos;"}))


def _names(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield from _PLACEHOLDER.findall(template)
    elif isinstance(template, dict):
        for value in template.values():
            yield from _names(value)
    elif isinstance(template, list | tuple):
        for value in template:
            yield from _names(value)


def _fill(template: str, value: Callable[[str], str]) -> str:
    return _PLACEHOLDER.sub(lambda match: value(match[1]), template)


def _encoded(name: str, lookup: Lookup) -> str:
    return quote(_as_text(name, lookup(name)), safe="")


def _segment(template: str, lookup: Lookup) -> str:
    if not _PLACEHOLDER.search(template):
        return template
    segment = _fill(template, lambda name: _encoded(name, lookup))
    # HTTP clients and servers drop a part of the path for each of these.
    if segment.lower().replace("%2e", ".") in ("", ".", ".."):
        raise TemplateError(f"the value of {' '.join(names(template))} is no part of a path")
    return segment


def _is_quoted(literal: str, quoted: bool) -> bool:
    """Whether a string of JSON is open after a literal, if one was or was not before it."""
    for mark in re.findall(r'\\.?|"', literal, re.DOTALL):
        if mark == "\\":
            raise TemplateError("a backslash stands before a name in the body")
        if mark == '"':
            quoted = not quoted
    return quoted


def _as_text(name: str, value: Any) -> str:
    if value is None:
        return ""
    written = value if isinstance(value, str) else _as_json(name, value)
    try:
        written.encode()
    except UnicodeEncodeError:
        raise TemplateError(f"the value of {name} is no valid text") from None
    return written


def _as_json(name: str, value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise TemplateError(f"the value of {name} is no JSON value") from None
