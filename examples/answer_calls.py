"""Answers incoming calls with an agent of your own as the mind. Here a customer calls in over the local network.

With a real carrier, make the phone with ``Patter(carrier=Twilio(), ...)`` and set the number's voice webhook to the
address that the ``serving`` event names.
"""

import asyncio

from patter import Patter
from patter.local.dialogue import Listen, Say, scripted

CUSTOMER = scripted(Listen(), Say("What are your opening hours?"), Listen(), Say("Thank you, goodbye."))


async def reception(message):
    """Your agent: any function of what the caller has said. A web address does as well."""
    if "hours" in message["text"]:
        return "We are open from nine to five."
    return "Style Studio, how can I help?"


async def main():
    phone = Patter.local(voice="tones")

    async def on_result(result):
        for line in result.transcript:
            print(f"{line.role:>5}: {line.text}")
        print(result.status)
        await phone.stop()

    def on_event(event):
        if event["type"] == "serving":
            print("Incoming calls at", event["voice_url"])
            phone.engine.invoke(lambda: phone.network.call_in(CUSTOMER))

    await phone.serve(
        on_message=reception,
        on_event=on_event,
        on_result=lambda result: asyncio.ensure_future(on_result(result)),
    )


asyncio.run(main())
