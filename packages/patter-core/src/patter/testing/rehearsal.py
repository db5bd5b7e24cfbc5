"""A rehearsal: the carrier and the vendors on this machine, for a program that is written for the real ones.

The program stays as it is. Its environment leads it here, and its calls are answered by a persona::

    python -m patter.testing.rehearsal my_program.py

    async with Rehearsal("salon") as rehearsal:  # or in a test
        await anyio.run_process([sys.executable, "my_program.py"], env={**os.environ, **rehearsal.env})

The program's server has to listen on the port that the environment names in ``PORT``. What is said
is carried as data tones, exact to the word.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from patter.local.callee import Callee, DialedCall
from patter.local.dialogue import Persona
from patter.local.exchange import Exchange, Timings
from patter.local.personas import persona as find_persona
from patter.local.voices import pick
from patter.testing.emulators.vendors import Vendors

__all__ = ["Rehearsal"]


class Rehearsal:
    """Enter it to start the exchange and the vendors. ``exchange`` and ``vendors`` have their records and knobs.

    Args:
        callee: who answers: a persona, by name or as a script of your own, or a function that makes the
            callee of each call.
        webhook_host: the public host name of the program under test.
        timings: how fast the telephone network is.
    """

    phone_number = "+15550001234"
    _tasks: TaskGroup

    def __init__(
        self,
        callee: str | Persona | Callable[[DialedCall], Callee] = "salon",
        *,
        webhook_host: str = "api.example.com",
        timings: Timings | None = None,
    ) -> None:
        self.vendors = Vendors()
        self.webhook_host = webhook_host
        self.port = _free_port()
        """Where the program under test must listen."""
        self.exchange = Exchange(
            callee=find_persona(callee) if isinstance(callee, str) else callee,
            voice=pick("tones", role="callee", phrases=()),
            timings=timings,
            hosts={webhook_host: f"127.0.0.1:{self.port}"},
        )
        self._origin = ""

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that lead a program here."""
        vendors = self.vendors
        return {
            "TWILIO_ACCOUNT_SID": self.exchange.account_sid,
            "TWILIO_AUTH_TOKEN": self.exchange.auth_token,
            "TWILIO_BASE_URL": self._origin,
            "TWILIO_PHONE_NUMBER": self.phone_number,
            "PATTER_WEBHOOK_URL": self.webhook_host,
            "PORT": str(self.port),
            "DEEPGRAM_API_KEY": vendors.deepgram.api_key,
            "DEEPGRAM_BASE_URL": vendors.deepgram.base_url,
            "OPENAI_API_KEY": vendors.openai.api_key,
            "OPENAI_BASE_URL": vendors.openai.base_url,
            "ANTHROPIC_API_KEY": vendors.anthropic.api_key,
            "ANTHROPIC_BASE_URL": vendors.anthropic.base_url,
            "ELEVENLABS_API_KEY": vendors.elevenlabs.api_key,
            "ELEVENLABS_BASE_URL": vendors.elevenlabs.base_url,
        }

    async def __aenter__(self) -> Self:
        await self.vendors.__aenter__()
        self._tasks = await anyio.create_task_group().__aenter__()
        self._origin = await self._tasks.start(self.exchange.serve)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)
        await self.vendors.__aexit__(None, None, None)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def _rehearse(program: list[str], persona: str) -> int:
    async with Rehearsal(persona) as rehearsal:
        done = await anyio.run_process(
            [sys.executable, *program], stdout=None, stderr=None, check=False, env={**os.environ, **rehearsal.env}
        )
    return done.returncode


def main() -> None:
    """Run a program in a rehearsal: ``python -m patter.testing.rehearsal [--persona NAME] PROGRAM [ARGUMENT ...]``."""
    parser = argparse.ArgumentParser(prog="python -m patter.testing.rehearsal", description=main.__doc__)
    parser.add_argument("--persona", default="salon", help="who answers the phone")
    parser.add_argument("program", nargs=argparse.REMAINDER, help="a Python file and its arguments")
    options = parser.parse_args()
    if not options.program:
        parser.error("which program?")
    sys.exit(anyio.run(_rehearse, options.program, options.persona))


if __name__ == "__main__":
    main()
