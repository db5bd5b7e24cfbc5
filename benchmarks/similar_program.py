"""One call with getpatter 0.7.0, in an environment of its own; run by `benchmarks.similar`, in the world's environment.

It has no setting for the addresses of its vendors, but for OpenAI's. So their names in its modules and in
its HTTP requests are replaced; everything else is its public API with its defaults. Its audio comes to
Deepgram at 16 kHz, and the emulator hears 8 kHz, so every second sample is left out on the way.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import sys
from typing import Any

import getpatter
import httpx
from getpatter.providers import deepgram_stt, twilio_adapter
from twilio.http.http_client import TwilioHttpClient

ORIGINS = {
    "https://api.twilio.com": os.environ["TWILIO_BASE_URL"],
    "https://api.deepgram.com": os.environ["DEEPGRAM_BASE_URL"],
    "https://api.elevenlabs.io": os.environ["ELEVENLABS_BASE_URL"],
}


def here(url: str) -> str:
    """The address on this machine that stands for a vendor's."""
    for origin, local in ORIGINS.items():
        url = url.replace(origin, local)
    return url


class LocalTwilio(TwilioHttpClient):
    """Twilio's REST client, led to this machine."""

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        return super().request(method, here(url), *args, **kwargs)


class At8kHz(getpatter.DeepgramSTT):
    """Deepgram at the emulator's rate."""

    _begin = 0

    async def send_audio(self, audio_chunk: bytes) -> None:
        samples = array.array("h", audio_chunk)
        await super().send_audio(samples[self._begin :: 2].tobytes())
        self._begin = (self._begin + len(samples)) % 2


def lead_here() -> None:
    """Put this machine in the place of the vendors."""
    client = twilio_adapter.TwilioClient
    twilio_adapter.TwilioClient = lambda sid, token: client(sid, token, http_client=LocalTwilio())
    deepgram_stt.DEEPGRAM_WS_URL = here("https://api.deepgram.com/v1/listen").replace("http", "ws", 1)
    send = httpx.AsyncClient.send

    async def send_here(self: httpx.AsyncClient, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        request.url = httpx.URL(here(str(request.url)))
        request.headers["host"] = request.url.netloc.decode()
        return await send(self, request, **kwargs)

    httpx.AsyncClient.send = send_here


async def main(number: str, greeting: str) -> None:
    lead_here()
    carrier = getpatter.Twilio(account_sid=os.environ["TWILIO_ACCOUNT_SID"], auth_token=os.environ["TWILIO_AUTH_TOKEN"])
    phone = getpatter.Patter(
        carrier=carrier,
        phone_number=os.environ["TWILIO_PHONE_NUMBER"],
        webhook_url=os.environ["PATTER_WEBHOOK_URL"],
        persist=False,
        telemetry=False,
    )
    agent = phone.agent(
        system_prompt="Talk.",
        first_message=greeting,
        stt=At8kHz(sample_rate=8000),
        llm=getpatter.OpenAILLM(),
        # Its default over the websocket waits for a message that the emulator does not send after a flush.
        tts=getpatter.ElevenLabsRestTTS(api_key=os.environ["ELEVENLABS_API_KEY"], output_format="ulaw_8000"),
    )
    serving = asyncio.create_task(phone.serve(agent, port=int(os.environ["PORT"]), dashboard=False))
    await asyncio.wait({serving, asyncio.ensure_future(phone.ready)}, return_when=asyncio.FIRST_COMPLETED)
    result = await phone.call(number, agent=agent, machine_detection=False, wait=True)
    print(json.dumps({"status": result.status, "outcome": result.outcome}), flush=True)
    os._exit(0)  # its server takes the signals of the process, and its time to stop


asyncio.run(main(*sys.argv[1:]))
