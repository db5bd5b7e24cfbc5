"""The documents that transfer a Twilio call. Pure; the SDK writes them."""

from __future__ import annotations

from typing import Any

from patter.carriers.base import Room, TransferOrder

__all__ = ["MAX_ANNOUNCE_CHARS", "hand_over_twiml", "leg_twiml", "room_twiml"]

MAX_ANNOUNCE_CHARS = 600
"""An announcement is cut after so many characters: a document may have 4,000, and escaping makes five of one."""


def hand_over_twiml(order: TransferOrder, events_url: str) -> str:
    """Dial the target for the caller; hang up when the target does, or does not answer."""
    from twilio.twiml.voice_response import VoiceResponse

    response = VoiceResponse()
    dial = response.dial(
        caller_id=order.from_number,
        timeout=order.ring_timeout_s,
        time_limit=order.talk_limit_s,
    )
    dial.number(
        order.to,
        send_digits=order.post_dial_digits,
        status_callback=events_url,
        status_callback_event="initiated",
        status_callback_method="POST",
    )
    response.hangup()
    return str(response)


def leg_twiml(room: Room) -> str:
    """What the second leg is told: hear the announcement, then wait in the room."""
    # XML has no control characters, not even escaped.
    announce = "".join(char if char.isprintable() else " " for char in room.announce or "")
    return _room_twiml(room, announce.strip())


def room_twiml(room: Room) -> str:
    """Enter the room; hang up when the other side leaves it."""
    return _room_twiml(room, "")


def _room_twiml(room: Room, announce: str) -> str:
    from twilio.twiml.voice_response import VoiceResponse

    response = VoiceResponse()
    if announce:
        language: dict[str, Any] = {"language": room.language} if room.language else {}
        response.say(_cut(announce), **language)
    response.dial(time_limit=room.talk_limit_s).conference(
        room.name,
        beep=False,
        start_conference_on_enter=True,
        end_conference_on_exit=True,
        max_participants=2,
        # Empty: silence in place of Twilio's music, which would play over the first words.
        wait_url="",
        status_callback=room.events_url,
        status_callback_event="join leave",
        status_callback_method="POST",
    )
    response.hangup()
    return str(response)


def _cut(text: str) -> str:
    if len(text) <= MAX_ANNOUNCE_CHARS:
        return text
    return text[:MAX_ANNOUNCE_CHARS].rpartition(" ")[0] or text[:MAX_ANNOUNCE_CHARS]
