"""The exchange: a telephone network in a box that speaks Twilio's own protocol over loopback.

A phone that is pointed at its address (``TWILIO_BASE_URL``) runs exactly the code that runs in
production: REST to dial and hang up, signed callbacks, TwiML, and a media socket with 50 frames a
second each way. Nothing leaves this machine.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import uuid4

import anyio
import httpx2
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskGroup, TaskStatus

from patter.errors import ConfigError
from patter.local.callee import Callee, DialedCall, PersonaCallee
from patter.local.dialogue import Persona, Ring, scripted
from patter.local.exchange_call import ExchangeCall
from patter.local.exchange_hosts import Hosts
from patter.local.exchange_instructions import Plant
from patter.local.exchange_posts import Postman
from patter.local.exchange_record import CallRecord
from patter.local.exchange_rest import build_app
from patter.local.exchange_rooms import Rooms
from patter.local.exchange_settings import JUNK, Faults, Timings
from patter.local.exchange_wire import CreateRequest
from patter.server.listener import bind, serve
from patter.voice.base import SpeechToText, TextToSpeech

__all__ = ["JUNK", "Exchange", "ExchangeCall", "Faults", "RestRequest", "Timings"]

CALLBACK_S = 5.0
"""The phone must answer a callback within this time."""

_REQUESTS_A_CALL = 3

_NOT_IN_SERVICE = scripted(name="not in service", ring=Ring("failed"))


@dataclass(frozen=True, slots=True)
class RestRequest:
    """A request that came to the REST interface, refused or not."""

    method: str
    path: str
    form: Mapping[str, list[str]]


class Exchange:
    """The network. `serve` runs it; ``calls`` has the calls by their sids, in the order of the requests.

    The records of old calls and requests are forgotten, so that a network may run for long.

    Args:
        callee: who answers. One persona answers every number; a table of personas answers its numbers,
            and the others are not in service; a function makes the callee of each call.
        voice: ears and voice of the personas, such as those of `patter.local.voices.pick`.
        announcer: the network's own voice, for ``<Say>``; without one, the personas' voice.
        account_sid, auth_token: the account's credentials; by default made up.
        timings: how fast the network is.
        faults: how the calls that are placed from now on misbehave. May be set at any time.
        host, port: where to listen; port 0 takes a free one.
        hosts: public host names and where they are on this machine, see `patter.local.exchange_hosts.Hosts`.
        keep_audio: keep the audio of each call in its record, 24 kB a second.
        keep_calls: so many calls that are over are remembered, and three requests for each.
    """

    def __init__(
        self,
        *,
        callee: Callable[[DialedCall], Callee] | Persona | Mapping[str, Persona],
        voice: tuple[SpeechToText, TextToSpeech] | None = None,
        announcer: TextToSpeech | None = None,
        account_sid: str | None = None,
        auth_token: str | None = None,
        timings: Timings | None = None,
        faults: Faults | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        hosts: Mapping[str, str] | None = None,
        keep_audio: bool = True,
        keep_calls: int = 100,
    ) -> None:
        if voice is None and not callable(callee):
            raise ConfigError("Personas need ears and a voice: pass voice=pick('tones', ...).")
        self.account_sid = account_sid or "AC" + secrets.token_hex(16)
        self.auth_token = auth_token or secrets.token_hex(16)
        self.timings = timings or Timings()
        self.faults = faults or Faults()
        self.calls: dict[str, ExchangeCall] = {}
        self.requests: list[RestRequest] = []
        self.creates = 0
        """How often a call was asked for, refused or not."""
        self._forgotten = 0
        self._callee = callee
        self._voice = voice
        self._announcer = announcer or (voice[1] if voice is not None else None)
        self._rooms = Rooms()
        self.hosts = Hosts(hosts)
        self._host = host
        self._port = port
        self._keep_audio = keep_audio
        self._keep_calls = keep_calls
        self._tasks: TaskGroup | None = None

    async def serve(self, *, task_status: TaskStatus[str] = TASK_STATUS_IGNORED) -> None:
        """Run the network until cancelled, which hangs up every call.

        ``task_status`` is told the origin, such as ``http://127.0.0.1:40001``.
        """
        sock = bind(self._host, self._port)
        origin = f"http://{self._host}:{sock.getsockname()[1]}"
        self.closing = anyio.Event()
        self._placed = anyio.Event()
        # Loopback only and without TLS, so neither proxies nor certificates matter.
        async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=CALLBACK_S) as self._client:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                await tasks.start(serve, build_app(self), sock)
                task_status.started(origin)
                try:
                    await anyio.sleep_forever()
                finally:
                    self._tasks = None
                    self.closing.set()

    async def nth_call(self, number: int = 1) -> ExchangeCall:
        """Wait until this many calls were placed, and return the last of them."""
        while self._forgotten + len(self.calls) < number:
            await self._placed.wait()
        return list(self.calls.values())[number - 1 - self._forgotten]

    def note_request(self, method: str, path: str, form: Mapping[str, list[str]]) -> None:
        """Keep a record of a request."""
        self.creates += method == "POST" and path.endswith("/Calls.json")
        self.requests.append(RestRequest(method, path, form))
        del self.requests[: -_REQUESTS_A_CALL * self._keep_calls]

    def call_in(self, voice_url: str, caller: Callee, *, from_number: str, to: str) -> ExchangeCall:
        """Let somebody call the phone whose voice URL this is; returns the call at once."""
        request = CreateRequest(
            to=to,
            from_number=from_number,
            twiml=None,
            url=voice_url,
            status_url=None,
            status_events=frozenset(),
            timeout_s=60,
            time_limit_s=14_400,
            machine_detection=False,
            machine_url=None,
            form={},
            direction="inbound",
        )
        return self.place(request, caller)

    def place(self, request: CreateRequest, callee: Callee | None = None) -> ExchangeCall:
        """Begin a call, and return it at once."""
        assert self._tasks is not None, "the exchange is not running"
        record = CallRecord()
        dialed = DialedCall("CA" + uuid4().hex, request.to, request.from_number, request.form)
        postman = Postman(
            self._client,
            self.auth_token,
            record,
            self.hosts,
            order=self.faults.callbacks,
            signing=self.faults.callback_signature,
        )
        call = ExchangeCall(
            request,
            dialed,
            callee or self._answerer(dialed),
            record,
            postman,
            plant=self._plant(),
            faults=self.faults,
        )
        self._forget()
        self.calls[call.sid] = call
        self._tasks.start_soon(call.run)
        placed, self._placed = self._placed, anyio.Event()
        placed.set()
        return call

    def _forget(self) -> None:
        over = [sid for sid, call in self.calls.items() if call.ended.is_set()]
        for sid in over[: -self._keep_calls]:
            del self.calls[sid]
            self._forgotten += 1

    def _plant(self) -> Plant:
        return Plant(
            account_sid=self.account_sid,
            auth_token=self.auth_token,
            timings=self.timings,
            hosts=self.hosts,
            keep_audio=self._keep_audio,
            rooms=self._rooms,
            place=self.place,
            announcer=self._announcer,
        )

    def _answerer(self, dialed: DialedCall) -> Callee:
        if callable(self._callee):
            return self._callee(dialed)
        if isinstance(self._callee, Persona):
            persona = self._callee
        else:
            numbers = {persona.number: persona for persona in self._callee.values()}
            persona = numbers.get(dialed.to, _NOT_IN_SERVICE)
        assert self._voice is not None
        return PersonaCallee(persona, *self._voice)
