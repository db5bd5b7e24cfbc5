"""A framework that is not installed is told in one line, and the core imports none before it is asked to."""

from __future__ import annotations

import subprocess
import sys

import pytest

from patter import ConfigError, Patter, PatterTool

EXPORTERS = {"to_mcp": ("mcp", "mcp"), "to_openai_agents": ("agents", "agents")} | {
    "to_pydantic_ai": ("pydantic_ai", "pydantic-ai")
}


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_missing_sdk_is_a_config_error_that_says_how_to_get_it(
    exporter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, extra = EXPORTERS[exporter]
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    tool = PatterTool(Patter.local(voice="tones"))
    with pytest.raises(ConfigError) as caught:
        getattr(tool, exporter)()
    assert f"pip install 'patter-core[{extra}]'" in str(caught.value)


def test_a_tool_that_is_not_exported_imports_no_framework() -> None:
    code = (
        "import sys; from patter import Patter, PatterTool; PatterTool(Patter.local(voice='tones')).openai_schema();"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert {"mcp", "agents", "pydantic_ai", "openai"} & set(loaded.stdout.split()) == set()
