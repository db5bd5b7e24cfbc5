"""The MCP server of the phone over standard input and output, which carry the protocol and nothing else.

Two threads copy between the standard descriptors and sockets of our own. What the SDK waits for is then
a socket, which can be closed: it reads in a thread that a blocked standard input would keep for ever.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import anyio

from patter.exports.base import load

__all__ = ["StandardWire", "serve_stdio"]

_SEND_S = 10.0
"""A client that does not read for so long is gone."""
_FLUSH_S = 2.0
_CHUNK = 65536


class StandardWire:
    """Standard input and output as the two ends of a protocol, while it is entered.

    Meanwhile what programs print goes to standard error, and child processes read nothing.
    """

    def __enter__(self) -> Self:
        sys.stdout.flush()
        self._stdout = sys.stdout
        self._wire_in, self._wire_out = os.dup(0), os.dup(1)
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self._to_us, self._ours_in = socket.socketpair()
        self._ours_out, self._from_us = socket.socketpair()
        self._ours_out.settimeout(_SEND_S)
        self.reader = self._ours_in.makefile("r", encoding="utf-8", errors="replace")
        """What the client sends."""
        self.writer = self._ours_out.makefile("w", encoding="utf-8", newline="\n")
        """What the client gets."""
        threading.Thread(target=self._read, name="patter-stdin", daemon=True).start()
        self._flushing = threading.Thread(target=self._write, name="patter-stdout", daemon=True)
        self._flushing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        with suppress(OSError):
            self._ours_out.shutdown(socket.SHUT_WR)
        self._flushing.join(_FLUSH_S)
        # A thread may still be blocked on the duplicates: they stay open.
        os.dup2(self._wire_in, 0)
        os.dup2(self._wire_out, 1)
        sys.stdout = self._stdout
        with suppress(OSError):
            self.writer.close()
        self.reader.close()
        for end in (self._to_us, self._ours_in, self._ours_out, self._from_us):
            end.close()

    def close(self) -> None:
        """End the input, from any thread; what was written before still goes out."""
        with suppress(OSError):
            self._to_us.shutdown(socket.SHUT_WR)

    def _read(self) -> None:
        with suppress(OSError):
            while chunk := os.read(self._wire_in, _CHUNK):
                self._to_us.sendall(chunk)
        self.close()

    def _write(self) -> None:
        try:
            while chunk := self._from_us.recv(_CHUNK):
                while chunk:
                    chunk = chunk[os.write(self._wire_out, chunk) :]
        except OSError:  # nobody reads any more
            with suppress(OSError):
                self._from_us.shutdown(socket.SHUT_RDWR)
            self.close()


async def serve_stdio(server: Any, wire: StandardWire) -> None:
    """Serve until the client closes its end. Calls that are going on then are hung up."""
    stdio = load("mcp.server.stdio", extra="mcp")
    # run_stdio_async() takes the standard descriptors only.
    lowlevel = getattr(server, "_lowlevel_server", None) or server._mcp_server
    with suppress(OSError):
        try:
            async with stdio.stdio_server(anyio.wrap_file(wire.reader), anyio.wrap_file(wire.writer)) as (read, write):
                await lowlevel.run(read, write, lowlevel.create_initialization_options())
        except* OSError as broken:  # the client does not read any more
            raise broken.exceptions[0] from None
