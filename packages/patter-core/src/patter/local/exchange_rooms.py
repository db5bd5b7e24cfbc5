"""Where calls of the local network meet: the conferences of ``<Conference>`` and the two ends of a ``<Dial>``. Pure."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence

from patter.audio import mulaw
from patter.local.exchange_playback import SILENT_FRAME

__all__ = ["Room", "Rooms", "Seat", "mix"]

_WAITING_FRAMES = 50
"""Frames of one voice that wait for a slow listener before the oldest are dropped."""


class Seat:
    """One call's place in a room."""

    def __init__(self, room: Room, *, ends_room: bool) -> None:
        self.ends_room = ends_room
        self._room = room
        self._voices: dict[Seat, deque[bytes]] = {}

    def hear(self) -> bytes:
        """The next 20 ms of all the others together."""
        return mix([voice.popleft() for voice in self._voices.values() if voice])

    def speak(self, frame: bytes) -> None:
        """Let the others hear 20 ms."""
        for seat in self._room.seats:
            if seat is not self and self._room.has_started:
                seat._voices.setdefault(self, deque(maxlen=_WAITING_FRAMES)).append(frame)


class Room:
    """A conference. It is over when somebody whose seat ends it has left."""

    def __init__(self) -> None:
        self.seats: list[Seat] = []
        self.has_started = False
        self.is_over = False

    def enter(self, *, starts_room: bool = True, ends_room: bool = False) -> Seat:
        """Take a seat. Nobody is heard before somebody has come whose seat starts the room."""
        seat = Seat(self, ends_room=ends_room)
        self.seats.append(seat)
        self.has_started = self.has_started or starts_room
        return seat

    def leave(self, seat: Seat) -> None:
        """Give up the seat."""
        self.seats.remove(seat)
        self.is_over = self.is_over or seat.ends_room


class Rooms:
    """All conferences of an account, by name. A name whose conference is over means a new one."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}

    def open(self, name: str) -> Room:
        """The conference of this name."""
        room = self._rooms.get(name)
        if room is None or room.is_over or not room.seats:
            room = self._rooms[name] = Room()
        return room

    def close(self, name: str) -> None:
        """Forget the name, if nobody is there any more."""
        if name in self._rooms and not self._rooms[name].seats:
            del self._rooms[name]


def mix(frames: Sequence[bytes]) -> bytes:
    """Several voices in one frame; a single one among silent ones stays as it is, bit by bit."""
    voices = [frame for frame in frames if frame != SILENT_FRAME]
    if len(voices) < 2:
        return voices[0] if voices else SILENT_FRAME
    samples = zip(*(struct.unpack(f"<{mulaw.FRAME_BYTES}h", mulaw.decode(voice)) for voice in voices), strict=True)
    mixed = [max(-32768, min(32767, sum(at_once))) for at_once in samples]
    return mulaw.encode(struct.pack(f"<{mulaw.FRAME_BYTES}h", *mixed))
