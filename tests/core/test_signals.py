"""The signal hook, in programs of their own: a real signal, a carrier outside, and the exit code."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from typing import Self

import anyio
import anyio.to_thread
import pytest
from anyio.abc import TaskStatus

from patter import ConfigError, Patter
from patter.local.dialogue import Listen, Say, Wait, scripted
from patter.local.exchange import Exchange, Timings
from patter.local.voices import pick
from patter.signals import hang_up_on_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals between processes")

PROLOGUE = """
import os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from patter import Patter, PatterTool, PhoneStopped, Twilio
from patter.local.network import LocalNetwork
from patter.signals import hang_up_on_signals

def tell(*words):
    line = " ".join(map(str, words))
    os.write(1, f"{line}\\n".encode())  # at once, for two threads may tell something

def make_tool(**options):
    phone = Patter(carrier=Twilio(), port=int(os.environ["PORT"]))
    return PatterTool(phone, LocalNetwork("silent", voice="tones").agent, **options)

def place(tool):
    tell_once = lambda event: tell("answered") if event["type"] == "answered" else None
    return tool.execute_sync(to="+15550100199", goal="Book a table.", on_event=tell_once)

def in_worker(tool):
    # As a framework does that runs tools in worker threads: it is interrupted only when the tool is done.
    def work():
        tell("status", place(tool).status)
        try:
            place(tool)
        except PhoneStopped:
            tell("refused")
    with ThreadPoolExecutor() as pool:
        pool.submit(work).result()

tool = make_tool()
"""

ENDLESS = scripted(Say("Hello?"), Listen(), Wait(600))


class Carrier:
    """The carrier, in the test's own process."""

    def __init__(self) -> None:
        voice = pick("tones", role="callee", phrases=())
        self.exchange = Exchange(callee=ENDLESS, voice=voice, timings=Timings.quick())

    async def serve(self, *, task_status: TaskStatus[Self]) -> None:
        async with anyio.create_task_group() as tasks:
            self.origin = await tasks.start(self.exchange.serve)
            task_status.started(self)

    @property
    def env(self) -> dict[str, str]:
        """What leads a program here."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return {
            "TWILIO_ACCOUNT_SID": self.exchange.account_sid,
            "TWILIO_AUTH_TOKEN": self.exchange.auth_token,
            "TWILIO_BASE_URL": self.origin,
            "TWILIO_PHONE_NUMBER": "+15550001234",
            "PATTER_WEBHOOK_URL": f"http://127.0.0.1:{port}",
            "PORT": str(port),
        }

    def check_hung_up(self) -> None:
        """One call was dialled, and the program has ended it: it asked for the end, or took leave on the media socket.

        A program that dies breaks the socket off.
        """
        (call,) = self.exchange.calls.values()
        assert call.ended_by == "agent"
        ends = [request.form for request in self.exchange.requests if request.path.endswith(f"{call.sid}.json")]
        took_leave = [event.detail for event in call.record.events if event.kind == "closed"] == ["1000"]
        assert took_leave or ["completed"] in [form.get("Status") for form in ends]


@pytest.fixture
async def carrier(anyio_backend: str) -> AsyncIterator[Carrier]:
    async with anyio.create_task_group() as tasks:
        yield await tasks.start(Carrier().serve)
        tasks.cancel_scope.cancel()


class Program:
    """A program whose calls go to the carrier."""

    def __init__(self, carrier: Carrier, body: str) -> None:
        self.running = subprocess.Popen(
            [sys.executable, "-c", PROLOGUE + textwrap.dedent(body)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **carrier.env},
        )

    async def wait_for(self, line: str) -> None:
        """Wait for its next line, which is this one."""
        assert self.running.stdout is not None
        said = await anyio.to_thread.run_sync(self.running.stdout.readline)
        if not said:
            raise AssertionError((await self.end())[2])
        assert said == f"{line}\n"

    async def end(self, signum: int | None = None) -> tuple[int, str, str]:
        """Send the signal; the exit code and the further output."""
        if signum is not None:
            self.running.send_signal(signum)
        output, errors = await anyio.to_thread.run_sync(lambda: self.running.communicate(timeout=30))
        return self.running.returncode, output, errors


async def run(carrier: Carrier, body: str, signum: int) -> tuple[int, str, str]:
    """Send a program the signal when its call was answered."""
    program = Program(carrier, body)
    try:
        await program.wait_for("answered")
        return await program.end(signum)
    finally:
        program.running.kill()


@pytest.mark.anyio
async def test_an_interrupt_hangs_up_a_call_in_a_worker_thread_and_refuses_the_next(carrier: Carrier) -> None:
    body = """
    try:
        with hang_up_on_signals(tool):
            in_worker(tool)
    except KeyboardInterrupt:
        tell("interrupted")
    """
    code, output, errors = await run(carrier, body, signal.SIGINT)
    carrier.check_hung_up()
    assert code == 0, errors
    assert sorted(output.splitlines()) == ["interrupted", "refused", "status failed"], errors


@pytest.mark.anyio
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_the_default_handlers_end_the_program_as_ever(carrier: Carrier, signum: int) -> None:
    code, _, _ = await run(carrier, "hang_up_on_signals(tool.phone)\nin_worker(tool)", signum)
    carrier.check_hung_up()
    assert code == -signum


@pytest.mark.anyio
async def test_a_handler_of_the_programs_own_comes_after_the_hang_up(carrier: Carrier) -> None:
    body = """
    signal.signal(signal.SIGTERM, lambda number, frame: (tell("former", tool.phone.live_calls), sys.exit(7)))
    hang_up_on_signals(tool)
    in_worker(tool)
    """
    code, output, errors = await run(carrier, body, signal.SIGTERM)
    carrier.check_hung_up()
    assert code == 7, errors
    assert "former []" in output.splitlines()


@pytest.mark.anyio
async def test_a_call_in_the_main_thread_is_interrupted_and_not_answered(carrier: Carrier) -> None:
    body = """
    with hang_up_on_signals(tool):
        place(tool)
        tell("answered after all")
    """
    code, output, _ = await run(carrier, body, signal.SIGINT)
    carrier.check_hung_up()
    assert (code, output) == (-signal.SIGINT, "")


@pytest.mark.anyio
async def test_a_running_loop_in_the_main_thread_is_interrupted(carrier: Carrier) -> None:
    body = """
    import asyncio
    async def main():
        hang_up_on_signals(tool)
        await asyncio.to_thread(place, tool)
    asyncio.run(main())
    """
    code, _, errors = await run(carrier, body, signal.SIGINT)
    carrier.check_hung_up()
    assert code == -signal.SIGINT, errors


@pytest.mark.anyio
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_a_phone_on_the_main_threads_own_loop_hangs_up(carrier: Carrier, signum: int) -> None:
    body = """
    import asyncio
    from patter.server.listener import bind, serve
    app = tool.phone.asgi()
    async def main():
        hang_up_on_signals(tool)
        async with tool.phone:
            await asyncio.gather(serve(app, bind("127.0.0.1", int(os.environ["PORT"]))), asyncio.to_thread(place, tool))
    asyncio.run(main())
    """
    code, _, errors = await run(carrier, body, signum)
    carrier.check_hung_up()
    assert code == -signum, errors


@pytest.mark.anyio
async def test_a_second_signal_is_not_made_to_wait(carrier: Carrier) -> None:
    body = """
    async def stuck():
        tell("stopping")
        await __import__("anyio").sleep_forever()
    tool.phone.stop = stuck
    with hang_up_on_signals(tool):
        in_worker(tool)
    """
    program = Program(carrier, body + "\n")
    try:
        await program.wait_for("answered")
        program.running.send_signal(signal.SIGTERM)
        await program.wait_for("stopping")
        asked_at = anyio.current_time()
        code, _, _ = await program.end(signal.SIGTERM)
    finally:
        program.running.kill()
    assert code == -signal.SIGTERM
    assert anyio.current_time() - asked_at < 5


@pytest.mark.anyio
async def test_an_interrupt_between_two_calls_refuses_the_next(carrier: Carrier) -> None:
    body = """
    def work():
        tell("answered")  # nothing was dialled yet
        stopped.wait()
        try:
            place(tool)
        except PhoneStopped:
            tell("refused")
    stopped = threading.Event()
    with ThreadPoolExecutor() as pool:
        try:
            with hang_up_on_signals(tool):
                pool.submit(work).result()
        except KeyboardInterrupt:
            stopped.set()
    """
    code, output, errors = await run(carrier, body, signal.SIGINT)
    assert (code, output) == (0, "refused\n"), errors
    assert not carrier.exchange.calls


@pytest.mark.anyio
async def test_a_forked_child_leaves_the_parents_calls_alone(carrier: Carrier) -> None:
    body = """
    import time
    hang_up_on_signals(tool)
    answered = threading.Event()
    tell_once = lambda event: answered.set() if event["type"] == "answered" else None
    call = lambda: tool.execute_sync(to="+15550100199", goal="Book a table.", on_event=tell_once)
    threading.Thread(target=call, daemon=True).start()
    answered.wait()
    ready, is_ready = os.pipe()
    if (child := os.fork()) == 0:
        os.write(is_ready, b"1")
        time.sleep(30)
        os._exit(1)
    os.read(ready, 1)
    asked_at = time.monotonic()
    os.kill(child, signal.SIGTERM)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    tell("child", code, time.monotonic() - asked_at < 5, len(tool.phone.live_calls))
    threading.Event().wait()
    """
    program = Program(carrier, body)
    try:
        await program.wait_for(f"child {-signal.SIGTERM} True 1")
        code, _, _ = await program.end(signal.SIGINT)
    finally:
        program.running.kill()
    carrier.check_hung_up()
    assert code == -signal.SIGINT


def test_leaving_the_context_restores_the_former_handlers() -> None:
    former = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    phone = Patter.local("silent", voice="tones")
    with hang_up_on_signals(phone) as hook:
        assert signal.getsignal(signal.SIGTERM) not in former
    hook.undo()
    assert [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)] == former


def test_a_handler_on_top_of_the_hook_stays() -> None:
    passed: list[int] = []
    former = signal.signal(signal.SIGTERM, lambda number, frame: passed.append(number))
    try:
        hook = hang_up_on_signals(Patter.local("silent", voice="tones"))
        below = signal.getsignal(signal.SIGTERM)
        assert callable(below)
        on_top = lambda number, frame: below(number, frame)  # noqa: E731
        signal.signal(signal.SIGTERM, on_top)
        hook.undo()
        assert signal.getsignal(signal.SIGTERM) is on_top
        signal.raise_signal(signal.SIGTERM)
        assert passed == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, former)


def test_an_ignored_signal_stays_ignored() -> None:
    former = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with hang_up_on_signals(Patter.local("silent", voice="tones")):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, former)


def test_another_thread_cannot_install_it() -> None:
    refused: list[str] = []

    def install() -> None:
        try:
            hang_up_on_signals(Patter.local("silent", voice="tones"))
        except ConfigError as error:
            refused.append(str(error))

    worker = threading.Thread(target=install)
    worker.start()
    worker.join()
    assert len(refused) == 1
    assert "main thread" in refused[0]
