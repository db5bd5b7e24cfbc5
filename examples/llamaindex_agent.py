"""A LlamaIndex agent is asked in a sentence to book a haircut: it calls, and reports back.

Runs as it is: the agent's model is scripted and the phone is the local network. With OPENAI_API_KEY set and
``pip install llama-index-llms-openai``, the model is a real one; with TWILIO_ACCOUNT_SID and the other variables of
real_call.py, the phone is.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms import LLM
from llama_index.core.llms.mock import MockFunctionCallingLLM

from patter import DeepgramSTT, ElevenLabsTTS, OpenAILLM, Patter, Twilio
from patter_llamaindex import PatterFunctionTool, PhoneCallEvent

TASK = "Please book me a haircut at the salon, +1 555 010 0199, tomorrow at three in the afternoon. I am Maria Lopez."


def scripted(messages: list[ChatMessage], **_: Any) -> ChatMessage:
    """Stands in for the agent's model: calls the tool once, then reports what came back."""
    if messages[-1].role != "tool":
        goal = "Book a haircut for Maria Lopez for tomorrow at three in the afternoon."
        arguments = {"to": "+15550100199", "goal": goal}
        use = ToolCallBlock(tool_call_id="call_1", tool_name="make_phone_call", tool_kwargs=arguments)
        return ChatMessage(role="assistant", blocks=[use])
    envelope = json.loads(messages[-1].content or "")
    last = [line["text"] for line in envelope["transcript"] if line["role"] == "user"][-1]
    return ChatMessage(role="assistant", content=f"The call was {envelope['status']}. They said last: {last}")


def model() -> LLM:
    if not os.environ.get("OPENAI_API_KEY"):
        return MockFunctionCallingLLM(response_generator=scripted)
    from llama_index.llms.openai import OpenAI

    return OpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-4.1-mini"))


def phone_tool() -> PatterFunctionTool:
    if not os.environ.get("TWILIO_ACCOUNT_SID"):
        return PatterFunctionTool(phone=Patter.local(persona="salon"))
    agent = {"stt": DeepgramSTT(), "llm": OpenAILLM(), "tts": ElevenLabsTTS(voice_id="rachel")}
    return PatterFunctionTool(phone=Patter(carrier=Twilio()), agent=agent)


async def main() -> None:
    agent = FunctionAgent(tools=[phone_tool()], llm=model())
    handler = agent.run(TASK)
    async for event in handler.stream_events():
        if isinstance(event, PhoneCallEvent) and event.type in ("user", "agent"):
            print(f"{event.type:>5}: {event.data['text']}")
    print(await handler)


if __name__ == "__main__":
    asyncio.run(main())
