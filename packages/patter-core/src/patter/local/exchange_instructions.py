"""Carries out the TwiML of one call of the local network, verb by verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import NAMESPACE_OID, uuid5

import anyio
from anyio import CancelScope

from patter.audio import dtmf, mulaw
from patter.carriers.base import CarrierStatus
from patter.local.exchange_hosts import Hosts
from patter.local.exchange_media import Log, MediaStream
from patter.local.exchange_playback import SILENT_FRAME, Playback
from patter.local.exchange_posts import Postman
from patter.local.exchange_record import CallRecord
from patter.local.exchange_rooms import Rooms
from patter.local.exchange_settings import Faults, Timings
from patter.local.exchange_wire import Connect, CreateRequest, Dial, Enter, Hangup, Refusal, Rest, Verb, read_twiml
from patter.local.handset import DialedCall, Handset
from patter.voice.base import TextToSpeech

__all__ = ["Instructions", "OtherCall", "Plant"]


class OtherCall(Protocol):
    """A call that another call has dialled."""

    status: CarrierStatus
    answered: anyio.Event

    @property
    def sid(self) -> str: ...

    @property
    def talk_s(self) -> int: ...

    def end(self, by: str) -> None:
        """Hang up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """What the calls of one exchange share.

    Args:
        place: begins another call.
        announcer: the network's own voice for ``<Say>``; without one it is silent for a second.
    """

    account_sid: str
    auth_token: str
    timings: Timings
    hosts: Hosts
    keep_audio: bool
    rooms: Rooms
    place: Callable[[CreateRequest], OtherCall]
    announcer: TextToSpeech | None


class Instructions:
    """Runs one document after the other: the first, and those that a redirect or an action puts in its place.

    Args:
        form: the fields that every webhook of the call has.
    """

    def __init__(
        self,
        dialed: DialedCall,
        handset: Handset,
        record: CallRecord,
        postman: Postman,
        *,
        plant: Plant,
        faults: Faults,
        log: Log,
        form: Callable[[], dict[str, str]],
    ) -> None:
        self._dialed = dialed
        self._handset = handset
        self._record = record
        self._postman = postman
        self._plant = plant
        self._faults = faults
        self._log = log
        self._form = form
        self._verbs = CancelScope()
        self._redirect: Sequence[Verb] | None = None

    def redirect(self, verbs: Sequence[Verb]) -> None:
        """Drop the current instructions, with their stream, for these."""
        self._redirect = verbs
        self._verbs.cancel()

    async def follow(self, verbs: Sequence[Verb]) -> None:
        """Carry out these, and what comes in their place; returns when the call is to be hung up."""
        following: Sequence[Verb] | None = verbs
        while following is not None:
            with CancelScope() as self._verbs:
                if self._redirect is None:
                    following = await self._carry_out_all(following)
            if self._redirect is not None:
                following, self._redirect = self._redirect, None
                self._log("redirect")
            elif self._verbs.cancelled_caught:
                return

    async def _carry_out_all(self, verbs: Sequence[Verb]) -> Sequence[Verb] | None:
        """Carry out a document; the one that follows it."""
        for verb in verbs:
            if isinstance(verb, Hangup):
                return None
            following = await self._carry_out(verb)
            if following is not None:
                return following
        return None

    async def _carry_out(self, verb: Connect | Dial | Enter | Rest) -> Sequence[Verb] | None:
        match verb:
            case Connect():
                await self._connect(verb)
            case Rest():
                self._log(verb.kind, verb.detail)
                await self._rest(verb)
            case Enter():
                with anyio.move_on_after(verb.time_limit_s):
                    await self._sit(verb)
                if verb.action:
                    return await self._ask(verb.action, {"DialCallStatus": "answered"})
            case Dial():
                return await self._dial(verb)
        return None

    # --- verbs ------------------------------------------------------------------------------------

    async def _connect(self, verb: Connect) -> None:
        if self._faults.media_never_connects:
            await anyio.sleep_forever()
        stream = MediaStream(
            verb,
            self._dialed,
            self._handset,
            self._record,
            account_sid=self._plant.account_sid,
            auth_token=self._plant.auth_token,
            hosts=self._plant.hosts,
            faults=self._faults,
            frame_s=self._plant.timings.frame_s,
            log=self._log,
            keep_audio=self._plant.keep_audio,
        )
        await stream.run()

    async def press(self, digits: str) -> None:
        """Sound keys."""
        self._log("digits", digits)
        await self._play(dtmf.tones(digits))

    async def _rest(self, verb: Rest) -> None:
        """Keep the line without a stream: with keys, with words, or silent."""
        announcer = self._plant.announcer
        audio = bytearray()
        if verb.kind == "digits":
            audio += dtmf.tones(verb.detail)
        elif verb.kind == "say" and announcer is not None and verb.detail:
            async with announcer.open() as voice, voice.utter() as utterance:
                await utterance.say(verb.detail)
                await utterance.finish()
                async for speech in utterance:
                    audio += speech.audio
        silence = mulaw.silence(0 if audio else round(verb.seconds * 1000))
        await self._play(bytes(audio) + silence)

    async def _play(self, audio: bytes) -> None:
        playback = Playback()
        playback.queue(audio)
        await self._exchange(until=lambda: playback.pending_s == 0, hear=lambda: playback.tick()[0])

    async def _sit(self, verb: Enter, *, until: Callable[[], bool] = lambda: False) -> None:
        """Take part in a conference, until it is over or the condition is true."""
        room = self._plant.rooms.open(verb.room)
        seat = room.enter(starts_room=verb.starts_room, ends_room=verb.ends_room)
        self._log("room", "join")
        self._post_room(verb, "join")
        try:
            await self._exchange(until=lambda: room.is_over or until(), hear=seat.hear, speak=seat.speak)
        finally:
            room.leave(seat)
            self._plant.rooms.close(verb.room)
            self._log("room", "leave")
            self._post_room(verb, "leave")

    def _post_room(self, verb: Enter, event: str) -> None:
        if verb.status_url and event in verb.status_events:
            form = {
                "ConferenceSid": f"CF{uuid5(NAMESPACE_OID, verb.room).hex}",
                "FriendlyName": verb.room,
                "AccountSid": self._plant.account_sid,
                "StatusCallbackEvent": f"participant-{event}",
                "CallSid": self._dialed.sid,
                "Muted": "false",
                "Hold": "false",
                "EndConferenceOnExit": str(verb.ends_room).lower(),
                "StartConferenceOnEnter": str(verb.starts_room).lower(),
            }
            self._postman.post(verb.status_url, form)

    async def _dial(self, verb: Dial) -> Sequence[Verb] | None:
        """Call somebody, and connect the two when they answer."""
        self._log("dial", verb.number)
        self._record.transferred_to.append(verb.number)
        name = f"dial of {self._dialed.sid} no {len(self._record.transferred_to)}"
        enter = Enter(name, ends_room=True)
        other = self._plant.place(_leg_request(verb, self._dialed, enter))
        try:
            await self._exchange(until=lambda: other.answered.is_set() or other.status.final)
            if other.answered.is_set():
                with anyio.move_on_after(verb.time_limit_s):
                    await self._sit(enter, until=lambda: other.status.final)
        finally:
            other.end("other side")
        if not verb.action:
            return None
        outcome = "completed" if other.answered.is_set() else str(other.status)
        return await self._ask(
            verb.action,
            {"DialCallStatus": outcome, "DialCallSid": other.sid, "DialCallDuration": str(other.talk_s)},
        )

    async def _ask(self, action: str, result: dict[str, str]) -> Sequence[Verb]:
        """Tell the phone how a verb has ended; what it wants next."""
        text = await self._postman.fetch(action, self._form() | result)
        try:
            return read_twiml(text) if text else []
        except Refusal as refusal:
            self._log("twiml-error", f"{refusal.code} {refusal}")
            return []

    # --- frames -----------------------------------------------------------------------------------

    async def _exchange(
        self,
        *,
        until: Callable[[], bool],
        hear: Callable[[], bytes] = lambda: SILENT_FRAME,
        speak: Callable[[bytes], None] = lambda frame: None,
    ) -> None:
        """Pass frames to and from the callee, at the pace of life."""
        start = anyio.current_time()
        count = 0
        while not until():
            heard = hear()
            spoken = self._handset.exchange(heard)
            speak(spoken)
            if self._plant.keep_audio:
                self._record.played += heard
                self._record.spoken += spoken
            count += 1
            await anyio.sleep_until(start + count * self._plant.timings.frame_s)


def _leg_request(verb: Dial, parent: DialedCall, enter: Enter) -> CreateRequest:
    return CreateRequest(
        to=verb.number,
        from_number=verb.caller_id or parent.from_number,
        twiml=None,
        url=None,
        status_url=verb.status_url,
        status_events=verb.status_events,
        timeout_s=verb.timeout_s,
        time_limit_s=verb.time_limit_s,
        machine_detection=False,
        machine_url=None,
        form={},
        direction="outbound-dial",
        digits=verb.digits,
        verbs=(enter,),
        parent=parent.sid,
    )
