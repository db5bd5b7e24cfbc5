"""Which calls were asked for under which idempotency key, and what came of them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import anyio

from patter.errors import InvalidArguments

if TYPE_CHECKING:
    from patter.envelope import CallResult

__all__ = ["CallEntry", "MemoryCallStore"]

_REMEMBERED = 10_000


class CallEntry:
    """One key's call. Whoever opened it closes it; the others wait."""

    def __init__(self, wanted: object) -> None:
        self.wanted = wanted
        """What was asked for under the key."""
        self.result: CallResult | None = None
        self._closed = anyio.Event()

    def close(self, result: CallResult | None) -> None:
        """Enter the envelope, or None if nothing was dialled."""
        self.result = result
        self._closed.set()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    async def wait(self) -> CallResult | None:
        """The envelope, once there is one; None if nothing was dialled after all."""
        await self._closed.wait()
        return self.result


class MemoryCallStore:
    """Keys of this process, the oldest forgotten first. Used on one event loop; nothing is written to disk."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, CallEntry] = OrderedDict()

    def open(self, key: str, wanted: object) -> tuple[CallEntry, bool]:
        """The key's entry, and True if the caller is the first and must place the call.

        Raises:
            InvalidArguments: the key stands for another call.
        """
        entry = self._entries.get(key)
        if entry is not None and not (entry.closed and entry.result is None):
            if entry.wanted != wanted:
                problem = "it was used before, for a call with other arguments"
                raise InvalidArguments("idempotency_key", problem, "Use a key of its own for each call.")
            self._entries.move_to_end(key)
            return entry, False
        entry = self._entries[key] = CallEntry(wanted)
        while len(self._entries) > _REMEMBERED:
            oldest = next(iter(self._entries))
            if not self._entries[oldest].closed:
                break  # a live call is never forgotten
            del self._entries[oldest]
        return entry, True
