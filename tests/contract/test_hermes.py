"""The contract over the Hermes handler, which is text only: no events, no ids, no envelope beside the text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from patter import PatterTool
from patter.testing.contract import AdapterContract, Observed, Use


class Registry:
    """Hermes's tool registry, as far as a tool sees it: entries, and a dispatch by name."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}

    def register(self, *, name: str, **entry: Any) -> None:
        self.entries[name] = entry

    @property
    def only(self) -> str:
        (name,) = self.entries
        return name

    async def dispatch(self, name: str, arguments: str, task_id: str) -> str:
        """What the agent loop does with a tool call of its model."""
        text: str = await self.entries[name]["handler"](json.loads(arguments), task_id=task_id)
        return text


class HermesHarness:
    name = "hermes"
    cancels_on_await = True
    has_events = False
    sees_use_id = False
    has_result = False

    def build(self, tool: PatterTool) -> Registry:
        registry = Registry()
        tool.register_hermes(registry)
        return registry

    def schema(self, native: Registry) -> dict[str, Any]:
        schema: dict[str, Any] = native.entries[native.only]["schema"]
        return schema

    def invoke(self, native: Registry, use: Use) -> Observed:
        # Hermes runs an async handler on a loop of its own, in a thread if the caller's loop runs.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, self.ainvoke(native, use)).result()

    async def ainvoke(self, native: Registry, use: Use) -> Observed:
        text = await native.dispatch(native.only, json.dumps(dict(use.arguments)), task_id=use.id)
        return Observed(text, is_error="error" in json.loads(text))

    def run_agent(self, native: Registry, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        return asyncio.run(self.arun_agent(native, turns))

    async def arun_agent(self, native: Registry, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        read: list[Observed] = []
        for turn in turns:
            read += await asyncio.gather(*[self.ainvoke(native, use) for use in turn])
        return read


class TestHermes(AdapterContract):
    harness = HermesHarness()
