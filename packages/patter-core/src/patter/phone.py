"""The phone: one carrier account, one number, one server; it holds the live calls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from inspect import iscoroutinefunction
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio

from patter.accounts import Keys, address_of, answering_agent, carrier_of, check_own_number, complete_agent
from patter.agent import Agent
from patter.call.prices import Prices
from patter.call.request import EventSink
from patter.carriers.addresses import public_url
from patter.engine import Engine, HostedEngine
from patter.errors import ConfigError, InvalidArguments
from patter.schema import CallArguments, check_arguments
from patter.service import Api, Lifespan, PhoneService
from patter.settings import DEFAULT_CALL_S, MAX_CALL_S, MIN_CALL_S, require_env
from patter.tools import define

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from patter.call.mouth import Tap
    from patter.carriers.base import Carrier
    from patter.envelope import CallResult
    from patter.local.dialogue import Persona
    from patter.local.network import LocalNetwork

__all__ = ["Patter"]


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
        allow_hosts: hosts with their ports, such as ``localhost:9000``, that the requests of in-call tools may reach
            though they are not public; for development.
        store: where agents and tools are kept that are made over the API: ``sqlite://`` (in memory),
            ``sqlite:///patter.db`` or ``postgresql://...``. None, without ``api_keys``, serves no API.
        api_keys: who may use the API, see `patter.server.rest.keys.Keys`; else ``PATTER_API_KEY`` may do all.
        rate_limit: how often one key may ask the API; None does not count.
        twilio_sid, twilio_token: the account, in place of ``carrier``.
        openai_key, anthropic_key, deepgram_key, elevenlabs_key: for the agents that `agent` makes; else the
            vendors' own environment variables.

    Raises:
        ConfigError: something is missing or malformed; the message names it and the remedy.
    """

    def __init__(
        self,
        carrier: Carrier | None = None,
        phone_number: str | None = None,
        webhook_url: str | None = None,
        *,
        tunnel: bool = False,
        host: str = "127.0.0.1",
        port: int = 8000,
        pricing: Mapping[str, float] | None = None,
        allow_hosts: Collection[str] = (),
        store: str | None = None,
        api_keys: Mapping[str, Any] | None = None,
        rate_limit: str | None = "60/minute; 1000/hour",
        twilio_sid: str | None = None,
        twilio_token: str | None = None,
        openai_key: str | None = None,
        anthropic_key: str | None = None,
        deepgram_key: str | None = None,
        elevenlabs_key: str | None = None,
        _network: LocalNetwork | None = None,
    ) -> None:
        _check_port(port)
        if _network is None:
            carrier = carrier_of(carrier, twilio_sid=twilio_sid, twilio_token=twilio_token)
            phone_number = require_env(phone_number, argument="phone_number", variable="TWILIO_PHONE_NUMBER")
            webhook_url = address_of(webhook_url, tunnel=tunnel)
        self.phone_number = check_own_number(phone_number or "")
        self.network = _network
        self._webhook = None if webhook_url is None else public_url(webhook_url)
        self._service = PhoneService(
            carrier,
            _network,
            webhook=self._webhook,
            has_tunnel=tunnel,
            host=host,
            port=port,
            prices=Prices(pricing),
            allow_hosts=allow_hosts,
            api=None if store is None and api_keys is None else Api(store or "sqlite://", api_keys, rate_limit),
        )
        self._keys = Keys(openai=openai_key, anthropic=anthropic_key, deepgram=deepgram_key, elevenlabs=elevenlabs_key)
        self._engine: Engine | None = None
        self._hosted: HostedEngine | None = None

    @classmethod
    def local(
        cls,
        persona: str | Persona = "salon",
        *,
        voice: str = "auto",
        host: str = "127.0.0.1",
        port: int = 0,
        webhook_url: str | None = None,
        allow_hosts: Collection[str] = (),
        store: str | None = None,
        api_keys: Mapping[str, Any] | None = None,
        rate_limit: str | None = "60/minute; 1000/hour",
        **options: Any,
    ) -> Patter:
        """A phone on the local network: a whole telephone network on this machine, no keys, no cost.

        Args:
            persona: who answers: salon, doctor, busy, no-answer, failed, declined, voicemail, ivr, rude, silent,
                or a persona of your own.
            voice: "speech" (flite and pocketsphinx), "tones" (text as data tones), or "auto".
            host, port, webhook_url, allow_hosts, store, api_keys, rate_limit: as for `Patter`; by default any free
                port of this machine.
            options: further arguments of `patter.local.network.LocalNetwork`.

        Raises:
            ConfigError: no such persona, or a voice that is not installed.
        """
        from patter.local.network import LocalNetwork

        network = LocalNetwork(persona, voice=voice, **options)
        return cls(
            None,
            network.phone_number,
            webhook_url,
            host=host,
            port=port,
            allow_hosts=allow_hosts,
            store=store,
            api_keys=api_keys,
            rate_limit=rate_limit,
            _network=network,
        )

    tool = staticmethod(define.tool)

    # --- lifetime ------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """Where this phone lives: the process's engine, or the host's loop after `asgi`."""
        if self._service.app is not None:
            if self._engine is None:
                raise ConfigError(
                    "This phone lives on your ASGI server's loop, and its lifespan has not begun. Run the app with "
                    "its lifespan, or enter 'async with phone:' in the lifespan of the app that mounts it."
                )
            return self._engine
        return Engine.shared()

    @property
    def is_hosted(self) -> bool:
        """True after `asgi`: the phone lives on the loop of the host's own server."""
        return self._service.app is not None

    @property
    def is_running(self) -> bool:
        return self._service.board is not None

    @property
    def default_agent(self) -> Agent | None:
        """The agent of a call that brings none: only the local network has one."""
        return None if self.network is None else self.network.agent

    async def start(self, agent: Agent | None = None) -> None:
        """Listen for the carrier. Calling it again does nothing.

        Args:
            agent: is known to the API from now on; others are with their first call.

        Raises:
            PortInUse: another program listens on the port.
            ConfigError: something the carrier needs is missing.
        """
        self._service.was_stopped = False
        await self.engine.run(lambda _: self._service.start(self.engine, agent))

    async def stop(self) -> None:
        """End the live calls, each with its envelope, and then the server."""
        await self.engine.run(lambda _: self._service.stop())

    async def __aenter__(self) -> Patter:
        if self._service.app is not None:
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
        if self._service.app is None:
            from starlette.applications import Starlette

            self._service.app = Starlette(lifespan=lambda app: Lifespan(self))
        return self._service.app

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
        job = lambda sink: self._place(checked, who, sink, tap, idempotency_key)  # noqa: E731
        return await self.engine.run(job, on_event)

    async def serve(
        self,
        agent: Agent | Mapping[str, Any] | None = None,
        *,
        on_message: Callable[..., Any] | str | None = None,
        port: int | None = None,
        max_duration_s: int = MAX_CALL_S,
        max_concurrent_calls: int = 10,
        on_event: EventSink | None = None,
        on_result: Callable[[CallResult], object] | None = None,
    ) -> None:
        """Answer incoming calls until `stop` is called or this is cancelled.

        The number's voice webhook at the carrier must be ``https://HOST/twilio/voice`` (POST).

        Args:
            agent: who answers. On the local network it may be left out.
            on_message: an agent of your own as the mind: a function, an ``https://`` or a ``wss://``
                address; see `patter.voice.messages.mind.MessageMind`. ``agent`` then needs no ``llm``.
            port: where to listen, in place of the phone's own port.
            max_duration_s: hang up after so many seconds.
            max_concurrent_calls: more callers than this hear the busy tone: each call costs money.
            on_event: takes the progress events of all calls, on this loop. The first is ``serving``, with the
                ``voice_url`` for the carrier, and the ``api_url`` if there is one.
            on_result: takes the envelopes of all calls, on this loop.

        Raises:
            ConfigError: nobody can answer, somebody answers already, or an argument is malformed.
        """
        who = answering_agent(agent, on_message, default=self.default_agent, keys=self._keys)
        if type(max_duration_s) is not int or not MIN_CALL_S <= max_duration_s <= MAX_CALL_S:
            raise ConfigError(f"max_duration_s must be a whole number of seconds, {MIN_CALL_S} to {MAX_CALL_S}.")
        if type(max_concurrent_calls) is not int or max_concurrent_calls < 1:
            raise ConfigError("max_concurrent_calls must be a whole number, at least 1.")
        for name, callback in (("on_event", on_event), ("on_result", on_result)):
            if callback is not None and (not callable(callback) or iscoroutinefunction(callback)):
                raise ConfigError(f"{name} must be a plain function of one argument; it may start a task.")
        if port is not None:
            _check_port(port)
            if self.is_running:
                raise ConfigError("port cannot be changed while the phone runs. Pass it to Patter(...).")
            self._service.port = port

        def deliver(event: dict[str, Any]) -> None:
            if event["type"] != "result":
                if on_event is not None:
                    on_event(event)
            elif on_result is not None:
                on_result(event["result"])

        limits = {"max_duration_s": max_duration_s, "max_calls": max_concurrent_calls}
        await self.engine.run(lambda sink: self._service.answer_calls(self.engine, who, limits, sink), deliver)

    def agent(
        self,
        *,
        system_prompt: str | None = None,
        tools: Sequence[Any] = (),
        first_message: str | None = None,
        **parts: Any,
    ) -> Agent:
        """An agent for this phone; ears, mind and voice that are not given are the vendors', or the local network's.

        Args:
            system_prompt, tools, first_message: as for `patter.Agent`.
            parts: what else an `patter.Agent` takes, such as ``stt``, ``llm``, ``tts`` or ``variables``.

        Raises:
            ConfigError: a key is missing, or something is malformed.
        """
        given = {"system_prompt": system_prompt, "tools": tools, "first_message": first_message, **parts}
        return complete_agent(given, default=self.default_agent, keys=self._keys)

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
        return self.engine.invoke(lambda: self._hang_up(call_id)) > 0

    def hangup_all(self) -> int:
        """Hang up every live call, from any thread; how many there were."""
        return self.engine.invoke(lambda: self._hang_up(None))

    @property
    def live_calls(self) -> list[str]:
        """The ids of the calls that are going on."""
        return [] if self._service.board is None else self._service.board.live_calls

    # --- on the phone's loop -------------------------------------------------------------------

    def _hang_up(self, call_id: str | None) -> int:
        return 0 if self._service.board is None else self._service.board.hang_up(call_id)

    async def _place(
        self, arguments: CallArguments, agent: Agent, on_event: EventSink | None, tap: Tap | None, key: str | None
    ) -> CallResult:
        board = await self._service.start(self.engine)
        await agent.start()
        if self.network is not None:
            self.network.expect(arguments.goal)
        return await board.place(
            arguments,
            agent=agent,
            from_number=self.phone_number,
            on_event=on_event,
            tap=tap,
            idempotency_key=key,
        )


def _check_port(port: int) -> None:
    if type(port) is not int or not 0 <= port <= 65535:
        raise ConfigError(f"port must be a number from 0 to 65535, and {port!r} is none.")
