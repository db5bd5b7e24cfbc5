"""Which keys are accepted, and for what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from patter.errors import ConfigError
from patter.server.rest.keys import PERMISSIONS, KeyRefused, Keys, presented_key

READ = {"permissions": ["tools:read"]}
NOW = datetime.now(UTC)


def test_a_key_may_do_what_it_was_given() -> None:
    keys = Keys({"one": READ, "two": {"permissions": ("kb:write", "tools:serve"), "allowed_agent_ids": ["a", "desk"]}})
    one, two = keys.check("one"), keys.check("two")
    assert [one.may(permission) for permission in PERMISSIONS] == [p == "tools:read" for p in PERMISSIONS]
    assert (two.may("kb:write"), two.may("tools:serve"), two.may("kb:read")) == (True, True, False)
    assert (one.sees("anything"), two.sees("b", "desk"), two.sees("a", "x"), two.sees("b", "x")) == (
        True,
        True,
        True,
        False,
    )
    assert one.label != two.label


@pytest.mark.parametrize("presented", [None, "", "ONE", "on", "one ", "zwölf", "\udcff"])
def test_other_keys_are_refused(presented: str | None) -> None:
    with pytest.raises(KeyRefused) as caught:
        Keys({"one": READ}).check(presented)
    assert presented is None or len(presented) < 3 or presented not in str(caught.value)


@pytest.mark.parametrize(
    ("expires_at", "is_over"),
    [
        (NOW - timedelta(seconds=1), True),
        (NOW + timedelta(hours=1), False),
        pytest.param((NOW - timedelta(minutes=1)).astimezone().isoformat(), True, id="a minute ago"),
        ("2101-01-01T00:00:00Z", False),
        (None, False),
    ],
    ids=["over", "not over", "text over", "text not over", "never"],
)
def test_a_key_expires(expires_at: Any, is_over: bool) -> None:
    keys = Keys({"one": READ | {"expires_at": expires_at}})
    if is_over:
        with pytest.raises(KeyRefused, match="expired"):
            keys.check("one")
    else:
        assert keys.check("one").may("tools:read")


def test_the_key_of_the_environment_may_do_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyRefused, match="PATTER_API_KEY"):
        Keys().check("envkey")
    monkeypatch.setenv("PATTER_API_KEY", "envkey")
    keys = Keys({"one": READ})
    assert all(keys.check("envkey").may(permission) for permission in PERMISSIONS)
    assert not keys.check("one").may("tools:write")
    monkeypatch.setenv("PATTER_API_KEY", "two words")
    with pytest.raises(ConfigError, match="PATTER_API_KEY"):
        Keys()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["hush"], "must be a mapping"),
        ({"": READ}, "printable ASCII"),
        ({"hush hush": READ}, "printable ASCII"),
        ({"hüsh": READ}, "printable ASCII"),
        ({7: READ}, "printable ASCII"),
        ({"hush": None}, "it needs its permissions"),
        ({"hush": {}}, "it needs its permissions"),
        ({"hush": {"permissions": "tools:read"}}, "permissions: it must be a list"),
        ({"hush": {"permissions": [1]}}, "permissions: it must be a list"),
        ({"hush": {"permissions": ["tools:raed"]}}, "no permission tools:raed"),
        ({"hush": READ | {"expires": None}}, "there is no expires"),
        ({"hush": READ | {"allowed_agent_ids": "desk"}}, "allowed_agent_ids: it must be a list"),
        ({"hush": READ | {"expires_at": "tomorrow"}}, "time zone"),
        ({"hush": READ | {"expires_at": "2030-01-01"}}, "time zone"),
        ({"hush": READ | {"expires_at": datetime(2030, 1, 1)}}, "time zone"),
        ({"hush": READ | {"expires_at": 4102444800}}, "time zone"),
    ],
)
def test_malformed_keys_are_a_configuration_error(given: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        Keys(given)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"x-api-key": " one "}, "one"),
        ({"authorization": "Bearer one"}, "one"),
        ({"authorization": "bearer  one"}, "one"),
        ({"authorization": "Basic b25lOg=="}, None),
        ({"x-api-key": "one", "authorization": "Bearer two"}, "one"),
        ({"x-api-key": "", "authorization": "Bearer two"}, "two"),
    ],
)
def test_where_a_key_is_looked_for(headers: dict[str, str], key: str | None) -> None:
    assert presented_key(headers) == key


def test_keys_are_not_kept() -> None:
    keys = Keys({"hush": READ})
    assert "hush" not in repr([vars(keys), keys.check("hush")])
