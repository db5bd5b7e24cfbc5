import json
from base64 import b64encode
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.carriers.base import CallUpdate, CarrierStatus, Digits, LineStart, Mark, Media, Stopped
from patter.carriers.twilio_wire import (
    MULAW_8K,
    Connected,
    Encoder,
    Frame,
    Malformed,
    Opening,
    connect_twiml,
    describe_error,
    is_call_id,
    parse,
    read_form,
    read_update,
)

SID = "MZ" + "0" * 32
CALL = "CA" + "1" * 32


def media(payload, *, timestamp="5", **more):
    return {"event": "media", "streamSid": SID, "media": {"timestamp": timestamp, "payload": payload, **more}}


def start(**more):
    return {"event": "start", "start": {"streamSid": SID, "callSid": CALL, **more}, "streamSid": SID}


FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
UNDERSTOOD = [
    ({"event": "connected", "protocol": "Call", "version": "1.0.0"}, Connected()),
    (
        start(mediaFormat=FORMAT, customParameters={"token": "t", "ref": "r"}),
        Opening(SID, LineStart(CALL, {"token": "t", "ref": "r"}), MULAW_8K),
    ),
    (start(customParameters=None, mediaFormat=None), Opening(SID, LineStart(CALL, {}), MULAW_8K)),
    (
        start(mediaFormat={"encoding": "audio/l16", "sampleRate": "16000", "channels": "1"}),
        Opening(SID, LineStart(CALL, {}), ("audio/l16", 16000, 1)),
    ),
    (media("/w==", track="inbound", chunk="7"), Frame(SID, Media(b"\xff", 5), 7)),
    (media("/w==", timestamp=20, chunk=8), Frame(SID, Media(b"\xff", 20), 8)),
    (media("/w==", timestamp="-3"), Frame(SID, Media(b"\xff", 0))),
    (
        {"event": "dtmf", "streamSid": SID, "dtmf": {"track": "inbound_track", "digit": "#"}},
        Frame(SID, Digits("#")),
    ),
    ({"event": "dtmf", "streamSid": SID, "dtmf": {"digit": "a"}}, Frame(SID, Digits("A"))),
    ({"event": "mark", "streamSid": SID, "mark": {"name": "m1"}}, Frame(SID, Mark("m1"))),
    ({"event": "stop", "streamSid": SID, "stop": {"callSid": CALL}}, Frame(SID, Stopped(True, "stop"))),
]

MALFORMED = [
    "", "{", "null", "[]", '"media"', "7", "NaN", "[" * 20_000, b"\x00\xff", b"{}", "\ud800", "9" * 5000,
    {}, {"event": None}, {"event": []}, {"event": {}}, {"event": "unheard-of"}, {"event": "media"},
    {"event": "media", "media": {}}, {"event": "media", "media": None}, {"event": "media", "media": "x"},
    media(None), media(7), media("/w="), media("/w==!"), media("é"), media("/w==", timestamp=None),
    media("/w==", timestamp="soon"), media("/w==", timestamp=float("inf")), media("/w==", chunk=[]),
    media("/w==", track="outbound"),
    {"event": "media", "media": {"timestamp": "1", "payload": ""}},
    {"event": "start"}, {"event": "start", "start": None}, {"event": "start", "start": []},
    start(callSid=None), start(callSid="../Accounts"), start(callSid="CA1?x"), start(callSid="CA1\n"),
    start(callSid="Ａ"), start(customParameters="x"), start(customParameters=["x"]), start(mediaFormat="x"),
    {"event": "mark", "streamSid": SID}, {"event": "mark", "streamSid": SID, "mark": {"name": 7}},
    {"event": "dtmf", "streamSid": SID, "dtmf": {"digit": ""}},
    {"event": "dtmf", "streamSid": SID, "dtmf": {"digit": "E"}},
    {"event": "dtmf", "streamSid": SID, "dtmf": {"digit": 1}},
    {"event": "stop"},
]  # fmt: skip


@pytest.mark.parametrize(("message", "expected"), UNDERSTOOD)
def test_parse_understands(message, expected):
    assert parse(json.dumps(message)) == expected


@pytest.mark.parametrize("message", MALFORMED, ids=lambda message: repr(message)[:40])
def test_parse_skips_what_it_does_not_know(message):
    text = message if isinstance(message, str | bytes) else json.dumps(message)
    assert isinstance(parse(text), Malformed)


@pytest.mark.parametrize("size", [0, 1, 80, 160, 320, 48_000])
def test_parse_takes_payloads_of_any_size(size):
    audio = bytes(index % 256 for index in range(size))
    assert parse(json.dumps(media(b64encode(audio).decode()))) == Frame(SID, Media(audio, 5))


@given(st.one_of(st.text(), st.binary()))
def test_parse_never_raises(message):
    parse(message)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from(
    ["streamSid", "callSid", "track", "chunk", "timestamp", "payload", "name", "digit", "mediaFormat",
     "encoding", "sampleRate", "channels", "customParameters"]
)  # fmt: skip
events = st.sampled_from(["media", "start", "mark", "dtmf", "stop", "connected"])


@given(events, values | st.dictionaries(fields, values), st.dictionaries(fields, values))
def test_parse_never_raises_on_the_right_event_with_odd_fields(event, inner, outer):
    parse(json.dumps({"event": event, event: inner, **outer}))


@given(st.binary(max_size=400), st.text())
def test_encoder_writes_the_json_that_twilio_reads(audio, name):
    encoder = Encoder(SID)
    payload = b64encode(audio).decode()
    assert json.loads(encoder.media(audio)) == {
        "event": "media",
        "streamSid": SID,
        "media": {"payload": payload},
    }
    assert json.loads(encoder.mark(name)) == {"event": "mark", "streamSid": SID, "mark": {"name": name}}
    assert json.loads(encoder.clear) == {"event": "clear", "streamSid": SID}


def test_encoder_escapes_the_stream():
    assert json.loads(Encoder('a"b').media(b"x"))["streamSid"] == 'a"b'


def test_connect_twiml_connects_the_stream_and_then_hangs_up():
    document = ElementTree.fromstring(connect_twiml("wss://x.example/twilio/media", token='a"<&', ref="r1"))
    assert [child.tag for child in document] == ["Connect", "Hangup"]
    (stream,) = document[0]
    assert (stream.tag, stream.attrib) == ("Stream", {"url": "wss://x.example/twilio/media"})
    assert [child.attrib for child in stream] == [
        {"name": "token", "value": 'a"<&'},
        {"name": "ref", "value": "r1"},
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", {}),
        (b"a=1&b=&a=2", {"a": ["1", "2"], "b": [""]}),
        (b"a=%2B1555+x&%C3%A9=%E9", {"a": ["+1555 x"], "é": ["\ufffd"]}),
        (b"\xff\x00&&=", {"\ufffd\x00": [""], "": [""]}),
    ],
)
def test_read_form(body, expected):
    assert read_form(body) == expected


@given(st.binary())
def test_read_form_never_raises(body):
    form = read_form(body)
    read_update({name: form.first(name) for name in form})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, CallUpdate("")),
        (
            {"CallSid": CALL, "CallStatus": "initiated", "SequenceNumber": "0"},
            CallUpdate(CALL, CarrierStatus.INITIATED),
        ),
        (
            {"CallSid": CALL, "CallStatus": "busy", "SipResponseCode": "486", "CallDuration": "0"},
            CallUpdate(CALL, CarrierStatus.BUSY, None, 486, 0),
        ),
        (
            {"CallSid": CALL, "CallStatus": "completed", "CallDuration": "49", "AnsweredBy": "human"},
            CallUpdate(CALL, CarrierStatus.COMPLETED, "human", None, 49),
        ),
        (
            {"CallSid": CALL, "AnsweredBy": "machine_end_beep"},
            CallUpdate(CALL, answered_by="machine_end_beep"),
        ),
        (
            {"CallSid": "../x", "CallStatus": "dancing", "SipResponseCode": "4.8", "CallDuration": "-1"},
            CallUpdate(""),
        ),
        ({"CallSid": None, "CallStatus": [], "CallDuration": 9, "SipResponseCode": "²"}, CallUpdate("")),
        ({"CallSid": CALL, "CallStatus": "Completed", "CallDuration": "9" * 10}, CallUpdate(CALL)),
    ],
)
def test_read_update(fields, expected):
    assert read_update(fields) == expected


@pytest.mark.parametrize("status", list(CarrierStatus))
def test_read_update_knows_every_status(status):
    assert read_update({"CallSid": CALL, "CallStatus": str(status)}).status is status


@pytest.mark.parametrize("value", ["", "CA/1", "CA.1", "CA%2f", "x" * 65, "CA1\n", "ÇA", None, 7, b"CA1"])
def test_what_is_no_call_id(value):
    assert not is_call_id(value)


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        (21211, 400, "not a valid phone number (Twilio error 21211)."),
        (20003, 401, "check account_sid and auth_token (Twilio error 20003)."),
        (21215, 400, "geographic permissions (Twilio error 21215)."),
        (21219, 400, "verify the number at Twilio, or upgrade (Twilio error 21219)."),
        (20429, 429, "try again later (Twilio error 20429)."),
        (10004, 429, "wait for a call to end (Twilio error 10004)."),
        (99999, 400, "Twilio refused the request (Twilio error 99999)."),
        (None, 401, "check account_sid and auth_token (HTTP 401)."),
        (None, 307, "Twilio refused the request (HTTP 307)."),
        (502, 502, "Twilio failed (HTTP 502)."),
        (None, 201, "cannot be read (HTTP 201)."),
    ],
)
def test_describe_error(code, status, words):
    assert describe_error(code, status).endswith(words)
