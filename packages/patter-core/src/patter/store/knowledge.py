"""What agents can look up: the protocol of a retriever, and a knowledge base of documents in SQLite."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from heapq import nlargest
from math import isfinite, log, sqrt
from operator import itemgetter, mul
from pathlib import Path
from typing import Any, Protocol

import anyio.to_thread

from patter.errors import ConfigError
from patter.store.files import create_private, use_wal
from patter.store.troubles import of_file, of_sqlite
from patter.store.words import cut, query_words, words

__all__ = ["Document", "Embed", "KnowledgeBase", "Passage", "Retriever", "SqliteKnowledge"]

Embed = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]
"""Gives the vector of each text, all of one length."""

_WAIT_S = 5.0
"""So long is waited for another program that writes to the file."""

_BATCH = 64
"""So many texts are embedded at a time."""

_TABLES = """
CREATE TABLE IF NOT EXISTS knowledge_documents (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, agent TEXT NOT NULL, source TEXT NOT NULL,
    passages INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS knowledge_documents_of ON knowledge_documents (agent);
CREATE TABLE IF NOT EXISTS knowledge_passages (
    number INTEGER PRIMARY KEY, document INTEGER NOT NULL, agent TEXT NOT NULL, text TEXT NOT NULL, vector BLOB
);
CREATE INDEX IF NOT EXISTS knowledge_passages_of ON knowledge_passages (agent);
CREATE INDEX IF NOT EXISTS knowledge_passages_in ON knowledge_passages (document);
CREATE VIRTUAL TABLE IF NOT EXISTS knowledge_words USING fts5 (agent, word, tokenize = 'ascii');
"""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that answers a query.

    Args:
        text: the piece, as it stands in the document.
        source: where it is from, such as a file's name or an address.
        score: 0 (does not fit) to 1 (fits exactly); None if the retriever does not say.
    """

    text: str
    source: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Document:
    """A document that can be searched."""

    id: str
    source: str
    passages: int


class Retriever(Protocol):
    """What an agent looks things up in: its share of a `KnowledgeBase`, or any other search."""

    async def search(self, query: str, *, top_k: int) -> Sequence[Passage]:
        """The passages that fit a query best, the best first, at most ``top_k``."""


class KnowledgeBase(Protocol):
    """The documents of several agents, who see each their own."""

    async def add(self, text: str, *, source: str, agent: str = "") -> Document:
        """Make a document searchable."""

    async def documents(self, *, agent: str = "") -> list[Document]:
        """The documents of an agent, the oldest first."""

    async def remove(self, document_id: str, *, agent: str = "") -> bool:
        """Forget a document. False if the agent has no such document."""

    def of(self, agent: str) -> Retriever:
        """What one agent can look up."""

    def close(self) -> None:
        """Let go of files. It may block."""


class SqliteKnowledge:
    """A knowledge base in memory, or in one file. It may be used from any event loop and any thread.

    The score of a passage is the part of the query's words that stand in it, each weighed by how rare it is among the
    agent's passages; with ``embed`` it is the cosine of the vectors of query and passage, and every passage of
    the agent is compared, which suits a few thousand.

    Args:
        path: the file; None keeps everything in memory.
        embed: gives the vectors of texts. Documents that were added without it, or with another one, are not found.

    Raises:
        ConfigError: in its methods: the file is none of ours, or this Python's SQLite has no full-text search.
        StoreError: in its methods: the file cannot be read or written now.
    """

    def __init__(self, path: str | Path | None = None, *, embed: Embed | None = None) -> None:
        self._path = ":memory:" if path is None else str(path)
        self._embed = embed
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None

    async def add(self, text: str, *, source: str, agent: str = "") -> Document:
        """Make a document searchable, cut into passages.

        Raises:
            ConfigError: there is no text in it.
        """
        passages = await anyio.to_thread.run_sync(cut, text)
        if not passages:
            raise ConfigError("text: the document is empty.")
        for value in (text, source, agent):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ConfigError("text: the document or its source is no valid text; decode it anew.") from None
        vectors: list[bytes | None] = [None] * len(passages)
        if self._embed is not None:
            vectors = [_packed(vector) for vector in await self._vectors(passages)]
        return await anyio.to_thread.run_sync(partial(self._add, agent, source, passages, vectors))

    async def documents(self, *, agent: str = "") -> list[Document]:
        """The documents of an agent, the oldest first."""
        return await anyio.to_thread.run_sync(self._documents, agent)

    async def remove(self, document_id: str, *, agent: str = "") -> bool:
        """Forget a document. False if the agent has no such document."""
        return await anyio.to_thread.run_sync(self._remove, document_id, agent)

    async def search(self, query: str, *, top_k: int, agent: str = "") -> list[Passage]:
        """The passages of an agent that fit a query best, the best first, at most ``top_k``. Any text is a query."""
        if self._embed is None:
            find = partial(self._by_words, agent, query_words(query), top_k)
        else:
            (vector,) = await self._vectors([query])
            find = partial(self._by_vector, agent, _packed(vector), top_k)
        return await anyio.to_thread.run_sync(find, abandon_on_cancel=True)

    def of(self, agent: str) -> Retriever:
        """What one agent can look up."""
        return _Share(self, agent)

    def close(self) -> None:
        """Close the file. What was in memory alone is gone."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    # --- in threads ----------------------------------------------------------------------------

    @contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        """The database, for one thread at a time. What is written in the block is written whole or not at all."""
        with self._lock:
            if self._database is None:
                self._database = _open(self._path)
            try:
                with self._database:
                    yield self._database
            except sqlite3.Error as error:
                raise of_sqlite(error, self._path) from None

    def _add(self, agent: str, source: str, passages: list[str], vectors: list[bytes | None]) -> Document:
        document = Document(uuid.uuid4().hex, source, len(passages))
        tag = _tag(agent)
        with self._use() as database:
            row = (document.id, agent, source, len(passages))
            insert = "INSERT INTO knowledge_documents (id, agent, source, passages) VALUES (?, ?, ?, ?)"
            number = database.execute(insert, row).lastrowid
            insert = "INSERT INTO knowledge_passages (document, agent, text, vector) VALUES (?, ?, ?, ?)"
            for text, vector in zip(passages, vectors, strict=True):
                place = database.execute(insert, (number, agent, text, vector)).lastrowid
                entry = (place, tag, " ".join(words(text)))
                database.execute("INSERT INTO knowledge_words (rowid, agent, word) VALUES (?, ?, ?)", entry)
        return document

    def _documents(self, agent: str) -> list[Document]:
        with self._use() as database:
            select = "SELECT id, source, passages FROM knowledge_documents WHERE agent = ? ORDER BY number"
            return [Document(*row) for row in database.execute(select, [agent])]

    def _remove(self, document_id: str, agent: str) -> bool:
        with self._use() as database:
            select = "SELECT number FROM knowledge_documents WHERE id = ? AND agent = ?"
            if (found := database.execute(select, [document_id, agent]).fetchone()) is None:
                return False
            places = "SELECT number FROM knowledge_passages WHERE document = ?"
            database.execute(f"DELETE FROM knowledge_words WHERE rowid IN ({places})", found)
            database.execute("DELETE FROM knowledge_passages WHERE document = ?", found)
            database.execute("DELETE FROM knowledge_documents WHERE number = ?", found)
            return True

    def _by_words(self, agent: str, sought: list[str], top_k: int) -> list[Passage]:
        if not sought:
            return []
        # The words are letters and digits in quotation marks, so none of them is syntax.
        matches = [f'agent:"{_tag(agent)}" AND word:"{word}"' for word in sought]
        with self._use() as database:
            counting = "SELECT count(*) FROM knowledge_passages WHERE agent = ?"
            (size,) = database.execute(counting, [agent]).fetchone()
            if not size:
                return []
            counting = "SELECT count(*) FROM knowledge_words WHERE knowledge_words MATCH ?"
            found_in = [database.execute(counting, [match]).fetchone()[0] for match in matches]
            # A word that stands nowhere weighs as much as one that stands in one passage.
            weights = [log(1 + size / max(count, 1)) for count in found_in]
            hit = "SELECT rowid AS number, ? AS weight, rank AS fit FROM knowledge_words WHERE knowledge_words MATCH ?"
            values = [value for pair in zip(weights, matches, strict=True) for value in pair]
            hits = " UNION ALL ".join([hit] * len(matches))
            rows = database.execute(
                f"SELECT p.text, d.source, sum(weight) AS score FROM ({hits}) AS hit "
                "JOIN knowledge_passages AS p ON p.number = hit.number "
                "JOIN knowledge_documents AS d ON d.number = p.document "
                "GROUP BY p.number ORDER BY round(score, 9) DESC, sum(fit), p.number LIMIT ?",
                [*values, top_k],
            ).fetchall()
        return [Passage(text, source, round(score / sum(weights), 9)) for text, source, score in rows]

    def _by_vector(self, agent: str, sought: bytes, top_k: int) -> list[Passage]:
        wanted = array("f", sought)
        with self._use() as database:
            rows = database.execute(
                "SELECT p.text, d.source, p.vector FROM knowledge_passages AS p "
                "JOIN knowledge_documents AS d ON d.number = p.document "
                "WHERE p.agent = ? AND length(p.vector) = ? ORDER BY p.number",
                [agent, len(sought)],
            ).fetchall()
        scored = ((text, source, sum(map(mul, wanted, array("f", vector)))) for text, source, vector in rows)
        best = nlargest(top_k, scored, key=itemgetter(2))
        return [Passage(text, source, max(0.0, min(1.0, score))) for text, source, score in best]

    async def _vectors(self, texts: Sequence[str]) -> list[Sequence[float]]:
        assert self._embed is not None
        vectors: list[Sequence[float]] = []
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            made = await self._embed(batch)
            if len(made) != len(batch):
                raise ConfigError(
                    f"embed: it gave {len(made)} vectors for {len(batch)} texts; it must give one for each."
                )
            vectors += made
        return vectors


@dataclass(frozen=True, slots=True)
class _Share:
    knowledge: SqliteKnowledge
    agent: str

    async def search(self, query: str, *, top_k: int) -> Sequence[Passage]:
        return await self.knowledge.search(query, top_k=top_k, agent=self.agent)


def _open(path: str) -> sqlite3.Connection:
    try:
        if path != ":memory:":
            create_private(path)
        database = sqlite3.connect(path, timeout=_WAIT_S, check_same_thread=False)
    except OSError as error:
        raise of_file(error, path) from None
    except sqlite3.Error as error:
        raise of_sqlite(error, path) from None
    try:
        if path != ":memory:":
            use_wal(database, _WAIT_S)
        database.executescript(_TABLES)
    except sqlite3.Error as error:
        database.close()
        if "fts5" in str(error):
            raise ConfigError("This Python's SQLite has no FTS5. Pass a retriever of your own in its place.") from None
        if getattr(error, "sqlite_errorname", "") == "SQLITE_NOTADB":
            raise ConfigError(f"The knowledge base {path} cannot be opened: {error}. Give another path.") from None
        raise of_sqlite(error, path) from None
    return database


def _tag(agent: str) -> str:
    """An agent's name as one word of the index."""
    return "a" + blake2b(agent.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _packed(vector: Sequence[Any]) -> bytes:
    """A vector of length 1, so that the cosine of two is their product."""
    values = [float(value) for value in vector]
    length = sqrt(sum(value * value for value in values))
    if not values or not isfinite(length):
        raise ConfigError("embed: a vector must be a list of finite numbers that is not empty.")
    return array("f", [value / length for value in values] if length else values).tobytes()
