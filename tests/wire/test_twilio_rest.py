"""The carrier with the real SDK, against a REST API that fails in every way that was thought of."""

import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

import anyio
import pytest
from anyio.abc import SocketAttribute
from anyio.from_thread import start_blocking_portal
from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from patter.carriers.base import CallUpdate, CarrierStatus, DialOrder, Room, TransferOrder
from patter.carriers.twilio import Twilio
from patter.carriers.twilio_transfer import hand_over_twiml, leg_twiml, room_twiml
from patter.carriers.twilio_wire import connect_twiml, read_form
from patter.errors import CarrierError
from patter.server.listener import bind, serve

pytestmark = pytest.mark.anyio

CALLS = "/2010-04-01/Accounts/AC1/Calls"
SECRET = "hush-hush"
ORDER = DialOrder(
    ref="r1",
    to="+15551234567",
    from_number="+15550001234",
    token="t0ken",
    status_url="https://phone.example/twilio/status/r1",
    machine_url="https://phone.example/twilio/machine/r1",
    media_url="wss://phone.example/twilio/media",
    ring_timeout_s=30,
    time_limit_s=90,
)


@pytest.fixture
def anyio_backend():
    return "asyncio"


def created(sid="CA1", **more):
    return JSONResponse({"sid": sid, "status": "queued", **more}, 201)


def error(status, code, **headers):
    body = {"code": code, "message": f"{ORDER.to} is not valid, {SECRET}", "more_info": "", "status": status}
    return JSONResponse(body, status, headers)


class Api:
    """Answers with its script, one answer a request; the last one again and again."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.posts = []
        self.gets = []
        self.got = anyio.Event()
        self.asgi = Starlette(
            routes=[
                Route(f"{CALLS}.json", self.handle, methods=["GET", "POST"]),
                Route(f"{CALLS}/{{sid}}.json", self.handle, methods=["GET", "POST"]),
            ]
        )

    async def handle(self, request):
        if request.method == "POST":
            form = read_form(await request.body())
            self.posts.append((request.path_params.get("sid"), form, request.headers["authorization"]))
        else:
            self.gets.append((request.path_params.get("sid"), FormData(request.query_params.multi_items())))
        self.got.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer() if callable(answer) and not isinstance(answer, Response) else answer


@asynccontextmanager
async def serving(*answers, timeout_s=5.0):
    api = Api(*answers)
    sock = bind("127.0.0.1", 0)
    address = f"http://127.0.0.1:{sock.getsockname()[1]}"
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            await group.start(lambda task_status: serve(api.asgi, sock, task_status=task_status))
            yield Twilio("AC1", SECRET, base_url=address, timeout_s=timeout_s), api
            group.cancel_scope.cancel()


@pytest.fixture(scope="module")
def server():
    """One API for the tests whose answers are fixed, in a thread of its own."""
    api = Api(None)
    sock = bind("127.0.0.1", 0)
    api.address = f"http://127.0.0.1:{sock.getsockname()[1]}"
    with start_blocking_portal() as portal:
        running, _ = portal.start_task(partial(serve, api.asgi, sock))
        yield api
        running.cancel()


@pytest.fixture
def scripted(server):
    """A carrier whose API gives these answers, and the API."""

    def script(*answers):
        server.answers, server.posts, server.gets = list(answers), [], []
        return Twilio("AC1", SECRET, base_url=server.address), server

    return script


async def refused(twilio, order=ORDER):
    """The error of a dial, which must hold neither secrets nor numbers."""
    with pytest.raises(CarrierError) as caught:
        await twilio.dial(order)
    shown = f"{caught.value!r} {caught.value}"
    assert not any(word in shown for word in (SECRET, order.token, order.to, order.from_number, "AC1"))
    assert caught.value.__suppress_context__
    return caught.value


async def test_dial_sends_everything_in_one_request(scripted):
    twilio, api = scripted(created())
    assert await twilio.dial(ORDER) == "CA1"
    ((sid, form, authorization),) = api.posts
    assert sid is None
    assert authorization.startswith("Basic ")
    assert form == {
        "To": [ORDER.to],
        "From": [ORDER.from_number],
        "Twiml": [connect_twiml(ORDER.media_url, token="t0ken", ref="r1")],
        "StatusCallback": [ORDER.status_url],
        "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
        "StatusCallbackMethod": ["POST"],
        "Timeout": ["30"],
        "TimeLimit": ["90"],
        "MachineDetection": ["Enable"],
        "AsyncAmd": ["true"],
        "AsyncAmdStatusCallback": [ORDER.machine_url],
        "AsyncAmdStatusCallbackMethod": ["POST"],
    }


async def test_dial_without_machine_detection(scripted):
    twilio, api = scripted(created())
    await twilio.dial(DialOrder("r", "+1", "+2", "t", "https://s", "https://m", "wss://x", detect_machine=False))
    assert not [name for name in api.posts[0][1] if "Amd" in name or "Machine" in name]


PROBLEM = {"type": "https://x", "title": "t", "status": 400, "code": 21211, "detail": f"{ORDER.to} {SECRET}"}


@pytest.mark.parametrize(
    ("answer", "code", "status", "doubtful", "words"),
    [
        (error(400, 21211), 21211, 400, False, "not a valid phone number"),
        (error(401, 20003), 20003, 401, False, "credentials"),
        (error(403, 21215), 21215, 403, False, "geographic permissions"),
        (error(400, 21219), 21219, 400, False, "verified numbers"),
        (error(400, "21211"), 21211, 400, False, "not a valid phone number"),
        (error(400, "odd"), None, 400, False, "refused the request (HTTP 400)"),
        (JSONResponse(PROBLEM, 400), 21211, 400, False, "not a valid phone number"),
        (JSONResponse({**PROBLEM, "status": "odd", "code": None}, 503), None, 503, True, "failed (HTTP 503)"),
        (PlainTextResponse("<html>", 500), None, 500, True, "failed (HTTP 500)"),
        (PlainTextResponse("<html>", 404), None, 404, False, "base_url"),
        (error(503, 20503), 20503, 503, True, "failed (Twilio error 20503)"),
        (Response(status_code=307, headers={"location": "/elsewhere"}), None, 307, False, "refused"),
        (PlainTextResponse("<html>", 201), None, 201, True, "cannot be read"),
        (JSONResponse([], 201), None, 201, True, "cannot be read"),
        (JSONResponse({"sid": None}, 201), None, 201, True, "cannot be read"),
        (JSONResponse({"sid": "../x"}, 201), None, 201, True, "cannot be read"),
    ],
)
async def test_a_refused_or_doubtful_dial_is_sent_once(scripted, answer, code, status, doubtful, words):
    twilio, api = scripted(answer)
    caught = await refused(twilio)
    assert (caught.code, caught.http_status, caught.doubtful) == (code, status, doubtful)
    assert words in str(caught)
    assert len(api.posts) == 1


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}, {"Retry-After": "0.1"}, {"Retry-After": "soon"}])
async def test_a_dial_over_the_rate_is_tried_again(scripted, headers):
    twilio, api = scripted(error(429, 20429, **headers), created())
    assert await twilio.dial(ORDER) == "CA1"
    assert len(api.posts) == 2


async def test_the_pause_that_twilio_asks_for_is_kept(scripted):
    twilio, _ = scripted(error(429, 20429, **{"Retry-After": "1"}), created())
    began = time.monotonic()
    await twilio.dial(ORDER)
    assert time.monotonic() - began >= 1.0


@pytest.mark.parametrize(("headers", "tries"), [({"Retry-After": "0"}, 3), ({"Retry-After": "60"}, 1)])
async def test_the_tries_over_the_rate_are_bounded(scripted, headers, tries):
    twilio, api = scripted(error(429, 20429, **headers))
    caught = await refused(twilio)
    assert (caught.code, caught.http_status, caught.doubtful) == (20429, 429, False)
    assert len(api.posts) == tries


async def test_a_dial_that_turns_doubtful_after_429_is_not_repeated(scripted):
    twilio, api = scripted(error(429, 20429, **{"Retry-After": "0"}), error(500, 20500), created())
    assert (await refused(twilio)).doubtful
    assert len(api.posts) == 2


async def test_a_slow_answer_is_waited_for():
    async def slow():
        await anyio.sleep(0.4)
        return created()

    async with serving(slow, timeout_s=2) as (twilio, api):
        assert await twilio.dial(ORDER) == "CA1"
    assert len(api.posts) == 1


async def test_an_answer_after_the_time_limit_is_doubtful():
    async with serving(anyio.sleep_forever, timeout_s=0.5) as (twilio, api):
        await twilio.start()
        began = time.monotonic()
        caught = await refused(twilio)
        assert time.monotonic() - began < 1.7
        assert len(api.posts) == 1
    assert (caught.http_status, caught.doubtful) == (None, True)
    assert str(caught) == "Twilio did not answer (time limit 0.5 s)."


async def trickle():
    async def chunks():
        while True:
            yield b" "
            await anyio.sleep(0.1)

    return StreamingResponse(chunks(), 201)


async def test_an_answer_that_never_ends_is_doubtful():
    async with serving(trickle, timeout_s=0.2) as (twilio, api):
        began = time.monotonic()
        assert (await refused(twilio)).doubtful
        assert time.monotonic() - began < 3
        assert len(api.posts) == 1


@asynccontextmanager
async def raw(handle):
    """The port of a TCP server that treats each connection as told."""
    with anyio.fail_after(30):
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            number = listener.extra(SocketAttribute.local_port)
            async with anyio.create_task_group() as group:
                group.start_soon(listener.serve, handle)
                yield number
                group.cancel_scope.cancel()


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 2", b"\x00\xff\x00", b"HTTP/1.1 201 Created\r\ncontent-length: 50\r\n\r\n{"],
)
async def test_a_connection_that_breaks_after_the_request_is_doubtful(answer):
    requests = []

    async def handle(stream):
        async with stream:
            requests.append(await stream.receive())
            if answer:
                await stream.send(answer)

    async with raw(handle) as number:
        twilio = Twilio("AC1", SECRET, base_url=f"http://127.0.0.1:{number}", timeout_s=1)
        assert (await refused(twilio)).doubtful
    assert len(requests) == 1


async def test_nobody_there_is_not_doubtful():
    with bind("127.0.0.1", 0) as sock:
        number = sock.getsockname()[1]
    caught = await refused(Twilio("AC1", SECRET, base_url=f"http://127.0.0.1:{number}"))
    assert (caught.http_status, caught.doubtful) == (None, False)
    assert "base_url" in str(caught)


async def test_a_host_that_nobody_knows_is_not_doubtful(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    assert not (await refused(Twilio("AC1", SECRET, base_url="http://nobody.invalid"))).doubtful


async def test_a_broken_tls_handshake_counts_as_doubtful_and_is_not_repeated():
    requests = []

    async def handle(stream):
        async with stream:
            requests.append(await stream.receive())
            await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw(handle) as number:
        twilio = Twilio("AC1", SECRET, base_url=f"https://127.0.0.1:{number}", timeout_s=1)
        assert (await refused(twilio)).doubtful
    assert len(requests) == 1


async def test_a_proxy_of_the_environment_is_not_asked_for_loopback(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("TWILIO_EDGE", "dublin")
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    async with serving(created()) as (twilio, _):
        assert await twilio.dial(ORDER) == "CA1"


async def test_cancellation_waits_for_the_answer_so_that_no_call_is_lost():
    go = anyio.Event()

    async def slow():
        await go.wait()
        return created()

    async with serving(slow) as (twilio, api):
        found = []

        async def dial():
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                found.append(await twilio.dial(ORDER))

        scopes = []
        async with anyio.create_task_group() as group:
            group.start_soon(dial)
            await api.got.wait()
            scopes[0].cancel()
            go.set()
    assert found == ["CA1"]


async def test_a_cancelled_dial_is_not_begun(scripted):
    twilio, api = scripted(created())
    await twilio.start()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await twilio.dial(ORDER)
    assert api.posts == []


async def test_calls_at_the_same_time_keep_their_own_answers():
    async def echo():
        number = api.posts[-1][1]["To"][0].removeprefix("+")
        await anyio.sleep(0.05)
        return created(f"CA{number}")

    answers = {}

    async def dial(number):
        order = DialOrder(f"r{number}", f"+{number}", "+1", "t", "https://s", "https://m", "wss://x")
        answers[number] = await twilio.dial(order)

    async with serving(echo) as (twilio, api), anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(dial, number)
    assert answers == {number: f"CA{number}" for number in range(20)}


async def test_hang_up_completes_the_call(scripted):
    twilio, api = scripted(JSONResponse({"sid": "CA1", "status": "completed"}))
    await twilio.hang_up("CA1")
    assert [(sid, form) for sid, form, _ in api.posts] == [("CA1", {"Status": ["completed"]})]


@pytest.mark.parametrize(
    "answer",
    [
        error(404, 20404),
        error(400, 21220),
        PlainTextResponse("gone", 404),
        JSONResponse(PROBLEM | {"code": 21220}, 400),
    ],
)
async def test_hanging_up_a_call_that_is_over_is_no_error(scripted, answer):
    twilio, api = scripted(answer)
    await twilio.hang_up("CA1")
    assert len(api.posts) == 1


@pytest.mark.parametrize("answer", [error(500, 20500), error(429, 20429), PlainTextResponse("x", 502)])
async def test_hang_up_is_repeated_once_after_a_passing_failure(scripted, answer):
    twilio, api = scripted(answer, JSONResponse({"sid": "CA1"}))
    await twilio.hang_up("CA1")
    assert len(api.posts) == 2


@pytest.mark.parametrize(("answer", "posts"), [(error(401, 20003), 1), (error(500, 20500), 2)])
async def test_a_hang_up_that_fails_says_so(scripted, answer, posts):
    twilio, api = scripted(answer)
    with pytest.raises(CarrierError):
        await twilio.hang_up("CA1")
    assert len(api.posts) == posts


async def test_a_hang_up_can_be_cancelled():
    async with serving(anyio.sleep_forever, timeout_s=1) as (twilio, _):
        began = time.monotonic()
        with anyio.move_on_after(0.2):
            await twilio.hang_up("CA1")
        assert time.monotonic() - began < 0.9


@pytest.mark.parametrize("sid", ["", "../../x", "CA1?x=y", "CA1\n"])
async def test_an_id_that_leads_elsewhere_is_not_sent(scripted, sid):
    twilio, api = scripted(created())
    for ask in (twilio.hang_up, twilio.fetch):
        with pytest.raises(CarrierError):
            await ask(sid)
    assert (api.posts, api.gets) == ([], [])


async def test_fetch(scripted):
    body = {"sid": "CA1", "status": "completed", "duration": "49", "answered_by": "human", "price": None}
    twilio, _ = scripted(JSONResponse(body))
    assert await twilio.fetch("CA1") == CallUpdate("CA1", CarrierStatus.COMPLETED, "human", None, 49)


async def test_fetch_of_an_unknown_call(scripted):
    twilio, _ = scripted(error(404, 20404))
    with pytest.raises(CarrierError) as caught:
        await twilio.fetch("CA1")
    assert (caught.value.code, caught.value.http_status) == (20404, 404)


def listed(*calls, skew=timedelta()):
    """A listing of calls as (sid, status, age in seconds, direction), by a clock that may differ from ours."""
    now = datetime.now(UTC) + skew
    entries = [
        {
            "sid": sid,
            "status": status,
            "direction": direction,
            "date_created": None if age_s is None else format_datetime(now - timedelta(seconds=age_s)),
        }
        for sid, status, age_s, direction in calls
    ]
    return JSONResponse({"calls": entries, "next_page_uri": None, "page_size": 20})


OLD = ("CAold", "completed", 60, "outbound-api")
NEW = ("CAnew", "ringing", 0, "outbound-api")


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([], None),
        ([OLD], None),
        ([NEW, OLD], "CAnew"),
        ([("CAbusy", "busy", 0, "outbound-api")], "CAbusy"),
        ([("CAbusy", "busy", 0, "outbound-api"), ("CAlive", "queued", 1, "outbound-api")], "CAlive"),
        ([("CAlive2", "queued", 0, "outbound-api"), ("CAlive1", "queued", 1, "outbound-api")], "CAlive2"),
        ([("CAleg", "ringing", 0, "outbound-dial")], None),
        ([("CAin", "ringing", 0, "inbound")], None),
        ([("CAnodate", "queued", None, None)], "CAnodate"),
    ],
)
async def test_find_the_call_of_a_doubtful_dial(scripted, calls, expected):
    twilio, api = scripted(error(500, 20500), listed(*calls))
    assert (await refused(twilio)).doubtful
    assert await twilio.find(ORDER) == expected
    assert len(api.posts) == 1
    assert dict(api.gets[0][1]) == {"To": ORDER.to, "From": ORDER.from_number, "PageSize": "20"}


@pytest.mark.parametrize("skew", [timedelta(hours=3), timedelta(hours=-3), timedelta()])
async def test_find_goes_by_the_clock_of_twilio(skew):
    async def handle(stream):
        async with stream:
            if (await stream.receive()).startswith(b"POST"):
                await stream.send(b"HTTP/1.1 500 Odd\r\ncontent-length: 0\r\n\r\n")
            else:
                date = format_datetime(datetime.now(UTC) + skew, usegmt=True)
                body = listed(NEW, OLD, skew=skew).body
                await stream.send(b"HTTP/1.0 200 OK\r\ndate: %s\r\n\r\n%s" % (date.encode(), body))

    async with raw(handle) as number:
        twilio = Twilio("AC1", SECRET, base_url=f"http://127.0.0.1:{number}", timeout_s=1)
        assert (await refused(twilio)).doubtful
        assert await twilio.find(ORDER) == "CAnew"
        assert await twilio.find(ORDER) == "CAnew"
        other = replace(ORDER, ref="r2")
        assert (await refused(twilio, other)).doubtful
        assert await twilio.find(other) is None


async def test_a_call_of_another_order_is_not_taken_for_the_lost_one(scripted):
    twilio, _ = scripted(created("CAnew"), error(500, 20500), listed(NEW))
    await twilio.dial(DialOrder("r0", ORDER.to, ORDER.from_number, "t", "https://s", "https://m", "wss://x"))
    await refused(twilio)
    assert await twilio.find(ORDER) is None


async def test_a_dial_of_an_earlier_process_is_found_within_its_longest_time(scripted):
    twilio, _ = scripted(listed(NEW, ("CAlong", "in-progress", 120, "outbound-api")))
    assert await twilio.find(ORDER) == "CAnew"
    twilio, _ = scripted(listed(("CAlong", "in-progress", 300, "outbound-api")))
    assert await twilio.find(ORDER) is None


async def test_a_listing_that_cannot_be_read_is_an_error(scripted):
    twilio, _ = scripted(PlainTextResponse("<html>"))
    with pytest.raises(CarrierError, match="cannot be read"):
        await twilio.find(ORDER)


async def test_the_sdk_logs_nothing(caplog):
    caplog.set_level(0)
    async with serving(listed(NEW)) as (twilio, _):
        await twilio.find(ORDER)
    said = " ".join(record.getMessage() for record in caplog.records if record.name.startswith(("twilio", "patter")))
    assert said == ""


# --- transfers -----------------------------------------------------------------------------------

TRANSFER = TransferOrder(to="+15551234777", mode="cold", from_number="+15550001234")
ROOM = Room(name="n0nce", events_url="https://phone.example/twilio/leg/r1-1", announce="A guest.", digits="12")


async def hand_over(twilio, call_id="CA1"):
    await twilio.hand_over(call_id, TRANSFER, events_url=ROOM.events_url)


async def move(twilio, call_id="CA1"):
    await twilio.move(call_id, ROOM)


async def test_a_second_leg_is_dialled_without_a_media_stream(scripted):
    twilio, api = scripted(created("CA2"))
    leg = replace(ORDER, status_url=ROOM.events_url, machine_url=ROOM.events_url, detect_machine=False, room=ROOM)
    assert await twilio.dial(leg) == "CA2"
    ((_, form, _),) = api.posts
    assert form.first("Twiml") == leg_twiml(ROOM)
    assert "Stream" not in form.first("Twiml")
    assert (form.first("SendDigits"), form.first("StatusCallback")) == ("12", ROOM.events_url)
    assert "MachineDetection" not in form


@pytest.mark.parametrize(
    ("ask", "twiml"), [(hand_over, hand_over_twiml(TRANSFER, ROOM.events_url)), (move, room_twiml(ROOM))]
)
async def test_a_transfer_replaces_the_twiml_of_the_live_call(scripted, ask, twiml):
    twilio, api = scripted(JSONResponse({"sid": "CA1", "status": "in-progress"}))
    await ask(twilio)
    ((sid, form, _),) = api.posts
    assert (sid, form.first("Twiml")) == ("CA1", twiml)
    assert int(form.first("TimeLimit")) > TRANSFER.talk_limit_s


@pytest.mark.parametrize("ask", [hand_over, move])
@pytest.mark.parametrize(
    ("answer", "doubtful"),
    [(error(400, 21220), False), (error(404, 20404), False), (error(429, 20429), False), (error(503, 20500), True)],
)
async def test_a_transfer_is_asked_for_once(scripted, ask, answer, doubtful):
    twilio, api = scripted(answer)
    with pytest.raises(CarrierError) as caught:
        await ask(twilio)
    assert caught.value.doubtful is doubtful
    assert len(api.posts) == 1
    assert "+1555" not in str(caught.value)


@pytest.mark.parametrize("ask", [hand_over, move])
async def test_a_transfer_without_an_answer_is_in_doubt(ask):
    with anyio.fail_after(20):
        async with serving(anyio.sleep_forever, timeout_s=0.2) as (twilio, api):
            with pytest.raises(CarrierError) as caught:
                await ask(twilio)
    assert caught.value.doubtful
    assert len(api.posts) == 1


@pytest.mark.parametrize("ask", [hand_over, move])
async def test_an_id_that_leads_elsewhere_is_not_asked_for(scripted, ask):
    twilio, api = scripted(error(500, 0))
    with pytest.raises(CarrierError, match="no id"):
        await ask(twilio, "../Accounts")
    assert api.posts == []
