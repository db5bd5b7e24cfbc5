"""The phone: one carrier account, one number, one server; it holds the live calls."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from patter.agent import Agent
from patter.call.prices import Prices
from patter.call.request import EventSink
from patter.call.tasks import first_error
from patter.carriers.addresses import public_url
from patter.engine import Engine, HostedEngine
from patter.errors import ConfigError, InvalidArguments, PhoneStopped
from patter.policy.numbers import check_number
from patter.schema import CallArguments, check_arguments
from patter.settings import DEFAULT_CALL_S, require_env
from patter.store.calls import MemoryCallStore

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from patter.call.mouth import Tap
    from patter.call.switchboard import Switchboard
    from patter.carriers.base import Carrier
    from patter.envelope import CallResult
    from patter.local.dialogue import Persona
    from patter.local.network import LocalNetwork

__all__ = ["Patter"]

_log = logging.getLogger("patter")


class Patter:
    """A telephone for agents.

    Args:
        carrier: who places the calls, such as ``Twilio()``.
        phone_number: the number that calls come from, E.164; else ``TWILIO_PHONE_NUMBER``.
        webhook_url: the public host name under which the carrier reaches this machine, such as
            ``api.example.com`` (https and wss follow); else ``PATTER_WEBHOOK_URL``. Plain http is
            accepted for loopback addresses only.
        host, port: where the server listens. 0 takes any free port.
        pricing: unit prices that replace the built-in table, see `patter.call.prices.Prices`.

    Raises:
        ConfigError: something is missing or malformed; the message names it and the remedy.
    """

    def __init__(
        self,
        carrier: Carrier | None = None,
        phone_number: str | None = None,
        webhook_url: str | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        pricing: Mapping[str, float] | None = None,
        _network: LocalNetwork | None = None,
    ) -> None:
        if type(port) is not int or not 0 <= port <= 65535:
            raise ConfigError(f"port must be a number from 0 to 65535, and {port!r} is none.")
        if _network is None:
            if isinstance(carrier, type) or (carrier is not None and not hasattr(carrier, "dial")):
                raise ConfigError("carrier must be an account, such as carrier=Twilio().")
            if carrier is None:
                raise ConfigError("carrier is missing. Pass carrier=Twilio(), or use Patter.local() without keys.")
            phone_number = require_env(phone_number, argument="phone_number", variable="TWILIO_PHONE_NUMBER")
            webhook_url = require_env(webhook_url, argument="webhook_url", variable="PATTER_WEBHOOK_URL")
        self.phone_number = _check_own_number(phone_number or "")
        self.network = _network
        self._webhook = None if webhook_url is None else public_url(webhook_url)
        self._carrier = carrier
        self._host = host
        self._port = port
        self._prices = Prices(pricing)
        self._store = MemoryCallStore()
        self._engine: Engine | None = None
        self._app: Starlette | None = None
        self._hosted: HostedEngine | None = None
        self._board: Switchboard | None = None
        self._starting = anyio.Lock()
        self._stopping = anyio.Event()
        self._stopped = anyio.Event()
        self._was_stopped = False
        self._pid = os.getpid()

    @classmethod
    def local(
        cls,
        persona: str | Persona = "salon",
        *,
        voice: str = "auto",
        host: str = "127.0.0.1",
        port: int = 0,
        webhook_url: str | None = None,
        **options: Any,
    ) -> Patter:
        """A phone on the local network: a whole telephone network on this machine, no keys, no cost.

        Args:
            persona: who answers: salon, doctor, busy, no-answer, failed, declined, voicemail, ivr, rude, silent,
                or a persona of your own.
            voice: "speech" (flite and pocketsphinx), "tones" (text as data tones), or "auto".
            host, port, webhook_url: as for `Patter`; by default any free port of this machine.
            options: further arguments of `patter.local.network.LocalNetwork`.

        Raises:
            ConfigError: no such persona, or a voice that is not installed.
        """
        from patter.local.network import LocalNetwork

        network = LocalNetwork(persona, voice=voice, **options)
        return cls(None, network.phone_number, webhook_url, host=host, port=port, _network=network)

    # --- lifetime ------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """Where this phone lives: the process's engine, or the host's loop after `asgi`."""
        if self._app is not None:
            if self._engine is None:
                raise ConfigError(
                    "This phone lives on your ASGI server's loop, and its lifespan has not begun. Run the app with "
                    "its lifespan, or enter 'async with phone:' in the lifespan of the app that mounts it."
                )
            return self._engine
        return Engine.shared()

    @property
    def is_running(self) -> bool:
        return self._board is not None

    @property
    def default_agent(self) -> Agent | None:
        """The agent of a call that brings none: only the local network has one."""
        return None if self.network is None else self.network.agent

    async def start(self) -> None:
        """Listen for the carrier. Calling it again does nothing.

        Raises:
            PortInUse: another program listens on the port.
            ConfigError: something the carrier needs is missing.
        """
        self._was_stopped = False
        await self.engine.run(lambda _: self._start())

    async def stop(self) -> None:
        """End the live calls, each with its envelope, and then the server."""
        await self.engine.run(lambda _: self._stop())

    async def __aenter__(self) -> Patter:
        if self._app is not None:
            self._hosted = HostedEngine()
            self._engine = await self._hosted.__aenter__()
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.stop()
        if self._hosted is not None:
            self._engine = None
            await self._hosted.__aexit__(kind, error, trace)
            self._hosted = None

    def asgi(self) -> Starlette:
        """The phone as an ASGI app for a host that has a server of its own. Call it before `start`.

        The phone then lives on that server's loop, from the app's lifespan on. ``webhook_url`` must
        be the address (with path, if it is mounted under one) at which the carrier reaches the app.
        """
        if self.is_running:
            raise ConfigError("asgi() was called on a phone that is running already. Call it before start().")
        if self._webhook is None:
            raise ConfigError("asgi() needs webhook_url: the address at which the carrier reaches this app.")
        if self._app is None:
            from starlette.applications import Starlette

            self._app = Starlette(lifespan=lambda app: _Lifespan(self))
        return self._app

    # --- calls ---------------------------------------------------------------------------------

    async def call(
        self,
        to: str,
        *,
        goal: str | None = None,
        first_message: str | None = None,
        max_duration_s: int = DEFAULT_CALL_S,
        agent: Agent | Mapping[str, Any] | None = None,
        on_event: EventSink | None = None,
        idempotency_key: str | None = None,
        tap: Tap | None = None,
    ) -> CallResult:
        """Place one call and wait until it is over.

        Args:
            to: the number, E.164.
            goal: what to achieve; not needed if the agent has a ``system_prompt``.
            first_message: the first thing to say.
            max_duration_s: hang up after so many seconds from the dial.
            agent: who speaks.
            on_event: takes progress events, on this loop.
            idempotency_key: a second use of the key gets the first one's envelope; nothing is dialled.
            tap: listens in, on the phone's loop.

        Returns:
            The envelope. Busy, unanswered, failed and timed-out calls are envelopes too.

        Raises:
            InvalidArguments, ConfigError, PhoneStopped: nothing was dialled.
        """
        checked = check_arguments(
            {"to": to, "goal": goal, "first_message": first_message, "max_duration_sec": max_duration_s}
        )
        who = self.check_agent(agent)
        if on_event is not None and not callable(on_event):
            raise InvalidArguments("on_event", "it is no function", "Pass a function that takes one event.")
        if idempotency_key is not None and (not isinstance(idempotency_key, str) or not idempotency_key):
            raise InvalidArguments("idempotency_key", "it is no text", "Pass a string, or None for a call of its own.")
        if not checked.goal and not who.system_prompt:
            raise InvalidArguments("goal", "it is missing", "Say what the call shall achieve.")
        job = lambda sink: self._place(checked, who, sink, tap, idempotency_key)  # noqa: E731
        return await self.engine.run(job, on_event)

    def check_agent(self, agent: Agent | Mapping[str, Any] | None) -> Agent:
        """The agent of a call.

        Raises:
            ConfigError: there is none, or it is incomplete.
        """
        if agent is None:
            agent = self.default_agent
        if agent is None:
            raise ConfigError(
                'agent is missing. Pass agent={"stt": ..., "llm": ..., "tts": ...}; '
                "patter.voice.base says what each must do."
            )
        return Agent.of(agent)

    def hangup(self, call_id: str) -> bool:
        """Hang up one call, from any thread. False if there is no such live call."""
        return self.engine.invoke(lambda: self._board.hang_up(call_id) if self._board else 0) > 0

    def hangup_all(self) -> int:
        """Hang up every live call, from any thread; how many there were."""
        return self.engine.invoke(lambda: self._board.hang_up(None) if self._board else 0)

    @property
    def live_calls(self) -> list[str]:
        """The ids of the calls that are going on."""
        return [] if self._board is None else self._board.live_calls

    # --- on the phone's loop -------------------------------------------------------------------

    async def _start(self) -> None:
        async with self._starting:
            if self._was_stopped:
                raise PhoneStopped("This phone was stopped. Start it again, or make a new one.")
            if self._board is not None and self._pid != os.getpid():
                self._board = None  # the service stayed with the parent of this forked process
            if self._board is None:
                self._pid = os.getpid()
                self._stopping, self._stopped = anyio.Event(), anyio.Event()
                await self.engine.tasks.start(self._serve)

    async def _serve(self, *, task_status: TaskStatus[None]) -> None:
        """The phone's service: network, carrier and server, in one scope. Once started it does not raise."""
        board: Switchboard | None = None
        try:
            async with anyio.create_task_group() as tasks:
                carrier = await tasks.start(self.network.serve) if self.network is not None else self._carrier
                assert carrier is not None, "the constructor asks for a carrier or a network"
                await carrier.start()
                board = await self._open(carrier, tasks)
                self._board = board
                task_status.started()
                await self._stopping.wait()
                await board.close()
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            error = first_error(group)
            if board is None:
                raise error from None
            _log.error("The phone's service failed with %s; its live calls are ended.", type(error).__name__)
            await board.close()
        finally:
            self._board = None
            self._stopped.set()

    async def _open(self, carrier: Carrier, tasks: TaskGroup) -> Switchboard:
        """Open the doors: a server of our own, or the host's."""
        # The heavy rooms are entered now, in a thread, and not when the package is imported.
        board_room = await anyio.to_thread.run_sync(import_module, "patter.call.switchboard")
        server_room = await anyio.to_thread.run_sync(import_module, "patter.server.app")
        sock = None
        address = self._webhook
        if self._app is None:
            listener = import_module("patter.server.listener")
            sock = listener.bind(self._host, self._port)
            address = address or f"http://127.0.0.1:{sock.getsockname()[1]}"
        board: Switchboard = board_room.Switchboard(
            carrier, address or "", store=self._store, prices=self._prices, tasks=tasks
        )
        app = server_room.build_app(board, carrier)
        if self._app is None:
            await tasks.start(listener.serve, app, sock)
        else:
            self._app.router.routes[:] = app.routes
        return board

    async def _stop(self) -> None:
        self._was_stopped = True
        async with self._starting:
            if self._board is not None:
                self._stopping.set()
                await self._stopped.wait()

    async def _place(
        self, arguments: CallArguments, agent: Agent, on_event: EventSink | None, tap: Tap | None, key: str | None
    ) -> CallResult:
        await self._start()
        assert self._board is not None
        if self.network is not None:
            self.network.expect(arguments.goal)
        return await self._board.place(
            arguments,
            agent=agent,
            from_number=self.phone_number,
            on_event=on_event,
            tap=tap,
            idempotency_key=key,
        )


class _Lifespan:
    """The lifespan of `Patter.asgi`'s app: the phone runs while the server does."""

    def __init__(self, phone: Patter) -> None:
        self._phone = phone

    async def __aenter__(self) -> None:
        await self._phone.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._phone.__aexit__(kind, error, trace)


def _check_own_number(number: str) -> str:
    try:
        return check_number(number, field="phone_number")
    except InvalidArguments as error:
        raise ConfigError(str(error)) from None
