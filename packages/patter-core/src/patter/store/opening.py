"""The stores of one address: agents and tools, and the documents that agents look things up in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.store.address import StoreAddress
from patter.store.knowledge import SqliteKnowledge
from patter.store.postgres_knowledge import PostgresKnowledge
from patter.store.sql import SqlStore

if TYPE_CHECKING:
    from patter.store.base import ToolStore
    from patter.store.knowledge import KnowledgeBase

__all__ = ["open_store"]


def open_store(url: str = "sqlite://") -> tuple[ToolStore, KnowledgeBase]:
    """What is kept at an address, such as ``sqlite:///patter.db``; see `patter.store.sql.SqlStore`.

    Nothing is opened before it is used. Both are closed by whoever asked for them.

    Raises:
        ConfigError: the address is none, or a package is missing that it needs.
    """
    address = StoreAddress.of(url)
    store = SqlStore(url)
    return store, PostgresKnowledge(store) if address.kind == "postgres" else SqliteKnowledge(address.path)
