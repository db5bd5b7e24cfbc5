"""PatterTool in a plain loop over OpenAI's Responses API: send the schema, dispatch the calls, answer the model.

Runs as it is, with ``pip install openai``: the model is scripted and the phone is the local network. With
OPENAI_API_KEY set, the model is a real one; the loop does not change. openai_dispatch_loop.py is the same over
chat completions.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from openai import AsyncOpenAI
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from patter import Patter, PatterTool

TASK = "Please book me a haircut at the salon, +1 555 010 0199, tomorrow at three in the afternoon. I am Maria Lopez."


async def ask_openai(items: list[Any], tools: list[Any]) -> list[Any]:
    """The items of the model's next answer."""
    async with AsyncOpenAI() as client:
        reply = await client.responses.create(
            model=os.environ.get("OPENAI_MODEL", "gpt-5.4-mini"), input=items, tools=tools, store=False
        )
    return list(reply.output)


async def ask_script(items: list[Any], tools: list[Any]) -> list[Any]:
    """Stands in for the model: calls the tool once, then reports what came back."""
    if items[-1].get("role") == "user":
        goal = "Book a haircut for Maria Lopez for tomorrow at three in the afternoon."
        arguments = json.dumps({"to": "+15550100199", "goal": goal})
        name = tools[0]["name"]
        return [ResponseFunctionToolCall(type="function_call", call_id="call_1", name=name, arguments=arguments)]
    envelope = json.loads(items[-1]["output"])
    last = [line["text"] for line in envelope["transcript"] if line["role"] == "user"][-1]
    report = f"The call was {envelope['status']}. They said last: {last}"
    text = ResponseOutputText(type="output_text", text=report, annotations=[])
    return [ResponseOutputMessage(type="message", id="1", role="assistant", status="completed", content=[text])]


async def dispatch(tool: PatterTool, call: ResponseFunctionToolCall) -> dict[str, Any]:
    """Make one use of the tool. A model that wrote wrong arguments reads which, and can mend them."""
    # The model's id of the use makes a repeated dispatch harmless: nobody is dialled twice.
    answer = await tool.answer(call.arguments, tool_call_id=call.call_id)
    return {"type": "function_call_output", "call_id": call.call_id, "output": answer.text}


async def converse(tool: PatterTool, task: str, ask: Any) -> str:
    """Let the model work until it has answered; what it says."""
    items: list[Any] = [{"role": "user", "content": task}]
    while True:
        answer = await ask(items, [tool.openai_schema("responses", strict=True)])
        items += [item.model_dump(exclude_none=True) for item in answer]
        calls = [item for item in answer if item.type == "function_call"]
        if not calls:
            return "".join(part.text for item in answer if item.type == "message" for part in item.content)
        items += await asyncio.gather(*[dispatch(tool, call) for call in calls])


async def main() -> None:
    ask = ask_openai if os.environ.get("OPENAI_API_KEY") else ask_script
    async with PatterTool(phone=Patter.local(persona="salon")) as tool:
        print(await converse(tool, TASK, ask))


if __name__ == "__main__":
    asyncio.run(main())
