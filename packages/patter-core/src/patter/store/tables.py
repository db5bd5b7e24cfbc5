"""The tables of agents and tools, the same in SQLite and Postgres, and what is done to them inside a transaction."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Dialect,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from patter.errors import ConfigError, NameTaken
from patter.store.base import AgentRecord, Holdings
from patter.tools.model import Tool
from patter.tools.shapes import settings_of

__all__ = ["METADATA", "SCHEMA", "Shelf", "state"]

T = TypeVar("T")

SCHEMA = 1
"""Another number when the tables change."""

_WORKSPACE = ""
"""The agent of the workspace's own tools: of two empty ones, SQL would not say that they are the same."""

_log = logging.getLogger("patter")


class _Utc(TypeDecorator[datetime]):
    """A moment; SQLite keeps none with a time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: Any) -> Callable[[Any], datetime | None] | None:
        """What is no moment is None: one such value shall not hide the other rows of a reading."""
        process: Callable[[Any], datetime | None] | None = super().result_processor(dialect, coltype)

        def moment(value: Any) -> datetime | None:
            try:
                return process(value) if process is not None else value
            except (ValueError, TypeError, OverflowError):
                return None

        return moment


_Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts in a column of this very type alone

METADATA = MetaData()

state = Table(
    "patter_state",
    METADATA,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("schema", Integer, nullable=False),
    Column("version", BigInteger, nullable=False),
)
_agents = Table(
    "patter_agents",
    METADATA,
    Column("number", _Number, primary_key=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("name", Text, nullable=False, unique=True),
    Column("system_prompt", Text),
    Column("first_message", Text),
    Column("tools", Text, nullable=False),
    Column("created_at", _Utc, nullable=False),
    Column("updated_at", _Utc, nullable=False),
)
_tools = Table(
    "patter_tools",
    METADATA,
    Column("number", _Number, primary_key=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("agent", String(36), nullable=False),
    Column("name", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", _Utc, nullable=False),
    Column("updated_at", _Utc, nullable=False),
    UniqueConstraint("agent", "name"),
)


class Shelf:
    """What lies in the tables. Its methods take the connection of a transaction, and run in any thread."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, Tool | None]] = {}

    def version(self, connection: Connection) -> int:
        return int(connection.execute(select(state.c.version)).scalar_one())

    def read(self, connection: Connection) -> Holdings:
        version = self.version(connection)
        agents = connection.execute(select(_agents).order_by(_agents.c.number)).all()
        rows = connection.execute(select(_tools).order_by(_tools.c.number)).all()
        return Holdings(version, tuple(_agents_of(agents)), tuple(self._tools(rows)))

    def create_agent(self, connection: Connection, record: AgentRecord) -> AgentRecord:
        with _unique(f"There is an agent named {record.name} already."):
            connection.execute(insert(_agents).values(id=record.id, **_agent_values(record)))
        return record

    def update_agent(
        self, connection: Connection, id_: str, change: Callable[[AgentRecord], AgentRecord]
    ) -> AgentRecord | None:
        row = connection.execute(select(_agents).where(_agents.c.id == id_)).one_or_none()
        if row is None:
            return None
        before = _agent_of(row)
        after = replace(
            change(before), id=before.id, created_at=before.created_at, updated_at=_after(before.updated_at)
        )
        with _unique(f"There is an agent named {after.name} already."):
            connection.execute(update(_agents).where(_agents.c.id == id_).values(**_agent_values(after)))
        return after

    def delete_agent(self, connection: Connection, id_: str) -> bool:
        if not connection.execute(delete(_agents).where(_agents.c.id == id_)).rowcount:
            return False
        connection.execute(delete(_tools).where(_tools.c.agent == id_))
        return True

    def create_tool(self, connection: Connection, tool: Tool) -> Tool:
        now = datetime.now(UTC)
        kept = tool.model_copy(update={"id": uuid4(), "created_at": now, "updated_at": now})
        with _unique(_taken(kept)):
            connection.execute(insert(_tools).values(id=str(kept.id), agent=_agent(kept.agent_id), **_values(kept)))
        return kept

    def update_tool(
        self, connection: Connection, agent: str | None, id_: str, change: Callable[[Tool], Tool]
    ) -> Tool | None:
        here = (_tools.c.id == id_) & (_tools.c.agent == _agent(agent))
        row = connection.execute(select(_tools).where(here)).one_or_none()
        if row is None:
            return None
        before = _tool_of(row)
        own = {"id": before.id, "agent_id": before.agent_id, "created_at": before.created_at}
        after = change(before).model_copy(update=own | {"updated_at": _after(row.updated_at)})
        with _unique(_taken(after)):
            connection.execute(update(_tools).where(here).values(**_values(after)))
        return after

    def delete_tool(self, connection: Connection, agent: str | None, id_: str) -> bool:
        here = (_tools.c.id == id_) & (_tools.c.agent == _agent(agent))
        return connection.execute(delete(_tools).where(here)).rowcount > 0

    def _tools(self, rows: Iterable[Row[Any]]) -> Iterable[Tool]:
        """The tools of the rows. What has not changed is not read anew; what cannot be read is left out."""
        known, found = self._known, {}
        for row in rows:
            entry = known.get(row.id)
            if entry is None or entry[0] != row:
                entry = (row, _readable(row, "tool", _tool_of))
            found[row.id] = entry
            if entry[1] is not None:
                yield entry[1]
        self._known = found


class _unique:
    """The database's word for a name that is there already, as `NameTaken`."""

    def __init__(self, message: str) -> None:
        self._message = message

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, IntegrityError):
            raise NameTaken(self._message) from None


def _agents_of(rows: Iterable[Row[Any]]) -> Iterable[AgentRecord]:
    """The agents of the rows; what cannot be read is left out."""
    for row in rows:
        if (agent := _readable(row, "agent", _agent_of)) is not None:
            yield agent


def _agent_of(row: Row[Any]) -> AgentRecord:
    texts = (row.id, row.name, row.system_prompt or "", row.first_message or "", *(tools := json.loads(row.tools)))
    if not isinstance(tools, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("it holds what is no text")
    _check_moments(row)
    return AgentRecord(
        id=row.id,
        name=row.name,
        system_prompt=row.system_prompt,
        first_message=row.first_message,
        tools=tuple(tools),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _agent_values(record: AgentRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "system_prompt": record.system_prompt,
        "first_message": record.first_message,
        "tools": json.dumps(record.tools),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


def _tool_of(row: Row[Any]) -> Tool:
    _check_moments(row)
    own = {"id": UUID(row.id), "agent_id": row.agent or None}
    return Tool(**json.loads(row.body), **own, created_at=row.created_at, updated_at=row.updated_at)


def _values(tool: Tool) -> dict[str, Any]:
    if tool.tool_type == "handler":
        raise ConfigError(f"Tool {tool.name}: a handler lives in this process and cannot be stored.")
    return {
        "name": tool.name,
        "body": json.dumps(settings_of(tool), allow_nan=False),
        "created_at": tool.created_at,
        "updated_at": tool.updated_at,
    }


def _check_moments(row: Row[Any]) -> None:
    if row.created_at is None or row.updated_at is None:
        raise ValueError("it holds what is no moment")


def _readable(row: Row[Any], kind: str, read: Callable[[Row[Any]], T]) -> T | None:
    try:
        return read(row)
    except Exception as error:  # the boundary to what another program has written
        _log.warning(
            "The stored %s %s (id %s) cannot be read and is left out: %s Delete it, or store it anew.",
            kind,
            row.name,
            row.id,
            error if isinstance(error, ConfigError) else f"{type(error).__name__}.",
        )
        return None


def _agent(agent: str | None) -> str:
    return _WORKSPACE if agent is None else agent


def _taken(tool: Tool) -> str:
    return f"{'The workspace' if tool.agent_id is None else 'The agent'} has a tool named {tool.name} already."


def _after(moment: datetime) -> datetime:
    """Now, and not before what was before."""
    return max(datetime.now(UTC), moment)
