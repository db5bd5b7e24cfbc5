"""A call with a real carrier and real vendors. Keys and addresses come from the environment.

Without accounts, rehearse it on this machine: ``python -m patter.testing.rehearsal examples/real_call.py``.
"""

import asyncio
import os
import sys

from patter import DeepgramSTT, ElevenLabsTTS, OpenAILLM, Patter, PatterTool, Twilio


async def main(to: str) -> None:
    # TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_PHONE_NUMBER, and PATTER_WEBHOOK_URL, such as api.example.com.
    phone = Patter(carrier=Twilio(), port=int(os.environ.get("PORT", "8000")))
    agent = {"stt": DeepgramSTT(), "llm": OpenAILLM(), "tts": ElevenLabsTTS(voice_id="rachel")}
    async with PatterTool(phone=phone, agent=agent) as tool:
        result = await tool.execute(
            to=to,
            goal="Book a haircut for tomorrow at three in the afternoon.",
            first_message="Hello, this is an automated assistant.",
            max_duration_sec=120,
        )
    latency_ms = result.metrics.p95_latency_ms
    print(f"{result.status}, {result.duration_seconds:.0f} s, latency {latency_ms:.0f} ms, ${result.cost_usd:.4f}")
    for line in result.transcript:
        print(f"{line.role:>5}: {line.text}")


asyncio.run(main(*sys.argv[1:] or ["+15550100199"]))
