"""What is found, how well it fits, and for whom."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.errors import ConfigError, StoreError
from patter.store.knowledge import SqliteKnowledge
from patter.store.words import PASSAGE_CHARS, cut, query_words, words

pytestmark = pytest.mark.anyio

SALON = {
    "hours": "We open at nine and close at six. On Sundays the salon stays shut.",
    "parking": "Free parking is behind the house, beside the bakery.",
    "prices": "A haircut costs 40 euros, a beard trim 15 euros.",
}


@pytest.fixture
def knowledge() -> Iterator[SqliteKnowledge]:
    knowledge = SqliteKnowledge()
    yield knowledge
    knowledge.close()


async def fill(knowledge: SqliteKnowledge, agent: str = "", **documents: str) -> None:
    for source, text in (documents or SALON).items():
        await knowledge.add(text, source=source, agent=agent)


async def sources(knowledge: Any, query: str, top_k: int = 5, **options: Any) -> list[str]:
    return [passage.source for passage in await knowledge.search(query, top_k=top_k, **options)]


# --- the score -------------------------------------------------------------------------------------


async def test_the_passage_with_all_words_has_score_one(knowledge: SqliteKnowledge) -> None:
    await fill(knowledge)
    best, *others = await knowledge.search("How much is a haircut in euros?", top_k=5)
    assert (best.source, best.text, best.score) == ("prices", SALON["prices"], 1.0)
    assert not others


async def test_the_score_is_the_rare_words_share(knowledge: SqliteKnowledge) -> None:
    await fill(knowledge, a="apple pear", b="apple plum", c="apple fig", d="nothing")
    (best, *others) = await knowledge.search("apple pear grape", top_k=5)
    common, rare = math.log(1 + 4 / 3), math.log(1 + 4 / 1)
    assert (best.source, best.score) == ("a", pytest.approx((common + rare) / (common + 2 * rare)))
    assert [(one.source, one.score) for one in others] == [
        ("b", pytest.approx(common / (common + 2 * rare))),
        ("c", pytest.approx(common / (common + 2 * rare))),
    ]


async def test_of_equal_scores_the_denser_passage_is_first(knowledge: SqliteKnowledge) -> None:
    await fill(knowledge, long="parking " + "and much else that is said here " * 10, short="parking, parking, parking")
    assert await sources(knowledge, "parking") == ["short", "long"]


async def test_no_more_than_top_k(knowledge: SqliteKnowledge) -> None:
    await fill(knowledge, **{f"d{number}": "the same apple" for number in range(8)})
    assert await sources(knowledge, "apple", 3) == ["d0", "d1", "d2"]


@pytest.mark.parametrize(
    "query",
    ["Öffnungszeiten", "öffnungszeiten", "ÖFFNUNGSZEITEN", "Oeffnungszeiten", "offnungszeit", "O\u0308ffnungszeiten"],
)
async def test_case_umlauts_and_endings_do_not_matter(knowledge: SqliteKnowledge, query: str) -> None:
    await fill(knowledge, hours="Öffnungszeiten: montags bis freitags.", street="Große Straße 5")
    assert await sources(knowledge, query) == ["hours"]
    assert await sources(knowledge, "GROSSE STRASSE") == ["street"]


@pytest.mark.parametrize(("query", "source"), [("цены", "ru"), ("ЦЕНЫ", "ru"), ("営業時間", "ja"), ("time is", "en")])
async def test_other_scripts_are_words_too(knowledge: SqliteKnowledge, query: str, source: str) -> None:
    await fill(knowledge, ru="Наши цены", ja="営業時間は九時から", en="The time now")
    assert await sources(knowledge, query) == [source]


async def test_articles_and_question_words_do_not_count(knowledge: SqliteKnowledge) -> None:
    await fill(knowledge)
    (best, *_) = await knowledge.search("Could you please tell me what the parking is like?", top_k=1)
    assert (best.source, best.score) == ("parking", pytest.approx(0.5))  # parking, like
    assert query_words("What does the parking cost?") == words("parking cost")
    assert query_words("Was kostet für uns das Parken?") == words("kostet Parken")
    assert query_words("Who are you?") == words("who are you")  # nothing else is there


# --- any text is a query ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        '"',
        '"haircut',
        "haircut AND",
        "NEAR(haircut",
        "word:haircut",
        "haircut*",
        "^haircut",
        "{agent}:haircut",
        "-",
        "'",
        # and whole queries of it
        "haircut OR parking NOT hours",
        "haircut; DROP TABLE knowledge_words",
        "(haircut)",
        "\x00haircut",
        "\ud800haircut",
    ],
)
async def test_the_syntax_of_searches_is_only_text(knowledge: SqliteKnowledge, query: str) -> None:
    await fill(knowledge)
    found = await sources(knowledge, query)
    assert found[:1] == (["prices"] if "haircut" in query and "OR" not in query else found[:1])
    assert await sources(knowledge, "parking") == ["parking"]


FULL = SqliteKnowledge()
anyio.run(fill, FULL)


@settings(max_examples=150)
@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["haircut", '"', "*", "NEAR(", "AND", ":", "parking"])).map(" ".join)
)
def test_any_text_is_a_query(query: str) -> None:
    found = anyio.run(lambda: FULL.search(query, top_k=3))
    scores = [passage.score for passage in found]
    assert all(0 < score <= 1 for score in scores)
    assert scores == sorted(scores, reverse=True)


# --- agents and documents --------------------------------------------------------------------------


async def test_agents_see_their_own_documents_alone(knowledge: SqliteKnowledge) -> None:
    await fill(knowledge, "anna", mine="the apple of Anna")
    await fill(knowledge, "bob", yours="the apple of Bob", other="a pear")
    assert await sources(knowledge.of("anna"), "apple pear") == ["mine"]
    assert await sources(knowledge.of("bob"), "apple") == ["yours"]
    assert await sources(knowledge.of("carl"), "apple") == []
    assert await sources(knowledge, "apple") == []
    # How rare a word is does not tell of the others' documents either.
    (found,) = await knowledge.of("anna").search("apple pear", top_k=5)
    assert found.score == pytest.approx(0.5)


async def test_documents_are_listed_and_removed(knowledge: SqliteKnowledge) -> None:
    await fill(knowledge, "anna")
    hours, parking, prices = await knowledge.documents(agent="anna")
    assert (hours.source, parking.source, prices.source) == ("hours", "parking", "prices")
    assert hours.passages == 1
    assert await knowledge.documents(agent="bob") == []
    assert not await knowledge.remove(hours.id, agent="bob")
    assert not await knowledge.remove("unknown", agent="anna")
    assert await knowledge.remove(hours.id, agent="anna")
    assert not await knowledge.remove(hours.id, agent="anna")
    assert await sources(knowledge.of("anna"), "Sundays") == []
    assert await sources(knowledge.of("anna"), "parking") == ["parking"]
    assert await knowledge.documents(agent="anna") == [parking, prices]


async def test_what_was_removed_is_as_if_it_had_never_been(knowledge: SqliteKnowledge) -> None:
    await fill(knowledge, a="apple pear", b="pear")
    for _ in range(3):
        removed = await knowledge.add("apple again", source="removed")
        await knowledge.remove(removed.id)
    (found,) = await knowledge.search("apple plum", top_k=5)
    assert found.score == pytest.approx(0.5)  # apple is as rare as what stands nowhere


@pytest.mark.parametrize(("text", "source"), [("", "a"), (" \n\n ", "a"), ("a \ud800", "a"), ("a", "\ud800")])
async def test_what_is_no_text_is_refused(knowledge: SqliteKnowledge, text: str, source: str) -> None:
    with pytest.raises(ConfigError, match="text: "):
        await knowledge.add(text, source=source)
    assert await knowledge.documents() == []


async def test_a_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.db"
    first = SqliteKnowledge(path)
    await fill(first)
    first.close()
    again = SqliteKnowledge(path)
    assert await sources(again, "parking") == ["parking"]
    again.close()


async def test_nothing_is_written_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knowledge: SqliteKnowledge
) -> None:
    monkeypatch.chdir(tmp_path)
    await fill(knowledge)
    assert await sources(knowledge, "parking")
    assert not os.listdir(tmp_path)


async def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)
    with pytest.raises(ConfigError, match="cannot be opened"):
        await SqliteKnowledge(path).documents()
    assert path.read_text().startswith("not a database")


async def test_a_file_that_cannot_be_used_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    knowledge = SqliteKnowledge(tmp_path / "data" / "patter.db")
    with pytest.raises(StoreError, match="Create its folder"):
        await knowledge.documents()
    (tmp_path / "data").mkdir()
    await fill(knowledge)
    with closing(sqlite3.connect(tmp_path / "data" / "patter.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("patter.store.knowledge._WAIT_S", 0.05)
        waiting = SqliteKnowledge(tmp_path / "data" / "patter.db")
        with pytest.raises(StoreError, match="it is locked by another program"):
            await waiting.add("apple", source="a")
        other.execute("ROLLBACK")
    await waiting.add("apple", source="a")
    assert await sources(knowledge, "apple") == ["a"]
    knowledge.close()
    waiting.close()


async def test_it_lives_beside_other_tables(tmp_path: Path) -> None:
    path = tmp_path / "patter.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE documents (mine TEXT)")
    database.close()
    knowledge = SqliteKnowledge(path)
    await fill(knowledge)
    assert await sources(knowledge, "parking") == ["parking"]
    knowledge.close()


async def test_many_may_use_it_at_once(knowledge: SqliteKnowledge) -> None:
    found: list[str] = []

    async def use(number: int) -> None:
        await knowledge.add(f"apple number{number}", source=str(number))
        found.extend(await sources(knowledge, f"number{number}"))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(use, number)
    assert sorted(found, key=int) == [str(number) for number in range(20)]


def test_it_may_be_used_from_several_loops() -> None:
    knowledge = SqliteKnowledge()
    anyio.run(fill, knowledge)
    assert anyio.run(sources, knowledge, "parking") == ["parking"]
    knowledge.close()


# --- embeddings ------------------------------------------------------------------------------------

VECTORS = {"red": [2.0, 0, 0], "orange": [1.0, 1.0, 0], "blue": [0, 0, 3.0], "minus": [-1.0, 0, 0], "zero": [0, 0, 0]}


async def embed(texts: Sequence[str]) -> list[list[float]]:
    return [VECTORS[text] for text in texts]


async def test_with_embeddings_the_score_is_the_cosine() -> None:
    knowledge = SqliteKnowledge(embed=embed)
    await fill(knowledge, **{name: name for name in VECTORS})
    await fill(knowledge, "other", red="red")
    found = await knowledge.search("red", top_k=5)
    assert [(one.source, one.score) for one in found] == [
        ("red", pytest.approx(1)),
        ("orange", pytest.approx(1 / math.sqrt(2))),
        ("blue", 0),
        ("zero", 0),
        ("minus", 0),
    ]
    assert await sources(knowledge, "red", 1) == ["red"]
    knowledge.close()


async def test_documents_are_embedded_in_batches_that_are_small() -> None:
    batches: list[int] = []

    async def count(texts: Sequence[str]) -> list[list[float]]:
        batches.append(len(texts))
        return [[1.0, 2.0] for _ in texts]

    knowledge = SqliteKnowledge(embed=count)
    document = await knowledge.add("\n\n".join(f"{number} {'x' * 500}" for number in range(100)), source="long")
    assert document.passages == 100
    assert batches == [64, 36]
    knowledge.close()


@pytest.mark.parametrize("made", [[], [[1.0], [2.0]], [[]], [[math.nan]], [[math.inf, 1]]])
async def test_embeddings_that_are_none_are_refused(made: list[list[float]]) -> None:
    async def broken(texts: Sequence[str]) -> list[list[float]]:
        return made

    knowledge = SqliteKnowledge(embed=broken)
    with pytest.raises(ConfigError, match="embed: "):
        await knowledge.add("red", source="red")
    assert await knowledge.documents() == []
    knowledge.close()


async def test_documents_of_other_embeddings_are_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.db"
    plain = SqliteKnowledge(path)
    await fill(plain, plain="red")
    plain.close()

    async def short(texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, 0.0] for _ in texts]

    other = SqliteKnowledge(path, embed=short)
    await fill(other, short="red")
    other.close()
    knowledge = SqliteKnowledge(path, embed=embed)
    await fill(knowledge, long="red")
    assert await sources(knowledge, "red") == ["long"]
    knowledge.close()


# --- passages --------------------------------------------------------------------------------------


def test_short_paragraphs_stay_together() -> None:
    assert cut("Title\n\nOne line.\n\n\nAnother.") == ["Title\n\nOne line.\n\nAnother."]


def test_long_documents_are_cut_between_paragraphs_sentences_and_words() -> None:
    assert cut("aaa bbb.\n\nccc ddd.", longest=10) == ["aaa bbb.", "ccc ddd."]
    assert cut("Aaa bbb. Ccc ddd. E.", longest=12) == ["Aaa bbb.", "Ccc ddd. E."]
    assert cut("aaa bbb ccc", longest=8) == ["aaa bbb", "ccc"]
    assert cut("aaaaaaaaaa", longest=4) == ["aaaa", "aaaa", "aa"]


@given(st.text("ab .!?\n\u3000。é", max_size=400), st.integers(5, 40))
def test_cutting_loses_nothing_and_is_within_the_limit(text: str, longest: int) -> None:
    passages = cut(text, longest=longest)
    assert all(0 < len(passage) <= longest and passage == passage.strip() for passage in passages)
    assert "".join("".join(passages).split()) == "".join(text.split())


@given(st.text(max_size=300))
def test_cutting_by_default_loses_nothing(text: str) -> None:
    assert "".join("".join(cut(text * 20)).split()) == "".join((text * 20).split())
    assert all(len(passage) <= PASSAGE_CHARS for passage in cut(text * 20))


async def test_each_passage_of_a_long_document_is_found(knowledge: SqliteKnowledge) -> None:
    text = "\n\n".join(f"Chapter {number}. {'Filler words are here. ' * 20} Keyword{number}." for number in range(30))
    document = await knowledge.add(text, source="book")
    assert document.passages >= 30
    (found, *_) = await knowledge.search("keyword17", top_k=3)
    assert "Keyword17" in found.text
    assert len(found.text) <= PASSAGE_CHARS


@given(st.text(max_size=100))
def test_words_are_plain_letters_and_digits(text: str) -> None:
    assert all(word.isascii() and word.isalnum() for word in words(text))
    assert words(text.upper().lower()) == words(text.upper())
