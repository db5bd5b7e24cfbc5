"""The sessions of one call with its three providers, opened side by side while the phone rings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from types import TracebackType
from typing import Any, Generic, TypeVar

import anyio

from patter.agent import Agent
from patter.errors import ProviderError, Stage
from patter.tasks import OwnTasks
from patter.voice.base import CallContext, ChatModel, Ears, PerCallChatModel, Voice

__all__ = ["ModelNames", "Sessions"]

_CLOSE_S = 1.0

S = TypeVar("S")


class ModelNames:
    """The models that an agent names, before there are sessions."""

    def __init__(self, agent: Agent) -> None:
        self.stt, self.llm, self.tts = agent.stt.model, agent.llm.model, agent.tts.model


class Sessions:
    """Enter it to open all three. Leaving it closes them within a second, however slow a vendor is.

    Args:
        open_s: the longest wait until all are open.
        on_failure: takes what breaks in a session that was open.
    """

    def __init__(
        self, agent: Agent, call: CallContext, *, open_s: float, on_failure: Callable[[Exception], None]
    ) -> None:
        llm = agent.llm
        mind = llm.open(call) if isinstance(llm, PerCallChatModel) else nullcontext(llm)
        self._agent = agent
        self._open_s = open_s
        self._owner = OwnTasks(grace_s=_CLOSE_S)
        self._ears: _Keeper[Ears] = _Keeper("stt", agent.stt.model, agent.stt.open(), on_failure)
        self._mind: _Keeper[ChatModel] = _Keeper("llm", llm.model, mind, on_failure)
        self._voice: _Keeper[Voice] = _Keeper("tts", agent.tts.model, agent.tts.open(), on_failure)
        self._keepers: tuple[_Keeper[Any], ...] = (self._voice, self._ears, self._mind)

    @property
    def ears(self) -> Ears:
        return self._ears.session

    @property
    def mind(self) -> ChatModel:
        return self._mind.session

    @property
    def voice(self) -> Voice:
        return self._voice.session

    @property
    def stt(self) -> str:
        """The model that hears now; a session that changes its vendor names it."""
        return self._ears.model or self._agent.stt.model

    @property
    def llm(self) -> str:
        """The model that thinks now."""
        return self._mind.model or self._agent.llm.model

    @property
    def tts(self) -> str:
        """The model that speaks now."""
        return self._voice.model or self._agent.tts.model

    async def __aenter__(self) -> Sessions:
        tasks = await self._owner.__aenter__()
        try:
            for keeper in self._keepers:
                tasks.start_soon(keeper.keep)
            with anyio.move_on_after(self._open_s):
                for keeper in self._keepers:
                    await keeper.settled.wait()
            for keeper in self._keepers:
                keeper.check(self._open_s)
        except BaseException:
            tasks.cancel_scope.cancel()
            await self._owner.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        for keeper in self._keepers:
            keeper.release.set()
        return await self._owner.__aexit__(kind, error, trace)


class _Keeper(Generic[S]):
    """Holds one session open, in a task of its own: who has entered it must be who leaves it."""

    session: S

    def __init__(
        self, stage: Stage, name: str, manager: AbstractAsyncContextManager[S], on_failure: Callable[[Exception], None]
    ) -> None:
        self._stage: Stage = stage
        self._name = name
        self._manager = manager
        self._on_failure = on_failure
        self._is_open = False
        self._error: Exception | None = None
        self.settled = anyio.Event()
        """Set when the session is open, or has failed to open."""
        self.release = anyio.Event()

    @property
    def model(self) -> str | None:
        name = getattr(self.session, "model", None) if self._is_open else None
        return name if isinstance(name, str) else None

    async def keep(self) -> None:
        try:
            async with self._manager as self.session:
                self._is_open = True
                self.settled.set()
                await self.release.wait()
        except Exception as error:  # the boundary of what a provider does beside its methods
            self._error = error
            if self._is_open and not self.release.is_set():
                self._on_failure(error)
        finally:
            self.settled.set()

    def check(self, open_s: float) -> None:
        if self._error is not None:
            raise self._error
        if not self._is_open:
            problem = f"{self._name} did not open its session within {open_s:g} s"
            message = f"{problem}; check the network and base_url, or add a fallback provider."
            raise ProviderError(self._stage, message, retryable=True)
