"""A knowledge base of documents in Postgres, beside the agents and tools of a store."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio.to_thread

from patter.errors import ConfigError
from patter.store.knowledge import Document, Passage, Retriever
from patter.store.words import cut, query_words

if TYPE_CHECKING:
    from patter.store.database import Database
    from patter.store.sql import SqlStore

__all__ = ["PostgresKnowledge"]


class PostgresKnowledge:
    """A `patter.store.knowledge.KnowledgeBase` in the database of a store. It may be used from any event loop.

    The score of a passage is that of `patter.store.knowledge.SqliteKnowledge`: the part of the query's words that stand
    in it, each weighed by how rare it is among the agent's passages. Of equal ones the shorter passage is first.

    Args:
        store: one whose address is of Postgres; it is closed by its owner.

    Raises:
        StoreError: in its methods: the database cannot be read or written now.
    """

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    async def add(self, text: str, *, source: str, agent: str = "") -> Document:
        """Make a document searchable, cut into passages.

        Raises:
            ConfigError: there is no text in it, or some that Postgres cannot keep.
        """
        if not (pieces := await anyio.to_thread.run_sync(cut, text)):
            raise ConfigError("text: the document is empty.")
        document = Document(uuid.uuid4().hex, source, len(pieces))

        def add(database: Database) -> Document:
            from patter.store import passages

            return database.write(lambda c: passages.add(c, document, pieces, agent), tables=passages.TABLES)

        return await self._store.in_thread(add, is_write=True)

    async def documents(self, *, agent: str = "") -> list[Document]:
        """The documents of an agent, the oldest first."""

        def read(database: Database) -> list[Document]:
            from patter.store import passages

            return database.read(lambda c: passages.documents(c, agent), tables=passages.TABLES)

        return await self._store.in_thread(read)

    async def remove(self, document_id: str, *, agent: str = "") -> bool:
        """Forget a document. False if the agent has no such document."""

        def remove(database: Database) -> bool:
            from patter.store import passages

            return database.write(lambda c: passages.remove(c, document_id, agent), tables=passages.TABLES)

        if not document_id.isprintable():  # as our ids are; Postgres can keep neither a NUL nor half a character
            return False
        return await self._store.in_thread(remove, is_write=True)

    async def search(self, query: str, *, top_k: int, agent: str = "") -> list[Passage]:
        """The passages of an agent that fit a query best, the best first, at most ``top_k``. Any text is a query."""
        if not (sought := query_words(query)):
            return []

        def search(database: Database) -> list[Passage]:
            from patter.store import passages

            return database.read(lambda c: passages.search(c, sought, top_k, agent), tables=passages.TABLES)

        return await self._store.in_thread(search)

    def of(self, agent: str) -> Retriever:
        """What one agent can look up."""
        return _Share(self, agent)

    def close(self) -> None:
        """Nothing: the store has the connections."""


@dataclass(frozen=True, slots=True)
class _Share:
    knowledge: PostgresKnowledge
    agent: str

    async def search(self, query: str, *, top_k: int) -> Sequence[Passage]:
        return await self.knowledge.search(query, top_k=top_k, agent=self.agent)
