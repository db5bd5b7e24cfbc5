"""What the templates of a call may name: the order of the scopes, what a prompt sees, and the secrets."""

from __future__ import annotations

import datetime
import logging
from typing import Any

import pytest

from patter.errors import ConfigError
from patter.tools import template
from patter.tools.template import UnknownName
from patter.tools.variables import SYSTEM_NAMES, RequestScope, Variables, collect_secrets


def scope(arguments: dict[str, Any], declared: str = "", **secrets: str) -> RequestScope:
    variables = Variables({"x": "given", "y": "given", "z": "given"}, {"z": "system", "call_id": "system"})
    variables.set("y", "found")
    return RequestScope(variables, arguments, declared=declared.split(), secrets=secrets)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", "argument"),
        ("args.x", "argument"),
        ("args.hidden", "argument"),
        ("y", "found"),
        ("z", "given"),
        ("call_id", "system"),
        ("KEY", "secret"),
        ("customer.orders.1.id", 7),
        ("args.customer.name", "Ann"),
    ],
)
def test_the_first_scope_that_has_a_name_gives_its_value(name: str, value: Any) -> None:
    customer = {"name": "Ann", "orders": [{}, {"id": 7}]}
    arguments = {"x": "argument", "hidden": "argument", "call_id": "argument", "KEY": "argument", "customer": customer}
    assert scope(arguments, "x customer", KEY="secret")(name) == value


@pytest.mark.parametrize("name", ["hidden", "args", "args.", "args.y", "customer.", "customer.0", "list.2", "list.-1"])
def test_names_without_a_value(name: str) -> None:
    with pytest.raises(UnknownName):
        scope({"x": 1, "hidden": 1, "customer": {}, "list": [1, 2]}, "x customer list")(name)


def test_a_prompt_sees_neither_arguments_nor_secrets_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    variables = Variables({"name": "Ann"}, {"date": datetime.date(2031, 4, 1)})
    written = "{{name}}, {{date}}, {{API_KEY}}, {{args.x}}, {{API_KEY}}"
    for _ in range(2):
        assert variables.prompt(written) == "Ann, 2031-04-01, {{API_KEY}}, {{args.x}}, {{API_KEY}}"
    assert [record.args for record in caplog.records] == [("API_KEY",), ("args.x",)]


def test_parts_of_a_result_become_variables() -> None:
    variables = Variables({"plan": "free"})
    result = {"customer": {"plan": "gold", "orders": [{"id": 7}]}, "none": None}
    paths = {"plan": "customer.plan", "order": "customer.orders.0.id", "none": "none", "gone": "customer.gone"}
    variables.assign(result, paths)
    variables.assign("text", {"other": "customer"})
    assert variables.found == {"plan": "gold", "order": 7, "none": None}
    assert variables.shared() == {"plan": "gold", "order": 7, "none": None}
    assert variables.lookup("plan") == "gold"
    assert variables.names() == SYSTEM_NAMES | {"plan", "order", "none"}


def test_what_was_sent_in_secret_is_taken_out_of_results() -> None:
    filled = scope({}, KEY="a b/c+d", PIN="12", OTHER="never-sent")
    template.text("{{KEY}}{{PIN}}", filled)
    result = {"a b/c+d": ["x a b/c+d y", "?q=a%20b%2Fc%2Bd&r=a+b%2Fc%2Bd", "12", "never-sent", 3, None]}
    assert filled.conceal(result) == {"***": ["x *** y", "?q=***&r=***", "12", "never-sent", 3, None]}


def test_secrets_come_from_the_mapping_and_from_named_variables_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "from-env")
    monkeypatch.setenv("OTHER_KEY", "never")
    monkeypatch.setenv("API_KEY", "never")
    assert collect_secrets({"API_KEY": "given"}, ["SHOP_KEY", "API_KEY"]) == {
        "API_KEY": "given",
        "SHOP_KEY": "from-env",
    }
    assert collect_secrets() == {}


@pytest.mark.parametrize(
    ("secrets", "env", "problem"),
    [
        ({"api_key": "hush"}, [], "capital letters"),
        ({"1A": "hush"}, [], "capital letters"),
        ({"_": "hush"}, [], "capital letters"),
        ({"API_KEY": ""}, [], "API_KEY must be a text"),
        ({"API_KEY": 5}, [], "API_KEY must be a text"),
        ({}, ["NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE, which is not set"),
    ],
)
def test_secrets_that_are_mistakes(secrets: Any, env: list[str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as refused:
        collect_secrets(secrets, env)
    assert "hush" not in str(refused.value)
