"""C-22 to C-26: values are checked before they are stored, and it is the caller who confirms them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.tools.executors.extract_variable import bind
from patter.tools.model import Tool, ToolContext
from patter.tools.variables import Variables

pytestmark = pytest.mark.anyio


@dataclass
class Call:
    variables: Variables = field(default_factory=Variables)
    caller_turns: int = 1

    def extracts(self, kind: str = "email", *, confirmed: bool = False, **context: Any) -> Any:
        config = {"variable_name": "contact", "variable_type": kind, "confirmation_enabled": confirmed}
        tool = Tool(name="keep", description="Keep what it is.", tool_type="extract_variable", config=config)
        handler = bind(tool, self)

        async def use(value: Any, **arguments: Any) -> dict[str, Any]:
            return await handler({"value": value, **arguments}, ToolContext(context))

        return use


STORED = {"status": "stored", "variable": "contact", "value": "anna@example.com"}
ASKED = STORED | {"status": "needs_confirmation"}


async def test_a_value_is_stored_in_its_normal_form_and_can_be_named() -> None:
    call = Call()
    assert await call.extracts()("anna@Example.com") == STORED
    assert call.variables.lookup("contact") == "anna@example.com"


@pytest.mark.parametrize("value", ["anna", "", 7, None, True, ["anna@example.com"]])
async def test_what_is_no_such_value_is_not_stored(value: Any) -> None:
    call = Call()
    told = await call.extracts()(value)
    assert told == {"status": "invalid", "variable": "contact", "expected": "email"}
    assert not call.variables.found


async def test_a_number_stays_a_number() -> None:
    call = Call()
    assert (await call.extracts("number")("3,5"))["value"] == 3.5
    assert (await call.extracts("number")(12))["value"] == 12
    assert call.variables.found == {"contact": 12}


@pytest.mark.parametrize(
    ("context", "kept"),
    [
        ({"direction": "outbound", "caller": "+15550001234", "callee": "+4930999888"}, "+491512345678"),
        ({"direction": "inbound", "caller": "+4930999888", "callee": "+15550001234"}, "+491512345678"),
        ({"caller": "+15550001234", "callee": "+4930999888"}, "+491512345678"),
        ({}, None),
    ],
)
async def test_a_number_without_country_is_one_of_the_other_sides(context: dict[str, str], kept: str | None) -> None:
    assert (await Call().extracts("phone", **context)("0151 2345678")).get("value") == kept


async def test_the_caller_confirms_in_a_later_turn() -> None:
    call = Call()
    use = call.extracts(confirmed=True)
    assert await use("anna@EXAMPLE.com") == ASKED
    assert not call.variables.found
    call.caller_turns += 1
    assert await use("anna@example.com", confirmed=True) == STORED
    assert call.variables.found == {"contact": "anna@example.com"}


async def test_the_mind_cannot_confirm_for_the_caller() -> None:
    call = Call()
    use = call.extracts(confirmed=True)
    assert await use("anna@example.com", confirmed=True) == ASKED  # never proposed
    assert await use("anna@example.com", confirmed=True) == ASKED  # proposed, and nobody has answered
    call.caller_turns += 1
    assert await use("anna@example.org", confirmed=True) == ASKED | {"value": "anna@example.org"}  # another value
    assert await use("anna@example.com") == ASKED  # not confirmed
    assert await use("anna@example.com", confirmed="true") == ASKED
    assert not call.variables.found
    assert await use("anna@example.com", confirmed=True) == STORED


async def test_proposing_again_does_not_undo_the_question() -> None:
    call = Call()
    use = call.extracts(confirmed=True)
    await use("anna@example.com")
    call.caller_turns += 1
    await use("anna@example.com")
    assert await use("anna@example.com", confirmed=True) == STORED


async def test_a_confirmation_is_of_one_call() -> None:
    await Call().extracts(confirmed=True)("anna@example.com")
    later = Call(caller_turns=2)
    assert await later.extracts(confirmed=True)("anna@example.com", confirmed=True) == ASKED


async def test_an_invalid_value_proposes_nothing() -> None:
    call = Call()
    use = call.extracts(confirmed=True)
    assert (await use("anna", confirmed=True))["status"] == "invalid"
    call.caller_turns += 1
    assert (await use("anna", confirmed=True))["status"] == "invalid"


@given(st.lists(st.tuples(st.sampled_from(["1", "1.0", "2", "x"]), st.booleans(), st.integers(0, 1))))
def test_a_stored_value_was_always_proposed_in_an_earlier_turn(uses: list[tuple[str, bool, int]]) -> None:
    async def check() -> None:
        call = Call()
        use = call.extracts("number", confirmed=True)
        proposed: dict[float, int] = {}
        for text, confirmed, turns in uses:
            call.caller_turns += turns
            told = await use(text, confirmed=confirmed)
            if text == "x":
                assert told["status"] == "invalid"
                continue
            earliest = proposed.setdefault(float(text), call.caller_turns)
            expected = "stored" if confirmed and earliest < call.caller_turns else "needs_confirmation"
            assert told["status"] == expected

    anyio.run(check)
