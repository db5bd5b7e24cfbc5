"""Windows, who is counted as one, and what the gate makes of both."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from patter.errors import ConfigError
from patter.server.rest.rate import GUESSES, RateLimit, network_of

pytestmark = pytest.mark.anyio


def test_there_is_room_until_there_is_none() -> None:
    limit = RateLimit("3/minute; 5/hour")
    standings = [limit.hit("a") for _ in range(4)]
    assert [(one.is_over, one.limit, one.remaining) for one in standings] == [
        (False, 3, 2),
        (False, 3, 1),
        (False, 3, 0),
        (True, 3, 0),
    ]
    assert 1 <= standings[-1].retry_after_s <= 60
    assert 0 < standings[-1].resets_at - time.time() <= 60
    assert not limit.hit("b").is_over


def test_the_narrowest_window_is_told() -> None:
    limit = RateLimit("10/minute; 3/hour")
    assert [limit.hit("a").limit for _ in range(4)] == [3, 3, 3, 3]
    assert limit.look("a").is_over and 60 < limit.look("a").retry_after_s <= 3600


def test_looking_does_not_count() -> None:
    limit = RateLimit("1/minute")
    assert [limit.look("a").is_over for _ in range(3)] == [False] * 3
    assert [limit.hit("a").is_over, limit.look("a").is_over] == [False, True]


@pytest.mark.parametrize("limit", ["", "often", "0", 60, "60/fortnight"])
def test_a_limit_that_is_none(limit: Any) -> None:
    with pytest.raises(ConfigError, match="60/minute; 1000/hour"):
        RateLimit(limit)


@pytest.mark.parametrize(
    ("host", "who"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("2a00:1450:4001:1::1", "2a00:1450:4001:1::/64"),
        ("2a00:1450:4001:1:ffff::2", "2a00:1450:4001:1::/64"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_who_is_counted_as_one(host: str, who: str) -> None:
    assert network_of(host) == who


# --- at the gate ---------------------------------------------------------------------------------


async def test_a_key_that_asks_too_often(make_api: Callable[..., Any]) -> None:
    api = make_api(rate_limit="2/minute", keys={"other": {"permissions": []}})
    answers = [await api.ask("GET", "/agents") for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert [one.headers["X-RateLimit-Remaining"] for one in answers] == ["1", "0", "0"]
    assert {one.headers["X-RateLimit-Limit"] for one in answers} == {"2"}
    assert all(0 < int(one.headers["X-RateLimit-Reset"]) - time.time() <= 61 for one in answers)
    error = answers[-1].json()["error"]
    assert (error["code"], 1 <= int(answers[-1].headers["Retry-After"]) <= 60) == ("RATE_LIMITED", True)
    # Another key has its own; what it may not do counts too, and tells where it stands.
    forbidden = await api.ask("GET", "/agents", key="other")
    assert (forbidden.status_code, forbidden.headers["X-RateLimit-Remaining"]) == (403, "1")
    assert (await api.ask("GET", "/health")).status_code == 200


async def test_sixty_a_minute_by_default(make_api: Callable[..., Any]) -> None:
    from patter.server.rest.rate import DEFAULT_LIMIT

    answer = await make_api(rate_limit=DEFAULT_LIMIT).ask("GET", "/agents")
    assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]) == ("60", "59")


async def test_no_limit_has_no_headers(api: Any) -> None:
    assert not [name for name in (await api.ask("GET", "/agents")).headers if "ratelimit" in name]


async def test_guessing_ends(api: Any) -> None:
    most = int(GUESSES.partition("/")[0])
    statuses = [(await api.ask("GET", "/agents", key=f"guess{n}", address="8.8.8.8")).status_code for n in range(most)]
    assert set(statuses) == {401}
    over = await api.ask("GET", "/agents", key="guess", address="8.8.8.8")
    assert (over.status_code, "Retry-After" in over.headers) == (429, True)
    # Who was over has to wait, also with a key that is known: else it would learn which one is.
    assert (await api.ask("GET", "/agents", address="8.8.8.8")).status_code == 429
    assert (await api.ask("GET", "/agents", address="8.8.4.4")).status_code == 200


async def test_behind_a_proxy_guesses_lock_nobody_out(api: Any) -> None:
    for _ in range(int(GUESSES.partition("/")[0])):
        await api.ask("GET", "/agents", key=None, address="127.0.0.1")
    assert (await api.ask("GET", "/agents", key="guess", address="127.0.0.1")).status_code == 429
    assert (await api.ask("GET", "/agents", address="127.0.0.1")).status_code == 200
