"""What strangers can do at the doors of a phone with a live call: nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from twilio.request_validator import RequestValidator
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from patter import Patter
from patter.envelope import CallResult
from patter.local.dialogue import Say, Wait, scripted
from patter.local.exchange import ExchangeCall, Timings
from patter.server.app import MAX_UNSTARTED

pytestmark = pytest.mark.anyio

TO = "+15550100199"


class LiveCall:
    """A phone whose one call is being held; ``result`` is there once it was ended."""

    def __init__(self, phone: Patter) -> None:
        self.phone = phone
        self.answered = anyio.Event()
        self.result: CallResult | None = None

    async def run(self) -> None:
        self.result = await self.phone.call(TO, goal="Wait.", on_event=self._on_event)

    def _on_event(self, event: dict[str, Any]) -> None:
        if event["type"] == "user":
            self.answered.set()

    @property
    def at_exchange(self) -> ExchangeCall:
        assert self.phone.network is not None
        return next(iter(self.phone.network.exchange.calls.values()))

    @property
    def status_url(self) -> str:
        return str(self.at_exchange.request.status_url)

    @property
    def media_url(self) -> str:
        url = urlsplit(self.status_url)
        return f"ws://{url.netloc}/local/media"

    @property
    def signed_token(self) -> str:
        assert self.phone.network is not None
        return self.phone.network.exchange.auth_token


@pytest.fixture
async def live() -> AsyncIterator[LiveCall]:
    phone = Patter.local(scripted(Say("Hello there?"), Wait(60)), voice="tones", timings=Timings.quick())
    call = LiveCall(phone)
    async with phone, anyio.create_task_group() as tasks:
        tasks.start_soon(call.run)
        with anyio.fail_after(10):
            await call.answered.wait()
        yield call
        phone.hangup_all()
    assert call.result is not None
    assert call.result.status == "completed"
    assert call.result["details"]["error"] is None


def form(call: LiveCall, status: str = "completed") -> dict[str, str]:
    return {"CallSid": call.at_exchange.sid, "AccountSid": "AC", "CallStatus": status}


@pytest.mark.parametrize("signature", [None, "", "forged", "JaH1JjHs4E3pV0e/2rVuLhiIm3c="])
async def test_a_webhook_without_the_carriers_signature_changes_nothing(live: LiveCall, signature: str | None) -> None:
    headers = {} if signature is None else {"X-Twilio-Signature": signature}
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(live.status_url, data=form(live), headers=headers)
    assert answer.status_code == 403
    assert live.phone.live_calls == [live.at_exchange.sid]


async def test_a_signature_for_another_address_or_body_is_no_signature(live: LiveCall) -> None:
    validator = RequestValidator(live.signed_token)
    elsewhere = validator.compute_signature(live.status_url + "x", form(live))
    other_body = validator.compute_signature(live.status_url, form(live, "ringing"))
    async with httpx2.AsyncClient(trust_env=False) as client:
        for signature in (elsewhere, other_body):
            answer = await client.post(live.status_url, data=form(live), headers={"X-Twilio-Signature": signature})
            assert answer.status_code == 403
    assert live.phone.live_calls == [live.at_exchange.sid]


async def test_a_signed_fact_of_another_call_changes_nothing(live: LiveCall) -> None:
    foreign = form(live) | {"CallSid": "CA" + "0" * 32}
    signature = RequestValidator(live.signed_token).compute_signature(live.status_url, foreign)
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(live.status_url, data=foreign, headers={"X-Twilio-Signature": signature})
    assert answer.status_code == 204
    assert live.phone.live_calls == [live.at_exchange.sid]


async def test_there_are_no_other_pages(live: LiveCall) -> None:
    origin = "http://" + urlsplit(live.status_url).netloc
    async with httpx2.AsyncClient(trust_env=False) as client:
        for path in ("/", "/docs", "/openapi.json", "/local/media", "/twilio/status/x"):
            assert (await client.get(origin + path)).status_code in (404, 405)


def start_message(call_sid: str, parameters: dict[str, str]) -> str:
    start = {"accountSid": "AC", "streamSid": "MZ1", "callSid": call_sid, "customParameters": parameters}
    return json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": start})


async def refused(url: str, message: str) -> int:
    """Connect and introduce ourselves; the close code that comes back."""
    async with connect(url, proxy=None) as socket:
        await socket.send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        await socket.send(message)
        with anyio.fail_after(6):
            try:
                async for _ in socket:
                    raise AssertionError("the stranger was sent something")
            except ConnectionClosed:
                pass
        assert socket.close_code is not None
        return socket.close_code


@pytest.mark.parametrize("token", ["none", "wrong", "used"])
async def test_a_media_socket_without_the_unused_token_is_refused(live: LiveCall, token: str) -> None:
    record = live.at_exchange.record
    used = dict(record.parameters)
    parameters = {"none": {"ref": used["ref"]}, "wrong": used | {"token": "guess"}, "used": used}[token]
    before = record.received_bytes
    assert await refused(live.media_url, start_message(live.at_exchange.sid, parameters)) == 1008
    assert live.phone.live_calls == [live.at_exchange.sid]
    assert record.received_bytes >= before


async def test_a_media_socket_of_another_call_is_refused(live: LiveCall) -> None:
    parameters = dict(live.at_exchange.record.parameters) | {"ref": "0" * 32}
    assert await refused(live.media_url, start_message(live.at_exchange.sid, parameters)) == 1008


async def test_a_media_socket_with_a_wrong_signature_is_not_accepted(live: LiveCall) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(live.media_url, proxy=None, additional_headers={"X-Twilio-Signature": "forged"}):
            raise AssertionError("it was accepted")
    assert caught.value.response.status_code == 403


async def test_idle_strangers_do_not_shut_the_door_for_the_carrier(live: LiveCall) -> None:
    """Sockets that never say whose they are fill their own queue, and not that of signed ones."""
    async with AsyncExitStack() as sockets:
        accepted = 0
        for _ in range(MAX_UNSTARTED + 5):
            try:
                await sockets.enter_async_context(connect(live.media_url, proxy=None))
                accepted += 1
            except InvalidStatus as error:
                assert error.response.status_code == 403
        assert accepted == MAX_UNSTARTED
        result = await live.phone.call(TO, goal="Wait.", max_duration_s=1)
    assert result.status == "timeout"
    assert result["details"]["outcome"] == "answered"
    assert [line["text"] for line in result["transcript"]][:1] == ["Hello there?"]
