"""PatterTool in a plain OpenAI-style loop: send the schema, dispatch the call, return the envelope.

Runs as it is: the host's model is scripted and the phone is the local network. With OPENAI_API_KEY set
and ``pip install openai``, the model is a real one; the loop does not change.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from patter import InvalidArguments, Patter, PatterTool

TASK = "Please book me a haircut at the salon, +1 555 010 0199, tomorrow at three in the afternoon. I am Maria Lopez."


class ScriptedModel:
    """Stands in for the host's model: calls the tool once, then reports what came back."""

    async def answer(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        if messages[-1]["role"] == "user":
            arguments = {
                "to": "+15550100199",
                "goal": "Book a haircut for Maria Lopez for tomorrow at three in the afternoon.",
            }
            function = {"name": tools[0]["function"]["name"], "arguments": json.dumps(arguments)}
            return {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
        envelope = json.loads(messages[-1]["content"])
        last = [line["text"] for line in envelope["transcript"] if line["role"] == "user"][-1]
        return {"role": "assistant", "content": f"The call was {envelope['status']}. They said last: {last}"}


class OpenAIModel:
    """The same question to a real model."""

    async def answer(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        from openai import AsyncOpenAI

        reply = await AsyncOpenAI().chat.completions.create(
            model=os.environ.get("OPENAI_MODEL", "gpt-5.4-mini"), messages=messages, tools=tools
        )
        return reply.choices[0].message.model_dump(exclude_none=True)


async def dispatch(tool: PatterTool, call: dict[str, Any]) -> str:
    """Run one tool call; the model can mend bad arguments, because the error names the field."""
    try:
        # The model's id of the call makes a repeated dispatch harmless: nobody is dialled twice.
        result = await tool.execute(json.loads(call["function"]["arguments"]), idempotency_key=call["id"])
        return result.to_llm()
    except (InvalidArguments, ValueError) as error:
        return json.dumps({"error": str(error)})


async def main() -> None:
    model = OpenAIModel() if os.environ.get("OPENAI_API_KEY") else ScriptedModel()
    async with PatterTool(phone=Patter.local(persona="salon")) as tool:
        messages: list[dict[str, Any]] = [{"role": "user", "content": TASK}]
        while True:
            message = await model.answer(messages, [tool.openai_schema()])
            messages.append(message)
            if not message.get("tool_calls"):
                break
            for call in message["tool_calls"]:
                answer = await dispatch(tool, call)
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": answer})
    print(messages[-1]["content"])


if __name__ == "__main__":
    asyncio.run(main())
