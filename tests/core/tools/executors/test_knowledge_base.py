"""C-28: what fits a question well enough, as much of it as was asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from patter.store.knowledge import Passage, Retriever, SqliteKnowledge
from patter.tools.encoding import LONGEST_BYTES, encode
from patter.tools.executors.knowledge_base import bind
from patter.tools.handlers import HandlerFailed, handler_loop, shared_loop
from patter.tools.model import Tool, ToolContext

pytestmark = pytest.mark.anyio


@dataclass
class Shelf:
    """A retriever of somebody else's."""

    passages: Sequence[Passage] = ()
    fails: bool = False

    async def search(self, query: str, *, top_k: int) -> Sequence[Passage]:
        if self.fails:
            raise RuntimeError(f"no such index for {query}")
        return self.passages


@dataclass
class Services:
    knowledge: Retriever | None


async def look_up(knowledge: Retriever | None, query: str = "apple", **config: Any) -> list[dict[str, Any]]:
    tool = Tool(name="look_up", description="Look it up.", tool_type="knowledge_base", config=config)
    told = await bind(tool, Services(knowledge))({"query": query}, ToolContext())
    assert set(told) == {"results"}
    return told["results"]


async def test_what_the_documents_say_is_found() -> None:
    knowledge = SqliteKnowledge()
    await knowledge.add("A haircut costs 40 euros.", source="prices.md", agent="salon")
    await knowledge.add("We open at nine.", source="hours.md", agent="salon")
    await knowledge.add("A haircut costs 90 euros.", source="dear.md", agent="other")
    assert await look_up(knowledge.of("salon"), "haircut costs") == [
        {"text": "A haircut costs 40 euros.", "source": "prices.md", "score": 1.0}
    ]
    assert await look_up(knowledge.of("salon"), "haircut for a dog") == []
    assert len(await look_up(knowledge.of("salon"), "haircut for a dog", similarity_threshold=0.5)) == 1
    knowledge.close()


async def test_what_does_not_fit_well_enough_is_left_out() -> None:
    shelf = Shelf(
        [Passage("a", "1", 1), Passage("b", "2", 0.7), Passage("c", "3", 0.6999), Passage("d", "4", math.nan)]
    )
    assert [one["source"] for one in await look_up(shelf)] == ["1", "2"]
    assert [one["source"] for one in await look_up(shelf, similarity_threshold=0)] == ["1", "2", "3"]
    assert [one["source"] for one in await look_up(shelf, similarity_threshold=1)] == ["1"]


async def test_a_retriever_that_does_not_count_is_cut_at_top_k() -> None:
    shelf = Shelf([Passage(str(number), "s", 0.9) for number in range(9)])
    assert [one["text"] for one in await look_up(shelf, top_k=2)] == ["0", "1"]
    assert len(await look_up(shelf)) == 5


async def test_passages_without_a_score_are_the_retrievers_choice() -> None:
    assert await look_up(Shelf([Passage("a", "1", None)])) == [{"text": "a", "source": "1", "score": None}]


async def test_a_result_is_never_so_long_that_it_would_be_cut() -> None:
    shelf = Shelf([Passage("ü" * 5000, str(number), 0.9) for number in range(5)])
    results = await look_up(shelf)
    assert [len(one["text"]) for one in results] == [5000, 1000]
    told = encode({"results": results})
    assert len(told.encode()) < LONGEST_BYTES
    assert json.loads(told)["results"] == results


async def test_an_agent_without_documents_finds_nothing() -> None:
    assert await look_up(None) == []
    empty = SqliteKnowledge()
    assert await look_up(empty) == []
    empty.close()


async def test_a_retriever_that_raises_is_the_hosts_affair() -> None:
    with pytest.raises(HandlerFailed) as failure:
        await look_up(Shelf(fails=True))
    assert "apple" not in str(failure.value)
    assert "apple" in str(failure.value.cause)


async def test_a_retriever_runs_where_the_hosts_handlers_run() -> None:
    knowledge = SqliteKnowledge()
    await knowledge.add("An apple.", source="a")
    token = handler_loop.set(shared_loop)
    try:
        assert [one["source"] for one in await look_up(knowledge)] == ["a"]
    finally:
        handler_loop.reset(token)
    knowledge.close()
