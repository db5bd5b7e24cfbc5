"""How long after the deciding word the carrier has the clear, over real sockets."""

from __future__ import annotations

import statistics
import time
from typing import Any

from patter import Patter
from patter.local.dialogue import Listen, Say, scripted
from patter.local.exchange import Timings

CALLS = 12
GOAL = "Book a haircut for tomorrow at three in the afternoon for Maria Lopez."


class Stamps(list[float]):
    """A list that keeps the time at which something is appended, in place of what is."""

    def append(self, _: float) -> None:
        super().append(time.monotonic())


async def measure(words: int) -> float:
    """Interrupt after so many words; milliseconds from the hearing to the clear at the carrier."""
    callee = scripted(Say("Hello?"), Listen(after_words=words), Say("Stop please."), Listen(after_words=1))
    phone = Patter.local(callee, voice="tones", timings=Timings.quick())
    heard: list[float] = []
    clears = Stamps()

    def on_event(event: dict[str, Any]) -> None:
        assert phone.network is not None
        if event["type"] == "answered":
            next(iter(phone.network.exchange.calls.values())).record.clears = clears
        elif event["type"] == "hearing" and event["text"].startswith("Stop"):
            heard.append(time.monotonic())

    async with phone:
        await phone.call("+15550100199", goal=GOAL, on_event=on_event)
    return (clears[0] - heard[0]) * 1000


def main() -> None:
    engine = Patter.local(voice="tones").engine

    async def job(_: object) -> list[float]:
        return [await measure(3 + number) for number in range(CALLS)]

    took = engine.run_sync(job)
    print(
        f"clear at the carrier after the deciding word: median {statistics.median(took):.1f} ms, max {max(took):.1f} ms"
    )


if __name__ == "__main__":
    main()
