"""The adapter that docs/write-an-adapter.md shows passes the contract."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from patter.testing.contract import AdapterContract

PAGE = Path(__file__).parents[2] / "docs" / "write-an-adapter.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def shown() -> dict[str, Any]:
    """The names of the page's one program."""
    (program,) = BLOCKS
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(program, str(PAGE), "exec"), names)
    return names


class TestPage(AdapterContract):
    harness = shown()["ChatHarness"]()
