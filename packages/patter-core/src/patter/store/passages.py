"""The tables of documents in Postgres, and what is done to them inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    case,
    delete,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from patter.store.knowledge import Document, Passage
from patter.store.words import words

__all__ = ["TABLES", "add", "documents", "remove", "search"]

_WORD_CHARS = 100
"""An index of Postgres holds no entry of any length."""

_PARTS = 1_000_000_000
"""Weights are whole numbers of these, so that equal scores are equal."""

TABLES = MetaData()

_documents = Table(
    "patter_documents",
    TABLES,
    Column("number", BigInteger, primary_key=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("agent", Text, nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("passages", Integer, nullable=False),
)
_passages = Table(
    "patter_passages",
    TABLES,
    Column("number", BigInteger, primary_key=True),
    Column("document", ForeignKey(_documents.c.number, ondelete="CASCADE"), nullable=False, index=True),
    Column("agent", Text, nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("words", ARRAY(Text), nullable=False),
)
Index("patter_passages_words", _passages.c.words, postgresql_using="gin")


def add(connection: Connection, document: Document, pieces: Sequence[str], agent: str) -> Document:
    row = {"id": document.id, "agent": agent, "source": document.source, "passages": document.passages}
    number = connection.execute(insert(_documents).values(row).returning(_documents.c.number)).scalar_one()
    rows = [{"document": number, "agent": agent, "text": text, "words": _indexed(words(text))} for text in pieces]
    connection.execute(insert(_passages), rows)
    return document


def documents(connection: Connection, agent: str) -> list[Document]:
    found = select(_documents.c.id, _documents.c.source, _documents.c.passages).where(_documents.c.agent == agent)
    return [Document(*row) for row in connection.execute(found.order_by(_documents.c.number))]


def remove(connection: Connection, id_: str, agent: str) -> bool:
    its = (_documents.c.id == id_) & (_documents.c.agent == agent)
    return connection.execute(delete(_documents).where(its)).rowcount > 0


def search(connection: Connection, sought: Sequence[str], top_k: int, agent: str) -> list[Passage]:
    own = _passages.c.agent == agent
    stands = [_passages.c.words.contains([word]) for word in _indexed(sought)]
    counts = [func.count().filter(one) for one in stands]
    size, *found_in = connection.execute(select(func.count(), *counts).where(own)).one()
    # A word that stands nowhere weighs as much as one that stands in one passage.
    weights = [round(_PARTS * log(1 + size / max(count, 1))) for count in found_in]
    score = sum(
        (case((one, literal(weight, BigInteger)), else_=0) for one, weight in zip(stands, weights, strict=True)),
        literal(0),
    )
    hits = (
        select(_passages.c.text, _documents.c.source, score.label("score"))
        .join(_documents, _documents.c.number == _passages.c.document)
        .where(own, _passages.c.words.overlap(_indexed(sought)))
        .order_by(score.desc(), func.cardinality(_passages.c.words), _passages.c.number)
        .limit(top_k)
    )
    whole = sum(weights) or 1
    return [Passage(text, source, round(part / whole, 9)) for text, source, part in connection.execute(hits)]


def _indexed(found: Sequence[str]) -> list[str]:
    return [word[:_WORD_CHARS] for word in found]
