"""What a live call costs the phone's process: frames in and out, marks, pacing. The network is another process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from patter import Agent, Patter
from patter.call.switchboard import Switchboard  # noqa: F401 - imported before the clock starts
from patter.local.network import LocalCarrier
from patter.voice.base import Delta, Hearing, Message, Speech, ToolSpec
from patter.voice.clausewise import ClausewiseVoice

CALLS = 10
SECONDS = 15

NETWORK = """
import anyio, sys
from patter.local.callee import PersonaCallee
from patter.local.dialogue import Wait, scripted
from patter.local.exchange import Exchange, Timings
from patter.local.voices import pick

callee = lambda dialed: PersonaCallee(scripted(Wait(600)), *pick("tones", role="callee", phrases=()))

async def main():
    exchange = Exchange(callee=callee, timings=Timings.quick(), keep_audio=False)
    async with anyio.create_task_group() as tasks:
        origin = await tasks.start(exchange.serve)
        print(origin, exchange.account_sid, exchange.auth_token, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


class Deaf:
    """Ears that take the audio and hear nothing."""

    model = "local/deaf"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Any]:
        yield self

    async def send(self, audio: bytes) -> None:
        pass

    async def finish(self) -> None:
        pass

    def __aiter__(self) -> AsyncIterator[Hearing]:
        return self

    async def __anext__(self) -> Hearing:
        await anyio.sleep_forever()
        raise StopAsyncIteration


class Talker:
    """A mind that says one long thing."""

    model = "local/talker"

    @asynccontextmanager
    async def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncIterator[Any]:
        async def deltas() -> AsyncIterator[Delta]:
            yield "And on. " * 200

        yield deltas()


class Hum:
    """A voice of one second a clause, in words of 200 ms."""

    model = "local/hum"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Any]:
        async def synthesise(text: str) -> AsyncIterator[Speech]:
            for _ in range(5):
                yield Speech(b"\x20\xa0" * 800, "hum")

        yield ClausewiseVoice(synthesise)


def main() -> None:
    network = subprocess.Popen([sys.executable, "-c", NETWORK], stdout=subprocess.PIPE, text=True)
    assert network.stdout is not None
    try:
        origin, sid, token = network.stdout.readline().split()
        carrier = LocalCarrier(sid, token, base_url=origin)
        phone = Patter(carrier, "+15550100001", "http://127.0.0.1:8765", port=8765)
        agent = Agent(stt=Deaf(), llm=Talker(), tts=Hum())

        async def talk() -> float:
            async with phone, anyio.create_task_group() as tasks:
                for number in range(CALLS):
                    tasks.start_soon(
                        lambda to: phone.call(to, goal="Talk.", agent=agent, max_duration_s=SECONDS + 8),
                        f"+155501001{number:02}",
                    )
                await anyio.sleep(4)
                cpu, wall = time.process_time(), time.monotonic()
                await anyio.sleep(SECONDS)
                share = (time.process_time() - cpu) / (time.monotonic() - wall)
                phone.hangup_all()
            return share / CALLS * 100

        share = anyio.run(talk)
    finally:
        network.kill()
        network.wait()
    print(f"one call on the line while the agent speaks: {share:.2f} % of a core ({CALLS} at once, {SECONDS} s)")


if __name__ == "__main__":
    main()
