"""How the progress of a call reaches LangChain's users."""

from __future__ import annotations

import logging
import sys

from anyio.streams.memory import MemoryObjectReceiveStream
from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.callbacks.manager import adispatch_custom_event, dispatch_custom_event
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import patch_config

from patter.call.request import Event

__all__ = ["EVENT", "Progress"]

EVENT = "patter.call"
"""The name of the custom events."""

_log = logging.getLogger("patter")


class Progress:
    """Tells the events of one use, in two ways.

    In a LangGraph graph, ``stream_mode="custom"`` yields
    ``{"name": "patter.call", "tool_call_id": ..., "data": event}``. Callback handlers and ``astream_events`` get the
    custom event ``patter.call``, a child of the tool's run. What a handler raises does not end the call.
    """

    def __init__(
        self,
        config: RunnableConfig,
        run_manager: CallbackManagerForToolRun | AsyncCallbackManagerForToolRun | None,
        use_id: str | None,
    ) -> None:
        self._config = patch_config(config, callbacks=run_manager.get_child()) if run_manager else None
        self._use_id = use_id
        try:  # the writer of the graph that the tool runs in, if it runs in one; then LangGraph is imported already
            self._write = sys.modules["langgraph.config"].get_stream_writer()
        except (AttributeError, KeyError, RuntimeError):
            self._write = None

    def tell(self, event: Event) -> None:
        """Tell one event, in the thread and the context of the tool."""
        self._tell_graph(event)
        if self._config is not None:
            dispatch_custom_event(EVENT, event, config=self._config)

    async def relay(self, events: MemoryObjectReceiveStream[Event]) -> None:
        """Tell them all, one after another, in a task of the tool's."""
        async for event in events:
            try:
                self._tell_graph(event)
                if self._config is not None:
                    await adispatch_custom_event(EVENT, event, config=self._config)
            except Exception as error:  # the boundary to the host's handlers
                _log.warning("a handler of %s raised %s; the call goes on.", EVENT, type(error).__name__)

    def _tell_graph(self, event: Event) -> None:
        if self._write is not None:
            self._write({"name": EVENT, "tool_call_id": self._use_id, "data": event})
