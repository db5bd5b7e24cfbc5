"""A mind with substitutes: when one chat model fails or dawdles, the next one answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from patter.errors import ProviderError
from patter.voice.answer import Answer
from patter.voice.base import CallContext, ChatModel, Message, PerCallChatModel, ToolSpec, Usage
from patter.voice.fallback.bench import Bench, at_least_two, start_all
from patter.voice.held import HeldSessions

__all__ = ["FallbackLLM"]

_OPEN_S = 2.5


class FallbackLLM:
    """A chat model made of several, asked one after another until one answers. Never two at a time.

    Nothing is repeated once a piece of an answer went out: if the model then fails, the error passes on.
    A model that has failed is asked last for a while, by all calls; if the same request cannot succeed
    later either, such as for a wrong key, for the rest of the call.

    Args:
        first: the first choice; its name is the fallback's `model`.
        others: who is asked next, in order; at least one.
        first_delta_s: the longest wait for the first piece of an answer, as long as there is another to ask.
        rest_s: how long a model that has failed is asked last.

    Raises:
        ConfigError: there is only one.
    """

    def __init__(self, first: ChatModel, *others: ChatModel, first_delta_s: float = 3.0, rest_s: float = 30.0) -> None:
        self._models = at_least_two("FallbackLLM", first, others)
        self._first_delta_s = first_delta_s
        self._bench = Bench(len(self._models), rest_s)
        self.speculative = all(getattr(model, "speculative", True) for model in self._models)
        """Whether all of them may be asked before the callee's turn is certainly over."""

    @property
    def model(self) -> str:
        """The first choice's."""
        return self._models[0].model

    async def start(self) -> None:
        """Import what the providers need, before the first call needs it."""
        await start_all(self._models)

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
        """Ask for an answer. The usage names the model that was asked."""
        return self._mind(None).stream(messages, tools)

    def open(self, call: CallContext) -> _FallbackMind:
        """Open the session of one call; the substitutes open theirs when they are needed."""
        return self._mind(call)

    def _mind(self, call: CallContext | None) -> _FallbackMind:
        return _FallbackMind(self._models, self._bench, call, first_delta_s=self._first_delta_s)


class _FallbackMind:
    """The session of one call. ``model`` is the one that was asked last."""

    def __init__(
        self, models: Sequence[ChatModel], bench: Bench, call: CallContext | None, *, first_delta_s: float
    ) -> None:
        self.model = models[0].model
        self._models = models
        self._bench = bench
        self._call = call
        self._first_delta_s = first_delta_s
        self._out: set[int] = set()
        self._sessions = HeldSessions()
        self._opened: dict[int, ChatModel] = {}
        self._opening = anyio.Lock()

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Answer:
        """Ask for an answer."""
        return Answer(partial(self._answer, messages, tools), model=self.model)

    async def __aenter__(self) -> Self:
        await self._sessions.__aenter__()
        try:
            await self._open_one()
        except BaseException as error:
            await self._sessions.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._sessions.__aexit__(kind, error, trace)

    async def _open_one(self) -> None:
        failure: ProviderError | None = None
        for index in self._bench.order(anyio.current_time()):
            try:
                await self._session(index)
            except ProviderError as error:
                failure = error
                self._put_aside(index, error)
            else:
                self.model = self._models[index].model
                return
        assert failure is not None
        raise failure

    async def _session(self, index: int) -> ChatModel:
        model = self._models[index]
        if self._call is None or not isinstance(model, PerCallChatModel):
            return model
        async with self._opening:
            if index not in self._opened:
                message = f"{model.model} did not open its session within {_OPEN_S:g} s; check base_url."
                late = ProviderError("llm", message, retryable=True)
                session = await self._sessions.open(model.open(self._call), within_s=_OPEN_S, late=late)
                self._opened[index] = session
        return self._opened[index]

    def _put_aside(self, index: int, failure: ProviderError) -> None:
        self._bench.rest(index, anyio.current_time())
        if not failure.retryable:
            self._out.add(index)

    async def _answer(self, messages: Sequence[Message], tools: Sequence[ToolSpec], answer: Answer) -> None:
        order = self._bench.order(anyio.current_time(), out=self._out)
        owed: list[Usage] = []
        for index in order:
            is_last = index == order[-1]
            request = _Request(self._models[index].model, messages, tools, owed)
            try:
                await self._ask(index, request, answer, within_s=math.inf if is_last else self._first_delta_s)
                return
            except ProviderError as error:
                self._put_aside(index, error)
                if request.answered or is_last:
                    raise
                if request.accepted:
                    owed.append(request.estimate())

    async def _ask(self, index: int, request: _Request, answer: Answer, *, within_s: float) -> None:
        self.model = answer.model = request.model
        with anyio.CancelScope(deadline=anyio.current_time() + within_s) as patience:
            session = await self._session(index)
            async with session.stream(request.messages, request.tools) as stream:
                request.accepted = True
                answer.accept()
                async for delta in stream:
                    if isinstance(delta, Usage):
                        for usage in request.settle(delta):
                            await answer.send(usage)
                    elif delta != "":
                        await checkpoint_if_cancelled()  # from here on nothing can be taken back
                        patience.deadline = math.inf
                        request.answered = True
                        request.written += len(delta) if isinstance(delta, str) else len(delta.arguments)
                        await answer.send(delta)
                for usage in request.settle(None):
                    await answer.send(usage)
        if patience.cancelled_caught:
            message = f"{request.model} wrote nothing for {within_s:g} s; try again later."
            raise ProviderError("llm", message, retryable=True)


class _Request:
    """One request to one model, and the bill for it and for those that did not answer before."""

    def __init__(
        self, model: str, messages: Sequence[Message], tools: Sequence[ToolSpec], owed: Sequence[Usage]
    ) -> None:
        self.model = model
        self.messages = messages
        self.tools = tools
        self.accepted = False
        self.answered = False
        self.written = 0
        self._owed = list(owed)

    def settle(self, usage: Usage | None) -> list[Usage]:
        """The usage of all that were asked, this model's last; nothing if it says nothing and nothing else is owed."""
        if usage is None and not self._owed:
            return []
        owed, self._owed = self._owed, []
        mine = self.estimate() if usage is None else replace(usage, model=usage.model or self.model)
        return [*owed, mine]

    def estimate(self) -> Usage:
        """What this model has cost, if it does not tell."""
        return Usage.estimate(self.messages, self.written, model=self.model)
