"""A customer calls about an order, and the agent looks it up with tools: functions of this program.

Runs as it is on the local network with a scripted mind. For a real number, make the phone with your keys,
``Patter(twilio_sid=..., twilio_token=..., phone_number=..., webhook_url=...)``, and leave ``llm`` out.
"""

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Literal

from patter import Patter
from patter.local.dialogue import Listen, Say, scripted
from patter.voice.base import ToolCall

CUSTOMER = scripted(
    Listen(),
    Say("Where is my order ORD-123456?"),
    Listen(),
    Say("It is the wrong one. I want to send it back."),
    Listen(),
    Say("Thank you, goodbye."),
)


async def get_order_status(arguments, context):
    """Your own code: a database, an API. ``context`` tells whose call it is."""
    return {"order_id": arguments["order_id"], "status": "shipped", "arrives": "on Tuesday"}


@Patter.tool()
def initiate_return(order_id: str, reason: Literal["defective", "wrong_item", "changed_mind", "other"]) -> str:
    """Start the return of an order. Ask for the reason before you use it.

    Args:
        order_id: the order, such as ORD-123456.
        reason: why it is sent back.
    """
    return "You will get a label by mail."


class ScriptedMind:
    """Stands in for a chat model: looks the order up, starts its return, and tells what came of it."""

    model = "local/scripted"

    @asynccontextmanager
    async def stream(self, messages, tools):
        async def answer():
            last = messages[-1]
            if last.role == "tool" and last.content.startswith("{"):
                found = json.loads(last.content)
                yield f"Your order was {found['status']} and arrives {found['arrives']}."
            elif last.role == "tool":
                yield last.content
            elif "send it back" in last.content:
                yield "I am sorry. "
                arguments = {"order_id": "ORD-123456", "reason": "wrong_item"}
                yield ToolCall("call_2", "initiate_return", json.dumps(arguments))
            else:
                yield "Let me see. "
                yield ToolCall("call_1", "get_order_status", json.dumps({"order_id": "ORD-123456"}))

        yield answer()


async def main():
    phone = Patter.local(voice="tones")
    agent = phone.agent(
        system_prompt="You help customers with orders and returns. Ask for the order id before you look anything up.",
        tools=[
            Patter.tool(
                name="get_order_status",
                description="Look up an order by its id. Returns its status and when it arrives.",
                parameters={
                    "type": "object",
                    "properties": {"order_id": {"type": "string", "description": "Such as ORD-123456."}},
                    "required": ["order_id"],
                },
                handler=get_order_status,
            ),
            initiate_return,
        ],
        first_message="Hello! Do you have an order id that I can look up?",
        llm=ScriptedMind(),
    )

    async def report(result):
        for line in result.transcript:
            print(f"{line.role:>5}: {line.text}")
        print(result.status, [record.name for record in result.details.tool_calls])
        await phone.stop()

    def on_event(event):
        if event["type"] == "serving":
            phone.engine.invoke(lambda: phone.network.call_in(CUSTOMER))

    await phone.serve(agent, on_event=on_event, on_result=lambda result: asyncio.ensure_future(report(result)))


asyncio.run(main())
