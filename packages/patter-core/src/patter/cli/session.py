"""One call from the command line: places it, shows it, hangs up on Ctrl-C, and hands out the envelope."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import anyio

from patter.audio.recording import Recording
from patter.cli.display import Display, is_live, write_json
from patter.cli.exit_codes import INTERRUPTED, NOT_COMPLETED, of_result
from patter.cli.keyboard import unechoed_keys
from patter.cli.plain import PlainDisplay
from patter.errors import InvalidArguments
from patter.settings import DEFAULT_CALL_S

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.call.request import EventSink
    from patter.cli.keyboard import Prompt
    from patter.cli.view import Facts
    from patter.envelope import CallResult
    from patter.phone import Patter
    from patter.schema import CallArguments

__all__ = ["Output", "check_record", "run"]

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_AGAIN_S = 1.0
"""Launchers pass on a Ctrl-C that the terminal has delivered already: what comes sooner is the same one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where a call goes besides the terminal. ``began`` is the `time.monotonic` of the command."""

    json: bool = False
    plain: bool = False
    record: Path | None = None
    next: str = ""
    began: float


def run(
    phone: Patter,
    arguments: CallArguments,
    facts: Facts,
    output: Output,
    *,
    agent: Agent | None = None,
    prompt: Prompt | None = None,
) -> int:
    """Place the call and return the exit code; the envelope is on standard output or in the picture.

    Args:
        agent: who speaks; the local network has one.
        prompt: what is being typed, if the callee sits at the keyboard.

    Raises:
        PatterError: nothing was dialled.
    """
    recording = Recording()
    live = is_live(plain=output.plain)
    pictured = live and sys.stdout.isatty() and not output.json
    opening = arguments.first_message or ""
    display = _live_display(recording, opening, pictured, prompt) if live else PlainDisplay(opening=opening)
    with unechoed_keys() if live else nullcontext():
        display.begin(facts)
        try:
            result, interrupted = _place(phone, arguments, agent, display, recording)
        except BaseException:
            display.end(None)
            raise
        finally:
            phone.engine.run_sync(lambda _: phone.stop())
        saved, problem = _save(recording, output.record)
        display.end(result, _farewell(output, saved))
    if not pictured:
        write_json(result)
    if problem:
        sys.stderr.write(f"patter: {problem}\n")
    if interrupted:
        return INTERRUPTED
    return max(of_result(result), NOT_COMPLETED if problem else 0)


def check_record(path: Path | None) -> None:
    """Make sure, before anything is dialled, that a recording can be written.

    Raises:
        InvalidArguments: it cannot.
    """
    if path is None:
        return
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        problem = f"{str(path)!r} cannot be written"
        raise InvalidArguments("--record", problem, "Name a .wav file in a folder that exists and is yours.")
    if path.suffix.lower() != ".wav":
        problem = f"{str(path)!r} is no .wav file"
        raise InvalidArguments("--record", problem, "Name a .wav file; nothing else is overwritten.")


def _live_display(recording: Recording, opening: str, show_envelope: bool, prompt: Prompt | None) -> Display:
    from rich.console import Console

    from patter.cli.live import LiveDisplay
    from patter.cli.view import THEME

    console = Console(stderr=True, theme=THEME, highlight=False)
    return LiveDisplay(console, recording, opening=opening, show_envelope=show_envelope, prompt=prompt)


def _place(
    phone: Patter, arguments: CallArguments, agent: Agent | None, display: Display, recording: Recording
) -> tuple[CallResult, bool]:
    """The envelope, and whether it was the user who stopped the call."""
    sinks: list[EventSink] = []

    async def job(sink: EventSink | None) -> CallResult:
        assert sink is not None
        sinks.append(sink)

        def on_event(event: dict[str, Any]) -> None:
            if event["type"] == "answered":
                recording.begin(anyio.current_time())
            sink(event)

        return await phone.call(
            arguments.to,
            goal=arguments.goal,
            first_message=arguments.first_message,
            max_duration_s=arguments.max_duration_sec or DEFAULT_CALL_S,
            agent=agent,
            on_event=on_event,
            tap=recording,
        )

    interrupted_at: float | None = None

    def interrupt() -> None:
        nonlocal interrupted_at
        now = time.monotonic()
        if interrupted_at is None and phone.hangup_all():
            interrupted_at = now
            for sink in sinks:
                sink({"type": "interrupt"})
        elif interrupted_at is None or now - interrupted_at > _AGAIN_S:
            raise KeyboardInterrupt

    with _on_signals(interrupt):
        return phone.engine.run_sync(job, display.event), interrupted_at is not None


@contextmanager
def _on_signals(action: Callable[[], None]) -> Iterator[None]:
    """Do this when the user, the terminal or the system wants the command to stop."""

    def handler(number: int, frame: FrameType | None) -> None:
        action()

    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _save(recording: Recording, path: Path | None) -> tuple[Path | None, str]:
    """Write the recording if it was asked for; where it went, or what went wrong."""
    if path is None:
        return None, ""
    try:
        recording.save(path)
    except OSError as error:
        return None, f"the recording could not be written to {path}: {error.strerror}"
    return path, ""


def _farewell(output: Output, saved: Path | None) -> list[str]:
    parts = [f"{time.monotonic() - output.began:.1f} s from command to envelope"]
    if saved is not None:
        parts.append(f"recording: {saved} (left callee, right agent)")
    if output.next:
        parts.append(f"next: {output.next}")
    return parts
