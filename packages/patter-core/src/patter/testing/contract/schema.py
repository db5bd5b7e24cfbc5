"""What the host's model is told of the tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from patter.testing.contract.base import ContractBase
from patter.testing.contract.checks import broken
from patter.testing.contract.desk import Desk

__all__ = ["SchemaContract", "normalised"]

_KEPT = ("description", "pattern", "minimum", "maximum", "minLength", "maxLength", "enum")


class SchemaContract(ContractBase):
    """The model is told the same in every framework."""

    def test_the_name_is_the_tools(self, desk: Desk) -> None:
        """The model calls the tool by the name that `PatterTool` has."""
        told = self.harness.schema(desk.native)["name"]
        assert told == desk.tool.name, broken(f"the tool's name is {desk.tool.name}", told)

    def test_the_description_is_the_tools(self, desk: Desk) -> None:
        """The model reads the whole description, with its warning of what strangers say."""
        told = self.harness.schema(desk.native)["description"]
        assert told == desk.tool.description, broken("the model reads the tool's description unchanged", told)

    def test_an_owners_name_and_description_reach_the_model(self, desk: Desk) -> None:
        """What the owner of the tool calls it, and says of it, is what the model is told."""
        desk.equip(name="ring_up", description="Rings somebody up.")
        told = self.harness.schema(desk.native)
        seen = (told["name"], told["description"])
        assert seen == ("ring_up", "Rings somebody up."), broken("name= and description= of PatterTool are told", seen)

    def test_the_arguments_are_those_of_the_exporters(self, desk: Desk) -> None:
        """Each argument has the type, the description and the limits that it has in every exporter's schema."""
        told = normalised(self.harness.schema(desk.native)["parameters"])
        tool = desk.tool
        exported = {
            "openai chat": tool.openai_schema()["function"]["parameters"],
            "openai strict": tool.openai_schema(strict=True)["function"]["parameters"],
            "openai responses": tool.openai_schema("responses")["parameters"],
            "anthropic": tool.anthropic_schema()["input_schema"],
            "hermes": tool.hermes_schema()["parameters"],
        }
        for name, parameters in exported.items():
            wanted = normalised(parameters)
            assert list(told) == list(wanted), broken(f"the arguments of the {name} schema, in its order", list(told))
            for argument, properties in wanted.items():
                promise = f"{argument} is as in the {name} schema: {properties}"
                assert told[argument] == properties, broken(promise, told[argument])

    def test_the_number_is_required_and_the_rest_may_be_null(self, desk: Desk) -> None:
        """The model must say whom to call; an argument that it may leave out is not required, or takes null."""
        parameters = self.harness.schema(desk.native)["parameters"]
        required = parameters.get("required", [])
        assert "to" in required, broken("to is required", required)
        for name, argument in parameters["properties"].items():
            if name != "to" and name in required:
                assert "null" in _types(argument), broken(f"{name} is required, so it takes null", argument)


def normalised(parameters: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The properties of an object's JSON Schema: type, description and limits, in whatever way null is allowed."""
    return {name: _property(argument) for name, argument in parameters["properties"].items()}


def _property(argument: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": sorted(_types(argument) - {"null"})}
    for part in (*_parts(argument), argument):
        found |= {key: part[key] for key in _KEPT if key in part}
    return found


def _types(argument: Mapping[str, Any]) -> set[str]:
    types: set[str] = set()
    for part in (argument, *_parts(argument)):
        told = part.get("type", [])
        types |= {told} if isinstance(told, str) else set(told)
    return types


def _parts(argument: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [part for key in ("anyOf", "oneOf", "allOf") for part in argument.get(key, [])]
