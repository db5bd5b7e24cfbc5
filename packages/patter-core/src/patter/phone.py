"""The phone: one carrier account, one number, one server; it holds the live calls."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from patter.agent import Agent
from patter.call.call import Call, CallRequest
from patter.call.mouth import Tap
from patter.call.prices import Prices
from patter.carriers.base import CallUpdate, Carrier, Line, LineStart
from patter.engine import Engine, EventSink, HostedEngine
from patter.envelope import CallResult, Ending, EndReason
from patter.errors import CarrierError, ConfigError, InvalidArguments, LineError, PhoneStopped
from patter.policy.numbers import check_number
from patter.schema import check_arguments
from patter.settings import DEFAULT_CALL_S, require_env
from patter.store.calls import MemoryCallStore

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from patter.local.network import LocalNetwork

__all__ = ["Patter"]

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_END_CALLS_S = 8.0
_DOUBTFUL = 1000


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
        if _network is None:
            if carrier is None:
                raise ConfigError("carrier is missing. Pass carrier=Twilio(), or use Patter.local() without keys.")
            phone_number = require_env(phone_number, argument="phone_number", variable="TWILIO_PHONE_NUMBER")
            webhook_url = require_env(webhook_url, argument="webhook_url", variable="PATTER_WEBHOOK_URL")
        self.phone_number = _check_own_number(phone_number or "")
        self.network = _network
        self._webhook = None if webhook_url is None else _public_url(webhook_url)
        self._carrier = carrier
        self._host = host
        self._port = port
        self._prices = Prices(pricing)
        self._store = MemoryCallStore()
        self._public_url = self._webhook or ""
        self._engine: Engine | None = None
        self._app: Starlette | None = None
        self._hosted: HostedEngine | None = None
        self._tasks: TaskGroup | None = None
        self._starting = anyio.Lock()
        self._dial_lock = anyio.Lock()
        self._stopping = anyio.Event()
        self._stopped = anyio.Event()
        self._was_stopped = False
        self._calls: dict[str, Call] = {}
        self._doubtful: dict[str, None] = {}

    @classmethod
    def local(cls, persona: str = "salon", *, voice: str = "auto", port: int = 0, **options: Any) -> Patter:
        """A phone on the local network: a whole telephone network on this machine, no keys, no cost.

        Args:
            persona: who answers: salon, doctor, busy, no-answer, failed, declined, voicemail, ivr, rude, silent.
            voice: "speech" (flite and pocketsphinx), "tones" (text as data tones), or "auto".
            port: where the phone's own server listens; 0 takes any free port.
            options: further arguments of `patter.local.network.LocalNetwork`.

        Raises:
            ConfigError: no such persona, or a voice that is not installed.
        """
        from patter.local.network import LocalNetwork

        network = LocalNetwork(persona, voice=voice, **options)
        return cls(phone_number=network.phone_number, port=port, _network=network)

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
        return self._tasks is not None

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
        if checked.goal is None and who.system_prompt is None:
            raise InvalidArguments("goal", "it is missing", "Say what the call shall achieve.")
        request = CallRequest(
            ref=uuid.uuid4().hex,
            to=checked.to,
            from_number=self.phone_number,
            agent=who,
            goal=checked.goal,
            first_message=checked.first_message,
            max_duration_s=checked.max_duration_sec or DEFAULT_CALL_S,
        )
        return await self.engine.run(lambda sink: self._call_once(request, sink, tap, idempotency_key), on_event)

    def check_agent(self, agent: Agent | Mapping[str, Any] | None) -> Agent:
        """The agent of a call.

        Raises:
            ConfigError: there is none, or it is incomplete.
        """
        if agent is None:
            agent = self.default_agent
        if agent is None:
            raise ConfigError(
                'agent is missing. Pass agent={"stt": DeepgramSTT(), "llm": OpenAILLM(), "tts": ElevenLabsTTS(...)}.'
            )
        return Agent.of(agent)

    def hangup(self, call_id: str) -> bool:
        """Hang up one call, from any thread. False if there is no such live call."""
        return self.engine.invoke(lambda: self._hang_up(call_id)) > 0

    def hangup_all(self) -> int:
        """Hang up every live call, from any thread; how many there were."""
        return self.engine.invoke(lambda: self._hang_up(None))

    @property
    def live_calls(self) -> list[str]:
        """The ids of the calls that are going on."""
        return [call.call_id for call in list(self._calls.values())]

    # --- what the server asks (on the phone's loop) --------------------------------------------

    @property
    def public_url(self) -> str:
        """Where the carrier reaches us: origin and path, without a slash at the end."""
        return self._public_url

    def report(self, ref: str, update: CallUpdate) -> None:
        """A verified fact from the carrier."""
        call = self._calls.get(ref)
        if call is not None:
            call.report(update)
        elif ref in self._doubtful and self._tasks is not None and not (update.status and update.status.final):
            # A dial that was given up has come to life after all.
            del self._doubtful[ref]
            self._tasks.start_soon(self._drop_orphan, update.carrier_id)

    async def join(self, start: LineStart, line: Line) -> None:
        """A media socket asks for its call."""
        call = self._calls.get(start.parameters.get("ref", ""))
        if call is None:
            raise LineError("no call waits for this media socket")
        await call.join(start, line)

    # --- on the phone's loop -------------------------------------------------------------------

    async def _start(self) -> None:
        async with self._starting:
            if not self.is_running:
                self._was_stopped = False
                self._stopping, self._stopped = anyio.Event(), anyio.Event()
                await self.engine.tasks.start(self._serve)

    async def _serve(self, *, task_status: TaskStatus[None]) -> None:
        """The phone's service: network, carrier and server, in one scope."""
        try:
            async with anyio.create_task_group() as tasks:
                if self.network is not None:
                    self._carrier = await tasks.start(self.network.serve)
                assert self._carrier is not None
                await self._carrier.start()
                if self._app is None:
                    await self._listen(tasks, self._carrier)
                else:
                    self._app.router.routes[:] = (await _build_app(self, self._carrier)).routes
                self._tasks = tasks
                task_status.started()
                await self._stopping.wait()
                await self._end_calls()
                self._tasks = None
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise _only(group) from None
        finally:
            self._tasks = None
            self._was_stopped = True
            self._stopped.set()

    async def _listen(self, tasks: TaskGroup, carrier: Carrier) -> None:
        app = await _build_app(self, carrier)
        listener = import_module("patter.server.listener")
        sock = listener.bind(self._host, self._port)
        self._public_url = self._webhook or f"http://127.0.0.1:{sock.getsockname()[1]}"
        await tasks.start(listener.serve, app, sock)

    async def _stop(self) -> None:
        self._was_stopped = True
        if self.is_running:
            self._stopping.set()
            await self._stopped.wait()

    async def _end_calls(self) -> None:
        for call in self._calls.values():
            call.end(Ending(EndReason.SHUTDOWN))
        with anyio.move_on_after(_END_CALLS_S):
            for call in list(self._calls.values()):
                await call.over.wait()

    async def _call_once(
        self, request: CallRequest, sink: EventSink | None, tap: Tap | None, key: str | None
    ) -> CallResult:
        if key is None:
            return await self._place(await self._prepare(request, sink, tap))
        while True:
            entry, first = self._store.open(key)
            if not first:
                if (known := await entry.wait()) is not None:
                    return known
                continue  # the first one was given up before its dial
            call: Call | None = None
            try:
                call = await self._prepare(request, sink, tap)
                return await self._place(call)
            finally:
                entry.close(None if call is None else call.result)

    async def _prepare(self, request: CallRequest, sink: EventSink | None, tap: Tap | None) -> Call:
        if self._was_stopped:
            raise PhoneStopped("This phone was stopped. Start it again, or make a new one.")
        await self._start()
        assert self._carrier is not None
        return Call(
            request,
            carrier=self._carrier,
            addresses=_Addresses(self._public_url, self._carrier.name),
            prices=self._prices,
            dial_lock=self._dial_lock,
            on_event=sink,
            tap=tap,
        )

    async def _place(self, call: Call) -> CallResult:
        ref = call.request.ref
        self._calls[ref] = call
        if self.network is not None:
            self.network.expect(call.request.goal)
        try:
            return await call.run()
        finally:
            del self._calls[ref]
            if call.doubtful:
                self._doubtful[ref] = None
                while len(self._doubtful) > _DOUBTFUL:
                    del self._doubtful[next(iter(self._doubtful))]

    def _hang_up(self, call_id: str | None) -> int:
        calls = [call for call in self._calls.values() if call_id in (None, call.call_id)]
        for call in calls:
            call.hang_up()
        return len(calls)

    async def _drop_orphan(self, carrier_id: str) -> None:
        assert self._carrier is not None
        try:
            await self._carrier.hang_up(carrier_id)
        except CarrierError:
            return  # its media socket is refused, and its time limit ends it


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


class _Addresses:
    """Where the carrier's facts of a call arrive."""

    def __init__(self, public_url: str, carrier: str) -> None:
        self._base = f"{public_url}/{carrier}"

    def status(self, ref: str) -> str:
        return f"{self._base}/status/{ref}"

    def machine(self, ref: str) -> str:
        return f"{self._base}/machine/{ref}"

    def media(self) -> str:
        return f"ws{self._base.removeprefix('http')}/media"


async def _build_app(phone: Patter, carrier: Carrier) -> Starlette:
    module = await anyio.to_thread.run_sync(import_module, "patter.server.app")
    app: Starlette = module.build_app(phone, carrier)
    return app


def _only(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _check_own_number(number: str) -> str:
    try:
        return check_number(number, field="phone_number")
    except InvalidArguments as error:
        raise ConfigError(str(error)) from None


def _public_url(address: str) -> str:
    """An https origin with its path from a bare host name or a URL."""
    url = urlsplit(address if "://" in address else f"https://{address}")
    loopback = url.hostname in _LOOPBACK
    if not url.hostname or url.query or url.fragment or url.username:
        raise ConfigError(f"webhook_url {address!r} is no host name. Pass one such as api.example.com.")
    if url.scheme not in ("https", "http") or (url.scheme == "http" and not loopback):
        raise ConfigError(
            f"webhook_url {address!r}: carriers call https only. Pass a bare host name such as api.example.com; "
            "http:// is for 127.0.0.1 alone."
        )
    return f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}"
