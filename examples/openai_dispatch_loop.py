"""PatterTool in a plain loop over OpenAI's chat completions: send the schema, dispatch the calls, answer the model.

Runs as it is, with ``pip install openai``: the model is scripted and the phone is the local network. With
OPENAI_API_KEY set, the model is a real one; the loop does not change. openai_responses_loop.py is the same over the
Responses API.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessage

from patter import Patter, PatterTool

TASK = "Please book me a haircut at the salon, +1 555 010 0199, tomorrow at three in the afternoon. I am Maria Lopez."


async def ask_openai(messages: list[Any], tools: list[Any]) -> ChatCompletionMessage:
    """The model's next message."""
    async with AsyncOpenAI() as client:
        reply = await client.chat.completions.create(
            model=os.environ.get("OPENAI_MODEL", "gpt-5.4-mini"), messages=messages, tools=tools
        )
    return reply.choices[0].message


async def ask_script(messages: list[Any], tools: list[Any]) -> ChatCompletionMessage:
    """Stands in for the model: calls the tool once, then reports what came back."""
    if messages[-1]["role"] == "user":
        goal = "Book a haircut for Maria Lopez for tomorrow at three in the afternoon."
        arguments = json.dumps({"to": "+15550100199", "goal": goal})
        function = {"name": tools[0]["function"]["name"], "arguments": arguments}
        call = {"id": "call_1", "type": "function", "function": function}
        return ChatCompletionMessage.model_validate({"role": "assistant", "tool_calls": [call]})
    envelope = json.loads(messages[-1]["content"])
    last = [line["text"] for line in envelope["transcript"] if line["role"] == "user"][-1]
    report = f"The call was {envelope['status']}. They said last: {last}"
    return ChatCompletionMessage(role="assistant", content=report)


async def dispatch(tool: PatterTool, call: Any) -> dict[str, Any]:
    """Make one use of the tool. A model that wrote wrong arguments reads which, and can mend them."""
    # The model's id of the use makes a repeated dispatch harmless: nobody is dialled twice.
    answer = await tool.answer(call.function.arguments, tool_call_id=call.id)
    return {"role": "tool", "tool_call_id": call.id, "content": answer.text}


async def converse(tool: PatterTool, task: str, ask: Any) -> str:
    """Let the model work until it has answered; what it says."""
    messages: list[Any] = [{"role": "user", "content": task}]
    while True:
        message = await ask(messages, [tool.openai_schema(strict=True)])
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return message.content or ""
        messages += await asyncio.gather(*[dispatch(tool, call) for call in message.tool_calls])


async def main() -> None:
    ask = ask_openai if os.environ.get("OPENAI_API_KEY") else ask_script
    async with PatterTool(phone=Patter.local(persona="salon")) as tool:
        print(await converse(tool, TASK, ask))


if __name__ == "__main__":
    asyncio.run(main())
