"""A phone at work: its network, its carrier and its server, from the start to the stop."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from patter.call.prices import Prices
from patter.engine import Engine
from patter.errors import ConfigError, PhoneStopped
from patter.store.calls import MemoryCallStore
from patter.tasks import first_error

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from patter.agent import Agent
    from patter.call.switchboard import Switchboard
    from patter.carriers.base import Carrier
    from patter.local.network import LocalNetwork
    from patter.workspace import Workspace

__all__ = ["Api", "Lifespan", "PhoneService"]

_log = logging.getLogger("patter")


@dataclass(frozen=True, slots=True)
class Api:
    """What the phone serves for people and programs that own its agents' tools.

    Args:
        store: the address of the store.
        keys: who may use it, see `patter.server.rest.keys.Keys`.
        rate_limit: how often one key may ask, such as ``60/minute; 1000/hour``; None does not count.

    Raises:
        ConfigError: a package is missing.
    """

    store: str = field(repr=False)
    keys: Mapping[str, Any] | None = field(repr=False)
    rate_limit: str | None

    def __post_init__(self) -> None:
        for package in ("sqlalchemy", "limits"):
            if find_spec(package) is None:
                raise ConfigError(
                    f"The API needs the package {package}. Install it with: pip install 'patter-core[server]'"
                )


class PhoneService:
    """Everything that runs for one phone, on the phone's loop. It can be started again after a stop.

    Args:
        carrier: who places the calls, or None on the local network.
        network: the local network, or None.
        webhook: where the carrier reaches us, or None for this machine alone.
        has_tunnel: a tunnel of ours leads there.
        allow_hosts: hosts with their ports that requests of tools may reach though they are not public.
        api: what is served beside the carrier's addresses, or None.
    """

    def __init__(
        self,
        carrier: Carrier | None,
        network: LocalNetwork | None,
        *,
        webhook: str | None,
        has_tunnel: bool = False,
        host: str,
        port: int,
        prices: Prices,
        allow_hosts: Collection[str] = (),
        api: Api | None = None,
    ) -> None:
        self.board: Switchboard | None = None
        """The live calls, while the service runs."""
        self.app: Starlette | None = None
        self.port = port
        self._carrier = carrier
        self._network = network
        self._webhook = webhook
        self._has_tunnel = has_tunnel
        self._host = host
        self._prices = prices
        self._allow_hosts = allow_hosts
        self._api = api
        self._workspace: Workspace | None = None
        self._store = MemoryCallStore()
        self._starting = anyio.Lock()
        self._stopping = anyio.Event()
        self._stopped = anyio.Event()
        self._failure: BaseException | None = None
        self.was_stopped = False
        self._pid = os.getpid()

    async def start(self, engine: Engine, agent: Agent | None = None) -> Switchboard:
        """Start if it does not run yet; the switchboard.

        Args:
            agent: is known to the API from now on.

        Raises:
            PhoneStopped: it was stopped on purpose.
            PortInUse, ConfigError: it cannot run.
        """
        async with self._starting:
            if self.was_stopped:
                raise PhoneStopped("This phone was stopped. Start it again, or make a new one.")
            if self.board is not None and self._pid != os.getpid():
                self.board = None  # the service stayed with the parent of this forked process
            if self.board is None:
                self._pid = os.getpid()
                self._stopping, self._stopped, self._failure = anyio.Event(), anyio.Event(), None
                await engine.tasks.start(self._serve)
            board = self.board
            assert board is not None
            if agent is not None:
                board.introduce(agent)
            return board

    async def answer_calls(
        self, engine: Engine, agent: Agent, limits: Mapping[str, int], sink: Callable[[dict[str, Any]], None] | None
    ) -> None:
        """Let the agent take incoming calls until the service ends or this is cancelled.

        Args:
            limits: ``max_duration_s`` and ``max_calls``.
            sink: takes progress events, and ``result`` events with the envelopes.

        Raises:
            ConfigError: another agent does.
        """
        await agent.start()
        was_running = self.board is not None
        board = await self.start(engine)
        if board.service is not None:
            raise ConfigError("This phone serves an agent already. Stop it first, or make another phone.")
        tell = sink or (lambda event: None)
        board.serve(
            import_module("patter.call.switchboard").Service(
                agent=agent,
                on_event=tell,
                on_result=lambda result: tell({"type": "result", "result": result}),
                **limits,
            )
        )
        api = {} if self._api is None else {"api_url": f"{board.public_url}/v1"}
        tell({"type": "serving", "voice_url": board.voice_url, **api})
        try:
            await self.wait()
        finally:
            board.service = None
            with anyio.CancelScope(shield=True):
                await board.close(incoming_only=True)
                if not was_running and not board.live_calls:
                    await self.end()

    async def wait(self) -> None:
        """Wait until it has ended.

        Raises:
            Exception: it has failed; the live calls were ended.
        """
        await self._stopped.wait()
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """End for good: a call that comes later is refused, unless the phone is started again."""
        self.was_stopped = True
        await self.end()

    async def end(self) -> None:
        """End the live calls, each with its envelope, and then the server."""
        async with self._starting:
            if self.board is not None:
                self._stopping.set()
                await self._stopped.wait()

    async def _serve(self, *, task_status: TaskStatus[None]) -> None:
        """Network, carrier and server, in one scope. Once started it does not raise."""
        board: Switchboard | None = None
        try:
            async with anyio.create_task_group() as tasks:
                carrier = await tasks.start(self._network.serve) if self._network is not None else self._carrier
                assert carrier is not None, "the phone asks for a carrier or a network"
                await carrier.start()
                board = await self._open(carrier, tasks)
                self.board = board
                task_status.started()
                await self._stopping.wait()
                await board.close()
                if self._workspace is not None:
                    await self._workspace.hub.end()
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            error = first_error(group)
            if board is None:
                raise error from None
            self._failure = error
            _log.error("The phone's service failed with %s; its live calls are ended.", type(error).__name__)
            await board.close()
        finally:
            workspace, self._workspace = self._workspace, None
            if workspace is not None:
                with anyio.CancelScope(shield=True):
                    await workspace.aclose()
            self.board = None
            self._stopped.set()

    async def _open(self, carrier: Carrier, tasks: TaskGroup) -> Switchboard:
        """Open the doors: a server of our own, or the host's."""
        # The heavy rooms are entered now, in a thread, and not when the package is imported.
        for room in ("patter.call.switchboard", "patter.server.app", *(("patter.server.api",) if self._api else ())):
            await anyio.to_thread.run_sync(import_module, room)
        if self._api is not None:
            await self._open_workspace(self._api, tasks)
        if self.app is not None:
            board, app = self._build(carrier, tasks, self._webhook or "")
            self.app.router.routes[:] = app.routes
            self.app.router.redirect_slashes = app.router.redirect_slashes
            return board
        listener = import_module("patter.server.listener")
        sock = listener.bind(self._host, self.port)
        try:
            port = sock.getsockname()[1]
            address = self._webhook or f"http://127.0.0.1:{port}"
            if self._has_tunnel:
                address = await tasks.start(import_module("patter.server.tunnel").tunnel, port)
            board, app = self._build(carrier, tasks, address)
        except BaseException:
            sock.close()
            raise
        room = "patter.server.listener" if self._api is None else "patter.server.api"
        await tasks.start(listener.serve, app, sock, import_module(room).MAX_MESSAGE_BYTES)
        return board

    def _build(self, carrier: Carrier, tasks: TaskGroup, address: str) -> tuple[Switchboard, Starlette]:
        """The switchboard, and the web application before it."""
        workspace = self._workspace
        board: Switchboard = import_module("patter.call.switchboard").Switchboard(
            carrier,
            address,
            store=self._store,
            prices=self._prices,
            tasks=tasks,
            allow_hosts=self._allow_hosts,
            workspace=workspace,
        )
        if self._network is not None:
            self._network.voice_url = board.voice_url
        app: Starlette = import_module("patter.server.app").build_app(board, carrier)
        if workspace is not None and self._api is not None:
            app.router.routes += import_module("patter.server.api").api_routes(
                board,
                workspace,
                keys=self._api.keys,
                rate_limit=self._api.rate_limit,
                allow_hosts=self._allow_hosts,
            )
        return board, app

    async def _open_workspace(self, api: Api, tasks: TaskGroup) -> None:
        room = await anyio.to_thread.run_sync(import_module, "patter.workspace")
        workspace: Workspace = room.open_workspace(api.store)
        self._workspace = workspace
        await workspace.catalogue.refresh()
        tasks.start_soon(workspace.catalogue.follow)


class Lifespan:
    """The lifespan of the host's ASGI app: the phone runs while the server does."""

    def __init__(self, phone: AbstractAsyncContextManager[object]) -> None:
        self._phone = phone

    async def __aenter__(self) -> None:
        await self._phone.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._phone.__aexit__(kind, error, trace)
