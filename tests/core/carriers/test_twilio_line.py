import json
import math
from collections import deque

import anyio
import pytest

from patter.carriers import twilio_line
from patter.carriers.base import Digits, Mark, Media, Stopped
from patter.carriers.twilio import Twilio
from patter.carriers.twilio_line import BACKLOG_CHARS, MALFORMED_IN_A_ROW, TwilioLine
from patter.errors import LineError

pytestmark = pytest.mark.anyio

SID = "MZ1"
CALL = "CA1"
CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'
START = json.dumps({"event": "start", "start": {"callSid": CALL, "customParameters": {"token": "t"}}, "streamSid": SID})
STOP = json.dumps({"event": "stop", "streamSid": SID, "stop": {}})


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Script:
    """A media socket that says what it is told to, and records what it is sent."""

    def __init__(self, *messages, ends=True):
        self.messages = deque(messages)
        self.ends = ends
        self.sent = []
        self.closed = []
        self.arrived = anyio.Event()
        self.stuck = False
        self.broken = None

    async def receive(self):
        await anyio.lowlevel.checkpoint()
        if self.messages:
            return self.messages.popleft()
        if not self.ends:
            await anyio.sleep_forever()
        return None

    async def send(self, text):
        if self.stuck:
            await anyio.sleep_forever()
        if self.broken:
            raise self.broken
        await anyio.lowlevel.checkpoint()
        self.sent.append(json.loads(text))
        self.arrived.set()

    async def close(self, code=1000):
        await anyio.lowlevel.checkpoint()
        self.closed.append(code)
        if self.stuck:
            await anyio.sleep_forever()


def media(audio="/w==", *, chunk=None, at=0, sid=SID):
    body = {"timestamp": str(at), "payload": audio, "track": "inbound"}
    if chunk is not None:
        body["chunk"] = str(chunk)
    return json.dumps({"event": "media", "streamSid": sid, "media": body})


async def events(*messages):
    line = TwilioLine(Script(*messages), SID)
    got = []
    with anyio.fail_after(5):
        while not got or not isinstance(got[-1], Stopped):
            got.append(await line.receive())
        assert await line.receive() is got[-1]
    return got


GONE = Stopped(False, "the socket is gone")
CLEAN = Stopped(True, "stop")
FRAME = Media(b"\xff", 0)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], [GONE]),
        ([STOP], [CLEAN]),
        ([media(), STOP], [FRAME, CLEAN]),
        ([media(), media()], [FRAME, FRAME, GONE]),
        ([media(chunk=1), media(chunk=1), media(chunk=2), STOP], [FRAME, FRAME, CLEAN]),
        ([media(chunk=1), media(chunk=3), media(chunk=2), STOP], [FRAME, FRAME, CLEAN]),
        ([media(chunk=1), media(chunk=900), STOP], [FRAME, FRAME, CLEAN]),
        ([media(chunk=900), media(chunk=1), media(chunk=2), STOP], [FRAME, FRAME, FRAME, CLEAN]),
        ([media(""), STOP], [Media(b"", 0), CLEAN]),
        ([media(sid="MZ2"), STOP], [CLEAN]),
        ([json.dumps({"event": "stop", "streamSid": "MZ2"}), media()], [FRAME, GONE]),
        ([CONNECTED, START, media()], [FRAME, GONE]),
        (['{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"5"}}', STOP], [Digits("5"), CLEAN]),
        (['{"event":"mark","streamSid":"MZ1","mark":{"name":"a"}}', STOP], [Mark("a"), CLEAN]),
        (["x", b"x", "[]", media(), "x", STOP], [FRAME, CLEAN]),
        (["x"] * (MALFORMED_IN_A_ROW - 1) + [media()] + ["x"] * (MALFORMED_IN_A_ROW - 1) + [STOP], [FRAME, CLEAN]),
        (["x"] * MALFORMED_IN_A_ROW + [media()], [Stopped(False, "malformed")]),
    ],
)  # fmt: skip
async def test_receive(messages, expected):
    assert await events(*messages) == expected


async def pumped(line, socket):
    """Pump the queue out, and return the short form of what the socket was sent meanwhile."""
    socket.sent.clear()
    line.mark("end")
    async with anyio.create_task_group() as group:
        group.start_soon(line.pump)
        with anyio.fail_after(5):
            while not socket.sent or short(socket.sent[-1]) != "markend":
                socket.arrived = anyio.Event()
                await socket.arrived.wait()
        group.cancel_scope.cancel()
    return [short(message) for message in socket.sent[:-1]]


def short(message):
    return message["event"] + message.get("mark", {}).get("name", "") + message.get("media", {}).get("payload", "")


async def test_media_and_marks_are_sent_in_order():
    line = TwilioLine(socket := Script(), SID)
    line.play(b"\x00")
    line.mark("1")
    line.play(b"\xff")
    assert await pumped(line, socket) == ["mediaAA==", "mark1", "media/w=="]


async def test_clear_drops_queued_audio_and_keeps_the_marks():
    line = TwilioLine(socket := Script(), SID)
    line.play(b"\x00")
    line.mark("1")
    line.clear()
    line.play(b"\xff")
    assert await pumped(line, socket) == ["mark1", "clear", "media/w=="]


async def test_nothing_is_sent_for_no_audio():
    line = TwilioLine(socket := Script(), SID)
    line.play(b"")
    assert await pumped(line, socket) == []


async def test_the_queue_is_written_while_the_line_waits():
    line = TwilioLine(socket := Script(ends=False), SID)
    async with anyio.create_task_group() as group:
        group.start_soon(line.pump)
        group.start_soon(line.receive)
        await anyio.wait_all_tasks_blocked()
        for number in range(3):
            socket.arrived = anyio.Event()
            line.mark(str(number))
            with anyio.fail_after(5):
                await socket.arrived.wait()
        group.cancel_scope.cancel()
    assert [short(message) for message in socket.sent] == ["mark0", "mark1", "mark2"]


async def ends(line):
    """Pump and receive until the line is over; both must end."""
    got = []

    async def receive():
        got.append(await line.receive())

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(line.pump)
            group.start_soon(receive)
    return got[0]


@pytest.mark.parametrize("error", [LineError("closed"), BrokenPipeError(), ConnectionResetError()])
async def test_a_send_to_a_lost_socket_ends_the_line(error, monkeypatch):
    monkeypatch.setattr(twilio_line, "READ_OUT_S", 0.01)
    line = TwilioLine(socket := Script(ends=False), SID)
    socket.broken = error
    line.play(b"\xff")
    assert await ends(line) == GONE


async def test_a_callee_who_hangs_up_while_the_agent_speaks_has_hung_up():
    line = TwilioLine(socket := Script(STOP), SID)
    socket.broken = LineError("closed")
    line.play(b"\xff")
    assert (await ends(line)).clean


async def test_a_peer_that_does_not_read_ends_the_line(monkeypatch):
    monkeypatch.setattr(twilio_line, "SEND_S", 0.01)
    line = TwilioLine(socket := Script(ends=False), SID)
    socket.stuck = True
    line.play(b"\xff")
    assert await ends(line) == Stopped(False, "the carrier does not read")


async def test_a_queue_that_only_grows_ends_the_line():
    line = TwilioLine(Script(ends=False), SID)
    for _ in range(math.ceil(BACKLOG_CHARS / 10_000)):
        line.play(bytes(8000))
    assert await ends(line) == Stopped(False, "too much audio is waiting to be sent")


async def test_what_was_sent_makes_room_in_the_queue():
    line = TwilioLine(socket := Script(), SID)
    for _ in range(3):
        for _ in range(BACKLOG_CHARS // 20_000):
            line.play(bytes(8000))
        assert len(await pumped(line, socket)) == BACKLOG_CHARS // 20_000


async def test_clear_makes_room_in_the_queue():
    line = TwilioLine(socket := Script(), SID)
    for _ in range(300):
        line.play(bytes(8000))
        line.clear()
    assert await pumped(line, socket) == ["clear"] * 300


async def test_a_line_that_is_over_sends_nothing():
    line = TwilioLine(socket := Script(STOP), SID)
    line.play(b"\xff")
    assert await line.receive() == CLEAN
    line.play(b"\xff")
    line.mark("1")
    line.clear()
    with anyio.fail_after(5):
        await line.pump()
    assert socket.sent == []


async def test_close_ends_the_waiting_and_closes_once():
    line = TwilioLine(socket := Script(ends=False), SID)

    async def close():
        await anyio.wait_all_tasks_blocked()
        await line.close()
        await line.close()

    async with anyio.create_task_group() as group:
        group.start_soon(close)
        assert await ends(line) == Stopped(True, "closed")
    assert socket.closed == [1000]


async def test_close_is_bounded_and_works_when_cancelled(monkeypatch):
    monkeypatch.setattr(twilio_line, "CLOSE_S", 0.01)
    line = TwilioLine(socket := Script(), SID)
    socket.stuck = True
    with anyio.fail_after(5), anyio.CancelScope() as scope:
        scope.cancel()
        await line.close()
    assert socket.closed == [1000]


async def test_cancelling_receive_loses_nothing():
    line = TwilioLine(socket := Script(ends=False), SID)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await line.receive()
    socket.messages.append(media())
    assert await line.receive() == FRAME


@pytest.fixture
def twilio():
    return Twilio("AC1", "token")


@pytest.mark.parametrize("before", [[CONNECTED], [], ["x"], [CONNECTED, CONNECTED], [b"x", "[]", "x", CONNECTED]])
async def test_open_line(twilio, before):
    start, line = await twilio.open_line(Script(*before, START, media()))
    assert (start.carrier_id, start.parameters) == (CALL, {"token": "t"})
    assert await line.receive() == FRAME


BAD_FORMAT = START.replace('"customParameters"', '"mediaFormat": {"encoding": "audio/l16"}, "customParameters"')


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "closed before"),
        ([CONNECTED], "closed before"),
        ([CONNECTED, media()], "before its start"),
        ([STOP], "before its start"),
        (["x"] * 10 + [START], "does not speak"),
        ([CONNECTED] * 10 + [START], "does not speak"),
        ([BAD_FORMAT], "not mu-law"),
        ([START.replace("CA1", "CA1/../x")], "closed before"),
    ],
)
async def test_open_line_refuses(twilio, messages, words):
    with pytest.raises(LineError, match=words):
        await twilio.open_line(Script(*messages))


async def test_open_line_does_not_wait_for_ever(twilio, monkeypatch):
    monkeypatch.setattr("patter.carriers.twilio.OPENING_S", 0.01)
    with anyio.fail_after(5), pytest.raises(LineError, match="did not start"):
        await twilio.open_line(Script(CONNECTED, ends=False))
