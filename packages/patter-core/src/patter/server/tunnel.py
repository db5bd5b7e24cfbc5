"""A tunnel from the internet to this machine, for development: cloudflared's, which needs no account."""

from __future__ import annotations

import logging
import re
import shutil
from subprocess import DEVNULL, PIPE

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import Process, TaskStatus
from anyio.streams.text import TextReceiveStream

from patter.errors import ConfigError

__all__ = ["tunnel"]

_PROGRAM = "cloudflared"
_ADDRESS = re.compile(r"https://[a-z0-9-]+\.trycloudflare\.com")
_OPEN_S = 30.0
_STOP_S = 2.0
_TAIL_CHARS = 500

_log = logging.getLogger("patter")


async def tunnel(port: int, *, task_status: TaskStatus[str] = TASK_STATUS_IGNORED) -> None:
    """Lead a public address to a port of this machine until cancelled; ``task_status`` is told the address.

    Raises:
        ConfigError: cloudflared is not installed, or opens no tunnel within 30 s.
    """
    if (program := shutil.which(_PROGRAM)) is None:
        raise ConfigError(f"tunnel=True needs {_PROGRAM}, and it is not installed. Install it, or pass webhook_url=.")
    command = [program, "tunnel", "--no-autoupdate", "--url", f"http://127.0.0.1:{port}"]
    process = await anyio.open_process(command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
    try:
        assert process.stderr is not None
        lines = TextReceiveStream(process.stderr, errors="replace")
        address = await _address(lines)
        _log.warning("The phone is reached at %s, a tunnel for development. In production, pass webhook_url=.", address)
        task_status.started(address)
        async for _ in lines:  # it blocks when nobody reads what it says
            pass
        _log.error("%s has ended; the carrier cannot reach this phone any more. Start the phone again.", _PROGRAM)
    finally:
        with anyio.CancelScope(shield=True):
            await _stop(process)


async def _address(lines: TextReceiveStream) -> str:
    said = ""
    with anyio.move_on_after(_OPEN_S):
        async for piece in lines:
            said += piece
            if found := _ADDRESS.search(said):
                return found[0]
    raise ConfigError(f"{_PROGRAM} has opened no tunnel. It said last: {said[-_TAIL_CHARS:].strip() or 'nothing'}")


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        with anyio.move_on_after(_STOP_S):
            await process.wait()
    if process.returncode is None:
        process.kill()
    await process.aclose()
