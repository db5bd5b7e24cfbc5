"""Templates: what is a name, what a value becomes in each place, and what no value can do."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx2
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from patter.tools import template
from patter.tools.template import Lookup, TemplateError, UnknownName

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TEXT = st.text(st.characters(codec="utf-8"))


def values(**known: Any) -> Lookup:
    def lookup(name: str) -> Any:
        if name not in known:
            raise UnknownName(name)
        return known[name]

    return lookup


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("{{a}} and {{ b }} and {{a}}", ("a", "b")),
        ("{{args.x}} {{_1}} {{A.b.0}}", ("args.x", "_1", "A.b.0")),
        ("{a} {{1a}} {{a-b}} {{}} {{ }} {{a b}} { {a}} {{a} }", ()),
        ("{{{a}}}", ("a",)),
        ("{{\na}} {{ä}} {{a|upper}} {{a()}}", ()),
        ({"k{{no}}": ["{{a}}", 1, None, {"x": "{{b}}"}]}, ("a", "b")),
        (None, ()),
    ],
)
def test_what_is_a_name(written: Any, found: tuple[str, ...]) -> None:
    assert template.names(written) == found


@pytest.mark.parametrize(
    ("value", "written"),
    [("Ann", "Ann"), (3, "3"), (1.5, "1.5"), (True, "true"), (None, ""), (["a", 1], '["a", 1]'), ("", "")],
)
def test_values_as_text(value: Any, written: str) -> None:
    assert template.text("<{{x}}>", values(x=value)) == f"<{written}>"


@given(TEXT, TEXT)
def test_a_value_is_never_expanded_again(one: str, other: str) -> None:
    lookup = values(a="{{b}}" + one, b=other)
    assert template.text("{{a}}{{b}}", lookup) == "{{b}}" + one + other
    assert template.json_body({"x": "{{a}}", "y": "-{{a}}"}, lookup) == {"x": "{{b}}" + one, "y": "-{{b}}" + one}
    assert template.prompt("{{a}}", lookup, pytest.fail) == "{{b}}" + one


@given(TEXT)
def test_text_without_names_stays_as_it_is(written: str) -> None:
    assume(not template.names(written))
    assert template.text(written, values()) == written
    assert template.prompt(written, values(), pytest.fail) == written


@pytest.mark.parametrize(
    "fill",
    [
        template.text,
        template.header,
        template.json_body,
        template.form_body,
        template.xml_text,
        lambda written, lookup: template.json_text(f'["{written}"]', lookup),
        lambda written, lookup: template.url(f"https://a.example/{written}", lookup),
        lambda written, lookup: template.query([("k", written)], lookup),
    ],
)
def test_a_name_without_a_value_stops_a_request(fill: Any) -> None:
    with pytest.raises(UnknownName, match=r"\{\{order\}\} has no value") as refused:
        fill("{{order}}", values())
    assert refused.value.name == "order"


def test_a_name_without_a_value_stays_in_a_prompt() -> None:
    unknown: list[str] = []
    assert (
        template.prompt("Hi {{ who }}, {{you}} {x}", values(you="there"), unknown.append) == "Hi {{ who }}, there {x}"
    )
    assert unknown == ["who"]


@given(TEXT)
def test_a_value_in_a_path_is_one_part_of_it(value: str) -> None:
    assume(value not in ("", ".", ".."))
    filled = httpx2.URL(template.url("https://api.example.com/users/{{id}}/orders", values(id=value)))
    assert filled.host == "api.example.com"
    head, middle, tail = filled.raw_path.decode().removeprefix("/").split("/")
    assert (head, unquote(middle), tail) == ("users", value, "orders")


@given(TEXT, TEXT)
def test_a_value_in_a_query_is_one_value(one: str, other: str) -> None:
    assume(not template.names(one))
    filled = template.url("https://api.example.com/find?q={{q}}&n=1", values(q=one))
    assert parse_qsl(urlsplit(filled).query, keep_blank_values=True) == [("q", one), ("n", "1")]
    pairs = template.query([("k", "{{q}}"), ("k", other), ("a&b", "x {{q}}")], values(q=one))
    assert parse_qsl(pairs, keep_blank_values=True) == [("k", one), ("k", other), ("a&b", f"x {one}")]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("https://a.example/users/{{x}}/orders", ""),
        ("https://a.example/users/{{x}}", ".."),
        ("https://a.example/users/{{x}}", "."),
        ("https://a.example/users/.{{x}}", "."),
        ("https://a.example/users/%2e{{x}}", "."),
    ],
)
def test_a_value_takes_no_part_of_the_path_away(written: str, value: str) -> None:
    with pytest.raises(TemplateError, match="x is no part of a path"):
        template.url(written, values(x=value))


@pytest.mark.parametrize(
    "written",
    [
        "{{x}}://a.example/",
        "https://{{x}}/",
        "https://{{x}}.example.com/",
        "https://a.example{{x}}",
        "https://a.example:{{x}}/",
        "https://{{x}}@a.example/",
        "{{x}}",
        "//a.example/{{x}}",
        "https:/{{x}}",
    ],
)
def test_scheme_and_host_are_literal(written: str) -> None:
    with pytest.raises(TemplateError, match="scheme and host"):
        template.url(written, values(x="evil.example"))


@given(TEXT)
def test_a_header_is_one_line(value: str) -> None:
    try:
        filled = template.header("Bearer {{x}}", values(x=value))
    except TemplateError:
        assert any(ord(char) < 32 or ord(char) == 127 for char in value)
    else:
        assert filled == f"Bearer {value}".strip(" \t")
        assert not {"\r", "\n", "\0"} & set(filled)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "\0", "\x7f"])
def test_a_header_takes_no_line_breaks(value: str) -> None:
    with pytest.raises(TemplateError, match="line break"):
        template.header("{{x}}", values(x=value))


@given(JSON)
def test_a_string_that_is_one_name_becomes_the_value(value: Any) -> None:
    assert template.json_body({"a": ["{{x}}", 1, " {{x}} "]}, values(x=value)) == {"a": [value, 1, value]}


@given(JSON, TEXT)
def test_json_text_takes_values_and_parts_of_strings(value: Any, text: str) -> None:
    written = '{"a": {{x}}, "b": "{{t}}", "c": "say \\"{{t}}\\" {{t}}", "d": [{{x}}]}'
    filled = json.loads(template.json_text(written, values(x=value, t=text)))
    assert filled == {"a": value, "b": text, "c": f'say "{text}" {text}', "d": [value]}


@pytest.mark.parametrize(
    "written", ['{"a": {{x}}', '{"a" {{x}}}', '["\\{{x}}", "y"]', "[{{x}}{{x}}]", '["{{x}}\\"]', "\\{{x}}"]
)
def test_json_text_must_be_json(written: str) -> None:
    with pytest.raises(TemplateError, match="body"):
        template.json_text(written, values(x='",1,"'))


def test_a_backslash_before_a_name_would_change_its_value() -> None:
    with pytest.raises(TemplateError, match="backslash"):
        template.json_text('["\\{{x}}"]', values(x="n"))
    assert template.json_text('["\\\\{{x}}"]', values(x="n")) == '["\\\\n"]'


@given(TEXT)
def test_a_form_and_xml_keep_their_shape(value: str) -> None:
    fields = template.form_body("a={{x}}&b=1", values(x=value))
    assert parse_qsl(fields, keep_blank_values=True) == [("a", value), ("b", "1")]
    fields = template.form_body({"a": "{{x}}", "b": ["1", 2]}, values(x=value))
    assert parse_qsl(fields, keep_blank_values=True) == [("a", value), ("b", "1"), ("b", "2")]
    assert not set("<>\"'") & set(template.xml_text("{{x}}", values(x=value)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), "\ud800", {1: object()}])
def test_what_is_no_value(value: Any) -> None:
    with pytest.raises(TemplateError, match="x is no"):
        template.text("{{x}}", values(x=value))
