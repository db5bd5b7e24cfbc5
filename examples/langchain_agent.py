"""A LangChain agent that is asked in a sentence to book a haircut: it calls the salon, and reports back.

Runs as it is: the model is scripted and the phone is the local network. With OPENAI_API_KEY set (and
``pip install langchain-openai``) the model is a real one; with the keys of `real_call.py`, too, so is the phone.
"""

from __future__ import annotations

import json
import os
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from patter import DeepgramSTT, ElevenLabsTTS, OpenAILLM, Patter, Twilio
from patter_langchain import PatterLangChainTool

TASK = "Please book me a haircut at the salon, +1 555 010 0199, tomorrow at three in the afternoon. I am Maria Lopez."


class ScriptedModel(BaseChatModel):
    """Stands in for the agent's model: uses the phone once, then reports what came back."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        if messages[-1].type == "human":
            args = {
                "to": "+15550100199",
                "goal": "Book Maria Lopez a haircut for tomorrow at three in the afternoon.",
            }
            answer = AIMessage("", tool_calls=[{"name": "make_phone_call", "args": args, "id": "call_1"}])
        else:
            envelope = json.loads(messages[-1].text)
            last = [line["text"] for line in envelope["transcript"] if line["role"] == "user"][-1]
            answer = AIMessage(f"The call was {envelope['status']}. They said last: {last}")
        return ChatResult(generations=[ChatGeneration(message=answer)])


def chat_model() -> BaseChatModel:
    if not os.environ.get("OPENAI_API_KEY"):
        return ScriptedModel()
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-5.4-mini"))


def phone_tool() -> PatterLangChainTool:
    if not os.environ.get("TWILIO_ACCOUNT_SID"):
        return PatterLangChainTool(phone=Patter.local(persona="salon"))
    phone = Patter(carrier=Twilio(), port=int(os.environ.get("PORT", "8000")))
    agent = {"stt": DeepgramSTT(), "llm": OpenAILLM(), "tts": ElevenLabsTTS(voice_id="rachel")}
    return PatterLangChainTool(phone=phone, agent=agent)


agent = create_agent(chat_model(), tools=[phone_tool()])
for mode, chunk in agent.stream({"messages": [("user", TASK)]}, stream_mode=["custom", "values"]):
    if mode == "custom" and chunk["data"]["type"] in ("user", "agent"):
        print(f"{chunk['data']['type']:>5}: {chunk['data']['text']}")
print(chunk["messages"][-1].text)
