"""LangChain's standard tests for tools, on the local network."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langchain_tests")

from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests
from tests.langchain.conftest import MakeTool

from patter_langchain import PatterLangChainTool


class _OnTheLocalNetwork:
    @pytest.fixture(autouse=True)
    def phone(self, make_tool: MakeTool) -> None:
        self._tool = make_tool()

    @property
    def tool_constructor(self) -> type[BaseTool]:
        return PatterLangChainTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"tool": self._tool}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"to": "+15550100199", "goal": "Tea at five"}


class TestUnit(_OnTheLocalNetwork, ToolsUnitTests):
    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        """The keys belong to the carrier and the vendors, which read them themselves; there is one for the agent."""
        return {"OPENAI_API_KEY": "sk-test"}, {"tool": self._tool}, {"name": "make_phone_call"}


@pytest.mark.anyio
class TestIntegration(_OnTheLocalNetwork, ToolsIntegrationTests):
    """As they are; the mark runs those that are async."""
