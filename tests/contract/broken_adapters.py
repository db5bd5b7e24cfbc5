"""Adapters that break one promise each, and the suite over them. `test_broken.py` runs it, and sees it fail."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio

from patter import InvalidArguments, PatterTool
from patter.testing.contract import AdapterContract, BareHarness, Observed, Use


class DriftingSchema(BareHarness):
    """Writes the schema again, and forgets the pattern of the number."""

    def schema(self, native: PatterTool) -> dict[str, Any]:
        told = super().schema(native)
        del told["parameters"]["properties"]["to"]["pattern"]
        return told


class AnyNumberOfArguments(BareHarness):
    def schema(self, native: PatterTool) -> dict[str, Any]:
        told = super().schema(native)
        del told["parameters"]["required"]
        return told


class NoDescription(BareHarness):
    """Keeps the first sentence, and so loses the warning of what strangers say."""

    def schema(self, native: PatterTool) -> dict[str, Any]:
        told = super().schema(native)
        return told | {"description": told["description"].split(".")[0]}


class OwnName(BareHarness):
    def schema(self, native: PatterTool) -> dict[str, Any]:
        return super().schema(native) | {"name": "make_phone_call"}


class ReadsOtherwise(BareHarness):
    """Base of the adapters that hand the model something else than the core's text."""

    def tell(self, observed: Observed) -> Observed:
        return observed

    def invoke(self, native: PatterTool, use: Use) -> Observed:
        return self.tell(super().invoke(native, use))

    async def ainvoke(self, native: PatterTool, use: Use) -> Observed:
        return self.tell(await super().ainvoke(native, use))


class PythonRepr(ReadsOtherwise):
    def tell(self, observed: Observed) -> Observed:
        return replace(observed, text=str(observed.result.to_dict())) if observed.result else observed


class Escapes(ReadsOtherwise):
    def tell(self, observed: Observed) -> Observed:
        return replace(observed, text=json.dumps(json.loads(observed.text)))


class LosesCharacters(ReadsOtherwise):
    def tell(self, observed: Observed) -> Observed:
        return replace(observed, text=observed.text.encode("ascii", "ignore").decode())


class Template(ReadsOtherwise):
    """Writes the JSON by hand, and lets the words of a stranger out of their string."""

    def tell(self, observed: Observed) -> Observed:
        assert observed.result is not None
        lines = [f'{{"role": "{line.role}", "text": "{line.text}"}}' for line in observed.result.transcript]
        head = f'"call_id": "{observed.result.call_id}", "status": "{observed.result.status}"'
        return replace(observed, text=f'{{{head}, "transcript": [{", ".join(lines)}]}}')


class TextOnly(ReadsOtherwise):
    """Says that it hands over the envelope, and does not."""

    def tell(self, observed: Observed) -> Observed:
        return replace(observed, result=None)


class BusyIsAnError(ReadsOtherwise):
    def tell(self, observed: Observed) -> Observed:
        failed = observed.result is None or observed.result.status != "completed"
        return replace(observed, is_error=failed)


class OpaqueError(ReadsOtherwise):
    def tell(self, observed: Observed) -> Observed:
        return (
            replace(observed, text="Tool input error: failed to validate the input to the tool")
            if observed.is_error
            else observed
        )


class ErrorAsText(ReadsOtherwise):
    def tell(self, observed: Observed) -> Observed:
        return replace(observed, is_error=False)


class NoEvents(ReadsOtherwise):
    def tell(self, observed: Observed) -> Observed:
        return replace(observed, events=())


class EventsOutOfOrder(ReadsOtherwise):
    def tell(self, observed: Observed) -> Observed:
        return replace(observed, events=sorted(observed.events, key=lambda event: str(event["type"])))


class RaisesAfterTheDial(ReadsOtherwise):
    def tell(self, observed: Observed) -> Observed:
        if observed.result is not None and observed.result.status == "failed":
            raise RuntimeError("the call failed")
        return observed


class NewLoopForEachCall(BareHarness):
    def invoke(self, native: PatterTool, use: Use) -> Observed:
        coroutine = self.ainvoke(native, use)
        try:
            return asyncio.run(coroutine)
        finally:
            coroutine.close()


class OneLoopForEver(BareHarness):
    """Remembers the loop that it was first used on."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None

    async def ainvoke(self, native: PatterTool, use: Use) -> Observed:
        self.loop = self.loop or asyncio.get_running_loop()
        if self.loop is not asyncio.get_running_loop():
            raise RuntimeError("this tool belongs to another loop")
        return await super().ainvoke(native, use)


class ChangesArguments(BareHarness):
    """Base of the adapters that do not pass on what the model wrote."""

    def change(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return dict(arguments)

    def invoke(self, native: PatterTool, use: Use) -> Observed:
        return super().invoke(native, replace(use, arguments=self.change(use.arguments)))

    async def ainvoke(self, native: PatterTool, use: Use) -> Observed:
        return await super().ainvoke(native, replace(use, arguments=self.change(use.arguments)))


class DropsTheUnknown(ChangesArguments):
    """Takes what it knows of wrong arguments, and dials."""

    def change(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in arguments.items() if name != "volume"}


class NullsAreText(ChangesArguments):
    def change(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {name: "" if value is None else value for name, value in arguments.items()}


class ForgetsTheFirstMessage(ChangesArguments):
    def change(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in arguments.items() if name != "first_message"}


class ForgetsTheLength(ChangesArguments):
    def change(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in arguments.items() if name != "max_duration_sec"}


class Caches(BareHarness):
    def __init__(self) -> None:
        self.known: dict[str, Observed] = {}

    def invoke(self, native: PatterTool, use: Use) -> Observed:
        key = json.dumps(dict(use.arguments))
        if key not in self.known:
            self.known[key] = super().invoke(native, use)
        return self.known[key]


class Retries(BareHarness):
    def invoke(self, native: PatterTool, use: Use) -> Observed:
        observed = super().invoke(native, use)
        if observed.result is not None and observed.result.status == "failed":
            return super().invoke(native, replace(use, id=f"{use.id} again"))
        return observed


class IgnoresTheId(BareHarness):
    def invoke(self, native: PatterTool, use: Use) -> Observed:
        return super().invoke(native, replace(use, id=""))


class AnIdIsEnough(BareHarness):
    """Takes a use for the same because its id is, as models that number anew in each turn repeat it."""

    def __init__(self) -> None:
        self.known: dict[str, Observed] = {}

    def invoke(self, native: PatterTool, use: Use) -> Observed:
        if use.id not in self.known:
            self.known[use.id] = super().invoke(native, use)
        return self.known[use.id]


class SwallowsCancellation(BareHarness):
    async def ainvoke(self, native: PatterTool, use: Use) -> Observed:
        try:
            return await super().ainvoke(native, use)
        except asyncio.CancelledError:
            return Observed("{}", is_error=False)


class LeavesTheLineOpen(BareHarness):
    """Makes the use in a thread, which no cancellation reaches."""

    async def ainvoke(self, native: PatterTool, use: Use) -> Observed:
        return await asyncio.to_thread(self.invoke, native, use)


class OneAtATime(BareHarness):
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def invoke(self, native: PatterTool, use: Use) -> Observed:
        with self.lock:
            return super().invoke(native, use)


class AroundTheLimit(BareHarness):
    """Asks the phone itself, and so passes by the tool's max_concurrent_calls."""

    async def ainvoke(self, native: PatterTool, use: Use) -> Observed:
        to, goal = use.arguments["to"], use.arguments["goal"]
        result = await native.phone.call(to, goal=goal, agent=native.agent)
        return Observed(result.to_llm(), is_error=False, result=result)


class TellsTheException(BareHarness):
    def invoke(self, native: PatterTool, use: Use) -> Observed:
        try:
            result = native.execute_sync(use.arguments)
        except Exception as error:
            return Observed(f"Error: {error}", is_error=True)
        return Observed(result.to_llm(), is_error=False, result=result)


class LetsThroughErrors(BareHarness):
    """Knows the errors of bad arguments, and lets every other error end the host."""

    def invoke(self, native: PatterTool, use: Use) -> Observed:
        try:
            result = native.execute_sync(use.arguments)
        except InvalidArguments as error:
            return Observed(str(error), is_error=True)
        return Observed(result.to_llm(), is_error=False, result=result)


class AgentEndsAtAnError(BareHarness):
    def run_agent(self, native: PatterTool, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        observed: list[Observed] = []
        for turn in turns:
            observed += super().run_agent(native, [turn])
            if observed[-1].is_error:
                break
        return observed


class AgentMixesUp(BareHarness):
    async def arun_agent(self, native: PatterTool, turns: Sequence[Sequence[Use]]) -> list[Observed]:
        return (await super().arun_agent(native, turns))[::-1]


class LeavesATask(BareHarness):
    def invoke(self, native: PatterTool, use: Use) -> Observed:
        engine = native.phone.engine

        def leave() -> None:
            engine.tasks.start_soon(anyio.sleep, 30)

        engine.invoke(leave)
        return super().invoke(native, use)


class TestUnbroken(AdapterContract):
    harness = BareHarness()


class TestNothing(AdapterContract):
    """Names no harness."""


def _all(kind: type[BareHarness]) -> list[type[BareHarness]]:
    return [found for sub in kind.__subclasses__() for found in (sub, *_all(sub))]


for _kind in _all(BareHarness):
    _name = f"Test{_kind.__name__}"
    globals()[_name] = type(_name, (AdapterContract,), {"harness": _kind(), "__module__": __name__})
