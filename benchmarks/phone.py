"""The phone that is measured: a program that is written for the real vendors, led into the benchmarks' world."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import anyio

from benchmarks.talk import GREETING, number_of
from patter import Agent, CallResult, DeepgramSTT, ElevenLabsTTS, OpenAILLM, Patter, Timing, Twilio

__all__ = ["LONGEST_S", "agent_of", "call", "calls", "phone_in"]

LONGEST_S = 600


def phone_in(
    env: dict[str, str],
    *,
    allow_hosts: Collection[str] = (),
    store: str | None = None,
    api_keys: Mapping[str, Any] | None = None,
) -> Patter:
    """A phone, not started yet, whose carrier and vendors are in the world of this environment.

    Args:
        store, api_keys: of its REST API, whose requests are not counted; None has no API.
    """
    os.environ.update(env)
    return Patter(
        Twilio(), port=int(env["PORT"]), allow_hosts=allow_hosts, store=store, api_keys=api_keys, rate_limit=None
    )


def agent_of(*, stt: DeepgramSTT | None = None, early_starts: int = 0, name: str | None = None) -> Agent:
    """The agent. Its ears are Flux's if no others are given, which commit a turn at once; it does not think ahead."""
    return Agent(
        stt=stt or DeepgramSTT(model="flux-general-en"),
        llm=OpenAILLM(),
        tts=ElevenLabsTTS(voice_id="rachel"),
        first_message=GREETING,
        timing=Timing(early_starts=early_starts),
        name=name,
    )


async def call(phone: Patter, agent: Agent, number: int) -> CallResult:
    """One call, to its end."""
    return await phone.call(number_of(number), goal="Talk.", agent=agent, max_duration_s=LONGEST_S)


async def calls(phone: Patter, agent: Agent, numbers: Iterable[int], *, apart_s: float = 0.15) -> list[CallResult]:
    """Calls at the same time, which begin one after the other, so that they are not in step."""
    results: list[CallResult] = []

    async def place(number: int) -> None:
        results.append(await call(phone, agent, number))

    async with anyio.create_task_group() as tasks:
        for number in numbers:
            tasks.start_soon(place, number)
            await anyio.sleep(apart_s)
    return results


async def _main(number: str, greeting: str) -> None:
    """One call as anybody would make it, with all defaults."""
    agent = Agent(stt=DeepgramSTT(), llm=OpenAILLM(), tts=ElevenLabsTTS(), first_message=greeting)
    async with Patter(Twilio(), port=int(os.environ["PORT"])) as phone:
        print((await phone.call(number, goal="Talk.", agent=agent)).status)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("number")
    parser.add_argument("greeting")
    options = parser.parse_args()
    anyio.run(_main, options.number, options.greeting)
