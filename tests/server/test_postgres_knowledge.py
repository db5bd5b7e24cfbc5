"""Documents in Postgres are found as those in SQLite are."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from patter.errors import ConfigError
from patter.store.knowledge import SqliteKnowledge
from patter.store.opening import open_store
from patter.store.postgres_knowledge import PostgresKnowledge
from patter.store.sql import SqlStore

pytestmark = pytest.mark.anyio

SALON = {
    "hours": "We open at nine and close at six. On Sundays the salon stays shut.",
    "parking": "Free parking is behind the house, beside the bakery.",
    "prices": "A haircut costs 40 euros, a beard trim 15 euros. " + "Öffnungszeiten 営業時間 " * 9,
}
QUERIES = (
    "How much is a haircut in euros?",
    "öffnungszeit",
    "営業時間",
    "parking bakery sundays grape",
    "who are you",
    'word:"haircut" AND NEAR(',
    "'; DROP TABLE patter_documents",
    "",
)


@pytest.fixture
async def knowledge(postgres_url: str) -> AsyncIterator[PostgresKnowledge]:
    store = SqlStore(postgres_url)
    yield PostgresKnowledge(store)
    await store.close()


async def fill(knowledge: Any, agent: str = "a", **documents: str) -> None:
    for source, text in (documents or SALON).items():
        await knowledge.add(text, source=source, agent=agent)


async def test_scores_are_those_of_sqlite(knowledge: PostgresKnowledge) -> None:
    other = SqliteKnowledge()
    for one in (knowledge, other):
        await fill(one)
        await fill(one, "b", only="haircut haircut")
    for query in QUERIES:
        found = [await one.search(query, top_k=3, agent="a") for one in (knowledge, other)]
        assert [(one.text, one.source) for one in found[0]] == [(one.text, one.source) for one in found[1]], query
        assert [one.score for one in found[0]] == pytest.approx([one.score for one in found[1]])
    other.close()


async def test_the_score_is_the_rare_words_share(knowledge: PostgresKnowledge) -> None:
    await fill(knowledge, a="apple pear", b="apple plum", c="apple fig", d="nothing")
    (best, *others) = await knowledge.of("a").search("apple pear grape", top_k=5)
    common, rare = math.log(1 + 4 / 3), math.log(1 + 4 / 1)
    assert (best.source, best.score) == ("a", pytest.approx((common + rare) / (common + 2 * rare)))
    assert [(one.source, one.score) for one in others] == [
        ("b", pytest.approx(common / (common + 2 * rare))),
        ("c", pytest.approx(common / (common + 2 * rare))),
    ]


async def test_of_equal_scores_the_shorter_passage_is_first(knowledge: PostgresKnowledge) -> None:
    await fill(
        knowledge, long="parking " + "and much else that is said here " * 10, short="parking, parking", c="parking x"
    )
    assert [one.source for one in await knowledge.search("parking", top_k=2, agent="a")] == ["short", "c"]


async def test_documents_are_listed_and_forgotten(knowledge: PostgresKnowledge) -> None:
    await fill(knowledge)
    await fill(knowledge, "b", only="parking")
    first, *_ = listed = await knowledge.documents(agent="a")
    assert [(one.source, one.passages) for one in listed] == [("hours", 1), ("parking", 1), ("prices", 1)]
    assert not await knowledge.remove(first.id, agent="b")
    assert await knowledge.remove(first.id, agent="a")
    assert not await knowledge.remove(first.id, agent="a")
    assert await knowledge.search("sundays", top_k=5, agent="a") == []
    assert len(await knowledge.search("parking", top_k=5, agent="b")) == 1


async def test_what_cannot_be_kept(knowledge: PostgresKnowledge) -> None:
    for text in ("", " \n", "a\0b", "\ud800"):
        with pytest.raises(ConfigError):
            await knowledge.add(text, source="x")
    await knowledge.add("x" * 5000 + " " + "語" * 5000, source="long words")
    assert [one.source for one in await knowledge.search("x" * 600, top_k=1)] == ["long words"]


async def test_many_may_use_it_at_once(knowledge: PostgresKnowledge) -> None:
    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(lambda n: knowledge.add(f"apple number{n}", source=str(n), agent="a"), number)
    assert len(await knowledge.documents(agent="a")) == 10
    assert len(await knowledge.search("apple", top_k=50, agent="a")) == 10


async def test_what_is_opened(postgres_url: str, tmp_path: Path) -> None:
    for url in ("sqlite://", f"sqlite:///{tmp_path}/patter.db", postgres_url):
        store, knowledge = open_store(url)
        await knowledge.add("We open at nine.", source="hours", agent="a")
        assert [one.source for one in await knowledge.of("a").search("open", top_k=1)] == ["hours"]
        assert (await store.read()).agents == ()
        if isinstance(knowledge, SqliteKnowledge):
            knowledge.close()
        await store.close()


async def test_an_id_that_postgres_cannot_keep_is_one_that_is_not_there(knowledge: PostgresKnowledge) -> None:
    await fill(knowledge)
    assert not await knowledge.remove("\0", agent="a")
    assert not await knowledge.remove("\ud800", agent="a")
    assert len(await knowledge.documents(agent="a")) == len(SALON)
