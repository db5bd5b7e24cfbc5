"""The knowledge_base tool: looks a question up in the documents of the agent."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from patter.tools.handlers import call_handler

if TYPE_CHECKING:
    from patter.store.knowledge import Passage, Retriever
    from patter.tools.configs import KnowledgeBaseConfig
    from patter.tools.model import Handler, Tool, ToolContext

__all__ = ["KnowledgeServices", "bind"]

_MOST_BYTES = 12_000
"""Of all texts together: what a mind is told is cut at 16 KiB, and a result that is cut is no JSON any more."""


class KnowledgeServices(Protocol):
    """What the executor needs of a call."""

    @property
    def knowledge(self) -> Retriever | None:
        """What the agent of the call can look up; None is nothing."""


def bind(tool: Tool, services: KnowledgeServices) -> Handler:
    """The handler that searches. The retriever runs where a host's handlers run.

    Returns:
        The handler. Its result is ``{"results": [{"text", "source", "score"}]}``, the best first, at most ``top_k``,
        none below the threshold; the list may be empty. A passage without a score is the retriever's own choice.
    """
    config = cast("KnowledgeBaseConfig", tool.config)

    async def look_up(arguments: dict[str, Any], context: ToolContext) -> dict[str, Any]:
        found: Iterable[Passage] = ()
        if services.knowledge is not None:
            search = partial(services.knowledge.search, str(arguments["query"]), top_k=config.top_k)
            found = await call_handler(search)
        fitting = [one for one in found if _fits(one.score, config.similarity_threshold)]
        return {"results": list(_told(fitting[: config.top_k]))}

    return look_up


def _fits(score: float | None, threshold: float) -> bool:
    return score is None or score >= threshold


def _told(passages: Iterable[Passage]) -> Iterable[dict[str, Any]]:
    left = _MOST_BYTES
    for passage in passages:
        text = passage.text.encode("utf-8", "replace")[: max(0, left)].decode("utf-8", "ignore")
        if not text:
            return
        left -= len(text.encode())
        score = None if passage.score is None else round(float(passage.score), 3)
        yield {"text": text, "source": passage.source, "score": score}
