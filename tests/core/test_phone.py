"""The phone: its configuration, its life on the engine or on a host's server, and what it keeps to itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager

import anyio
import anyio.to_thread
import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from patter import Agent, CallResult, ConfigError, Patter, RemoteToolClient, Twilio
from patter.carriers.addresses import public_url
from patter.local.brain import DemoBrain
from patter.local.dialogue import Listen, Say, scripted
from patter.local.exchange import Timings
from patter.local.voices import TonesSTT, TonesTTS
from patter.server.listener import bind

BRIEF = scripted(Say("Hello?"), Listen(after_words=3))
TO = "+15550100199"


@pytest.mark.parametrize(
    ("given", "public"),
    [
        ("api.example.com", "https://api.example.com"),
        ("api.example.com/", "https://api.example.com"),
        ("https://api.example.com/phone/", "https://api.example.com/phone"),
        ("api.example.com:8443", "https://api.example.com:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost:8000", "http://localhost:8000"),
    ],
)
def test_a_host_name_is_enough(given: str, public: str) -> None:
    assert public_url(given) == public


@pytest.mark.parametrize(
    "given",
    [
        "",
        "localhost",
        "not a url",
        "a b.example.com",
        "127.0.0.1:8000",
        "http://api.example.com",
        "ftp://api.example.com",
        "https://",
        "https://a.b/?x=1",
        "https://me@a.b",
    ],
)
def test_a_bad_address_says_what_is_accepted(given: str) -> None:
    with pytest.raises(ConfigError, match=r"api\.example\.com"):
        public_url(given)


def test_what_is_missing_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="carrier"):
        Patter()
    carrier = Twilio("AC" + "0" * 32, "secret")
    with pytest.raises(ConfigError, match="TWILIO_PHONE_NUMBER"):
        Patter(carrier)
    with pytest.raises(ConfigError, match="PATTER_WEBHOOK_URL"):
        Patter(carrier, "+15550001234")
    with pytest.raises(ConfigError, match="phone_number"):
        Patter(carrier, "not a number", "api.example.com")
    with pytest.raises(ConfigError, match="TWILIO_AUTH_TOKEN"):
        Twilio("AC" + "0" * 32)
    monkeypatch.setenv("TWILIO_PHONE_NUMBER", "+15550001234")
    monkeypatch.setenv("PATTER_WEBHOOK_URL", "api.example.com")
    phone = Patter(carrier)
    assert phone.phone_number == "+15550001234"
    with pytest.raises(ConfigError, match="agent is missing"):
        phone.check_agent(None)
    with pytest.raises(ConfigError, match="salon"):
        Patter.local("nobody")
    with pytest.raises(ConfigError, match="tones"):
        Patter.local(voice="song")
    with pytest.raises(ConfigError, match="carrier"):
        Patter(Twilio, "+15550001234", "api.example.com")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="port"):
        Patter(carrier, "+15550001234", "api.example.com", port="8000")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="persona"):
        Patter.local(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="pricing"):
        Patter(carrier, pricing={"twilio": 1.0})


class HostServer:
    """A host's own uvicorn, on the test's loop."""

    def __init__(self) -> None:
        self.socket = bind("127.0.0.1", 0)
        self.port = self.socket.getsockname()[1]

    async def run(self, app: ASGIApp, *, task_status: anyio.abc.TaskStatus[uvicorn.Server]) -> None:
        class Server(uvicorn.Server):
            @contextmanager
            def capture_signals(self) -> Generator[None, None, None]:
                yield  # the signals are the test runner's

            async def startup(self, sockets=None) -> None:  # type: ignore[no-untyped-def]
                await super().startup(sockets=sockets)
                task_status.started(self)

        server = Server(uvicorn.Config(app, log_config=None, lifespan="on", ws="websockets-sansio"))
        with self.socket:
            await server.serve(sockets=[self.socket])


@pytest.mark.anyio
@pytest.mark.parametrize("mounted", [False, True])
async def test_a_phone_lives_on_the_hosts_own_server(mounted: bool) -> None:
    host = HostServer()
    path = "/phone" if mounted else ""
    url = f"http://127.0.0.1:{host.port}{path}"
    keys = {"key": {"permissions": ["tools:serve", "agents:read"]}}
    phone = Patter.local(BRIEF, voice="tones", timings=Timings.quick(), webhook_url=url, api_keys=keys)
    client = RemoteToolClient(url, agent="desk", api_key="key")
    inner = phone.asgi()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with phone:
            yield

    app = Starlette(routes=[Mount(path, inner)], lifespan=lifespan) if mounted else inner
    with pytest.raises(ConfigError, match="lifespan"):
        await phone.call(TO, goal="Book a table.")
    results: list[CallResult] = []
    async with anyio.create_task_group() as tasks:
        server = await tasks.start(host.run, app)
        results.append(await phone.call(TO, goal="Book a table."))
        engine = phone.engine
        work = lambda: engine.run_sync(lambda _: phone.call(TO, goal="Book a table."))  # noqa: E731
        results.append(await anyio.to_thread.run_sync(work))
        await phone.start(phone.agent(name="desk"))
        async with httpx2.AsyncClient(trust_env=False) as http:
            agents = await http.get(f"{url}/v1/agents", headers={"X-API-Key": "key"})
        assert [agent["name"] for agent in agents.json()] == ["desk"]
        async with anyio.create_task_group() as clients:
            await clients.start(client.run)
            clients.cancel_scope.cancel()
        server.should_exit = True
    assert [result.status for result in results] == ["completed", "completed"]
    assert not phone.is_running


@pytest.mark.anyio
async def test_a_call_needs_a_goal_or_a_prompt() -> None:
    agent = Agent(stt=TonesSTT(), llm=DemoBrain(), tts=TonesTTS(), system_prompt="Goal: Book a table.")
    async with Patter.local(BRIEF, voice="tones", timings=Timings.quick()) as phone:
        with pytest.raises(ValueError, match="goal"):
            await phone.call(TO)
        assert (await phone.call(TO, agent=agent)).status == "completed"


@pytest.mark.anyio
async def test_call_two_is_like_call_one() -> None:
    async with Patter.local(BRIEF, voice="tones", timings=Timings.quick()) as phone:
        results = [await phone.call(TO, goal="Book a table.") for _ in range(3)]
    assert len({tuple(line.text for line in result.transcript) for result in results}) == 1


@pytest.mark.parametrize("missing", ["sqlalchemy", "limits"])
def test_what_the_api_needs_is_asked_for_when_the_phone_is_made(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patter.service.find_spec", lambda name: None if name == missing else object())
    with pytest.raises(ConfigError, match=rf"{missing}.*pip install 'patter-core\[server\]'"):
        Patter.local(api_keys={})
    Patter.local()
