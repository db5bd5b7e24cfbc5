"""A crew member is asked in a sentence to book a haircut, makes the phone call, and reports back.

Runs as it is: the crew's model is scripted and the phone is the local network. With OPENAI_API_KEY set the model
is a real one; with TWILIO_ACCOUNT_SID as well (and what examples/real_call.py needs) the phone rings for real.
"""

from __future__ import annotations

import json
import os
from typing import Any

# CrewAI reports every kickoff to its makers; a program that makes phone calls should do that only if asked to.
os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")
os.environ.setdefault("CREWAI_TRACING_ENABLED", "false")

from crewai import LLM, Agent, BaseLLM, Crew, Task

from patter import DeepgramSTT, ElevenLabsTTS, OpenAILLM, Patter, Twilio
from patter.signals import hang_up_on_signals
from patter_crewai import PatterCrewAITool

REQUEST = "Please book me a haircut at the salon, {number}, tomorrow at three in the afternoon. I am Maria Lopez."


class ScriptedLLM(BaseLLM):
    """Stands in for the crew's model: calls the tool once, then reports what came back."""

    def call(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        if messages[-1]["role"] != "tool":
            goal = "Book a haircut for Maria Lopez for tomorrow at three in the afternoon."
            arguments = json.dumps({"to": "+15550100199", "goal": goal})
            return [{"id": "call_1", "function": {"name": "make_phone_call", "arguments": arguments}}]
        envelope = json.loads(messages[-1]["content"])
        last = [line["text"] for line in envelope["transcript"] if line["role"] == "user"][-1]
        return f"The call was {envelope['status']}. They said last: {last}"

    def supports_function_calling(self) -> bool:
        return True


def make_tool() -> PatterCrewAITool:
    if not os.environ.get("TWILIO_ACCOUNT_SID"):
        return PatterCrewAITool(phone=Patter.local(persona="salon"), max_usage_count=2)
    phone = Patter(carrier=Twilio(), port=int(os.environ.get("PORT", "8000")))
    voices = {"stt": DeepgramSTT(), "llm": OpenAILLM(), "tts": ElevenLabsTTS(voice_id="rachel")}
    return PatterCrewAITool(phone=phone, agent=voices, max_usage_count=2)


def main() -> None:
    is_real = bool(os.environ.get("OPENAI_API_KEY"))
    llm = LLM(model=os.environ.get("OPENAI_MODEL", "gpt-5.4-mini")) if is_real else ScriptedLLM(model="scripted")
    tool = make_tool()
    caller = Agent(role="Assistant", goal="Do what is asked.", backstory="You have a phone.", tools=[tool], llm=llm)
    task = Task(description=REQUEST, expected_output="What was agreed, in one sentence.", agent=caller)
    with hang_up_on_signals(tool):  # Ctrl-C hangs up first
        output = Crew(agents=[caller], tasks=[task]).kickoff(inputs={"number": "+15550100199"})
    print(output.raw)


if __name__ == "__main__":
    main()
