"""Somebody calls the phone: over the local network, with the carrier's own protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio
import httpx2
import pytest
from twilio.request_validator import RequestValidator

from patter import CallResult, ConfigError, Patter, Timing
from patter.local.dialogue import Listen, Persona, Say, scripted
from patter.local.exchange import ExchangeCall, Faults, Timings

pytestmark = pytest.mark.anyio

CALLER = scripted(
    Listen(),
    Say("What are your opening hours?"),
    Listen(),
    Say("Thank you, goodbye."),
    number="+15550101234",
)


class Desk:
    """A phone that answers; ``results`` has the envelopes of the calls that are over."""

    def __init__(self, **serve: Any) -> None:
        self.phone = Patter.local(voice="tones", timings=Timings.quick())
        self.serve = serve
        self.results: list[CallResult] = []
        self.news = anyio.Event()
        self.voice_url = ""

    def call_in(self, caller: Persona = CALLER) -> ExchangeCall:
        network = self.phone.network
        assert network is not None
        return self.phone.engine.invoke(lambda: network.call_in(caller))

    async def envelopes(self, number: int) -> list[CallResult]:
        with anyio.fail_after(20):
            while len(self.results) < number:
                await self.news.wait()
        return self.results

    def take(self, result: CallResult) -> None:
        self.results.append(result)
        news, self.news = self.news, anyio.Event()
        news.set()

    async def run(self, test: Callable[[], Awaitable[None]]) -> None:
        serving = anyio.Event()

        async def serve() -> None:
            options = {"on_result": self.take, **self.serve}
            await self.phone.serve(on_event=lambda event: self.note(event, serving), **options)

        async with self.phone, anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            with anyio.fail_after(10):
                await serving.wait()
            await test()
            await self.phone.stop()

    def note(self, event: dict[str, Any], serving: anyio.Event) -> None:
        if event["type"] == "serving":
            self.voice_url = event["voice_url"]
            serving.set()


def answer(message: dict[str, Any]) -> str:
    return "We open at nine." if "opening" in message["text"] else "Style Studio, how can I help?"


async def test_an_incoming_call_is_greeted_answered_and_reported() -> None:
    desk = Desk(on_message=answer)

    async def test() -> None:
        call = desk.call_in()
        (result,) = await desk.envelopes(1)
        assert [(line.role, line.text) for line in result.transcript][:3] == [
            ("agent", "Style Studio, how can I help?"),
            ("user", "What are your opening hours?"),
            ("agent", "We open at nine."),
        ]
        assert call.heard[:2] == ["Style Studio, how can I help?", "We open at nine."]
        assert (result.status, result.call_id) == ("completed", call.sid)
        assert result.details is not None
        assert (result.details.from_, result.details.to) == ("+15550101234", "+15550100001")
        assert result.details.end_reason == "user_hangup"

    await desk.run(test)


async def test_ten_callers_at_once_have_calls_of_their_own() -> None:
    async def echo(message: dict[str, Any]) -> str:
        return f"You said: {message['text']}" if message["text"] else f"Hello {message['caller'][-2:]}."

    desk = Desk(on_message=echo)

    async def test() -> None:
        for number in range(10, 20):
            said = Say(f"This is caller {number}.")
            desk.call_in(scripted(Listen(), said, Listen(), number=f"+155501012{number}"))
        for result in await desk.envelopes(10):
            assert result.details is not None
            number = result.details.from_[-2:]
            assert [line.text for line in result.transcript] == [
                f"Hello {number}.",
                f"This is caller {number}.",
                f"You said: This is caller {number}.",
            ]

    await desk.run(test)


async def test_a_call_that_nobody_serves_is_turned_away() -> None:
    phone = Patter.local(voice="tones", timings=Timings.quick())
    async with phone:
        network = phone.network
        assert network is not None
        call = phone.engine.invoke(lambda: network.call_in(CALLER))

        async def over(_: Any) -> None:
            await call.ended.wait()

        with anyio.fail_after(10):
            await phone.engine.run(over)
    assert call.heard == []
    assert phone.live_calls == []


async def test_a_webhook_of_a_stranger_is_refused_and_a_repeated_one_is_the_same_call() -> None:
    desk = Desk(on_message=answer)

    async def test() -> None:
        network = desk.phone.network
        assert network is not None
        form = {"CallSid": "CA" + "1" * 32, "From": "+15550101234", "To": "+15550100001", "CallStatus": "ringing"}
        signed = RequestValidator(network.exchange.auth_token).compute_signature(desk.voice_url, form)
        async with httpx2.AsyncClient(trust_env=False) as client:
            forged = await client.post(desk.voice_url, data=form, headers={"X-Twilio-Signature": "forged"})
            assert (forged.status_code, desk.phone.live_calls) == (403, [])
            first = await client.post(desk.voice_url, data=form, headers={"X-Twilio-Signature": signed})
            again = await client.post(desk.voice_url, data=form, headers={"X-Twilio-Signature": signed})
        assert "<Connect><Stream" in first.text
        assert again.text == first.text
        assert desk.phone.live_calls == [form["CallSid"]]

    await desk.run(test)
    assert [result.details and result.details.end_reason for result in desk.results] == ["shutdown"]


async def test_a_caller_too_many_hears_the_busy_tone() -> None:
    desk = Desk(on_message=answer, max_concurrent_calls=1)

    async def test() -> None:
        first = desk.call_in()
        second = desk.call_in(scripted(Listen(), number="+15550101235"))
        await desk.envelopes(1)
        assert first.heard
        assert second.heard == []

    await desk.run(test)
    assert len(desk.results) == 1


async def test_a_call_whose_media_socket_never_comes_ends_soon_and_says_what_to_look_at() -> None:
    desk = Desk(on_message=answer)
    network = desk.phone.network
    assert network is not None
    network.exchange.faults = Faults(media_never_connects=True)
    desk.serve["agent"] = replace(network.agent, timing=Timing(media_wait_s=0.3))

    async def test() -> None:
        desk.call_in()
        (result,) = await desk.envelopes(1)
        assert result.details is not None
        assert result.details.error is not None
        assert (result.status, result.details.error.code) == ("failed", "media_error")
        assert "websockets to webhook_url" in result.details.error.message

    await desk.run(test)


async def test_what_a_hosts_callback_raises_ends_no_call() -> None:
    desk = Desk(on_message=answer)

    def broken(result: CallResult) -> None:
        desk.take(result)
        raise ValueError("mine")

    desk.serve["on_result"] = broken

    async def test() -> None:
        desk.call_in()
        await desk.envelopes(1)
        desk.call_in()
        await desk.envelopes(2)

    await desk.run(test)
    assert [result.status for result in desk.results] == ["completed"] * 2


async def later(result: CallResult) -> None:
    """Not a plain function."""


@pytest.mark.parametrize(
    "serve",
    [
        {"agent": {"stt": None}},
        {"on_message": 5},
        {"on_message": "ftp://example.com"},
        {"max_duration_s": "60"},
        {"max_duration_s": 99_999},
        {"max_concurrent_calls": 0},
        {"port": 70_000},
        {"on_result": later},
    ],
)
async def test_serving_nobody_is_an_error(serve: dict[str, Any]) -> None:
    phone = Patter.local(voice="tones")
    with pytest.raises(ConfigError):
        await phone.serve(**serve)
    assert not phone.is_running


async def test_serving_ends_when_its_host_cancels_it() -> None:
    phone = Patter.local(voice="tones", timings=Timings.quick())
    for _ in range(2):  # and may begin again
        with anyio.move_on_after(0.5):
            await phone.serve(on_message=answer)
        assert not phone.is_running
