"""A drop-in ``tools/patter.py`` for Hermes: registers ``make_phone_call`` and returns JSON text.

Run as a program, it shows what Hermes would do, on the local network and without keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from patter import Patter, PatterTool

tool = PatterTool(phone=Patter.local(persona="salon"))


class Registry:
    """The part of Hermes's tool registry that is used here, so that the example runs without Hermes."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[..., Awaitable[str]]] = {}

    def register(
        self, *, name: str, toolset: str, schema: dict[str, Any], handler: Callable[..., Awaitable[str]]
    ) -> None:
        self.handlers[name] = handler


async def main() -> None:
    registry = Registry()  # in Hermes: from tools.registry import registry
    tool.register_hermes(registry)
    make_phone_call = registry.handlers["make_phone_call"]
    print(await make_phone_call({"to": "555-0199", "goal": "Book a haircut."}))
    print(await make_phone_call({"to": "+15550100199", "goal": "Book a haircut for tomorrow at three."}))
    await tool.stop()


if __name__ == "__main__":
    asyncio.run(main())
