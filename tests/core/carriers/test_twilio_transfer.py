"""The documents of a transfer, and what Twilio says of its conference."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.carriers.base import CallUpdate, Room, TransferOrder
from patter.carriers.twilio_transfer import MAX_ANNOUNCE_CHARS, hand_over_twiml, leg_twiml, room_twiml
from patter.carriers.twilio_wire import read_update

EVENTS = "https://phone.example/twilio/leg/r1-1"
ROOM = Room(name="n0nce", events_url=EVENTS, talk_limit_s=900)
CONFERENCE = (
    '<Dial timeLimit="900"><Conference beep="false" endConferenceOnExit="true" maxParticipants="2" '
    'startConferenceOnEnter="true" statusCallback="https://phone.example/twilio/leg/r1-1" '
    'statusCallbackEvent="join leave" statusCallbackMethod="POST" waitUrl="">n0nce</Conference></Dial><Hangup />'
)


def verbs(twiml):
    return twiml.partition("<Response>")[2].removesuffix("</Response>")


def room(**options):
    return Room(name="n0nce", events_url=EVENTS, talk_limit_s=900, **options)


def test_a_cold_transfer_dials_and_hangs_up_after_it():
    order = TransferOrder(
        to="+15551234567", mode="cold", from_number="+15550001234", ring_timeout_s=20, post_dial_digits="12w3"
    )
    assert verbs(hand_over_twiml(order, EVENTS)) == (
        '<Dial callerId="+15550001234" timeLimit="3600" timeout="20"><Number sendDigits="12w3" '
        'statusCallback="https://phone.example/twilio/leg/r1-1" statusCallbackEvent="initiated" '
        'statusCallbackMethod="POST">+15551234567</Number></Dial><Hangup />'
    )


def test_both_sides_enter_the_same_room():
    assert verbs(room_twiml(ROOM)) == verbs(leg_twiml(ROOM)) == CONFERENCE


def test_only_the_target_hears_the_announcement():
    briefed = room(announce="A guest & his dog.", language="de-DE")
    assert verbs(leg_twiml(briefed)) == f'<Say language="de-DE">A guest &amp; his dog.</Say>{CONFERENCE}'
    assert verbs(room_twiml(briefed)) == CONFERENCE


@pytest.mark.parametrize("announce", [None, "", "  \n", "\x00"])
def test_nothing_to_announce_is_not_said(announce):
    assert verbs(leg_twiml(room(announce=announce))) == CONFERENCE


@given(st.text(max_size=5000))
def test_any_announcement_is_xml_of_a_size_that_twilio_takes(text):
    document = leg_twiml(room(announce=text))
    assert len(document) <= 4000
    said = ET.fromstring(document).findtext("Say") or ""
    assert len(said) <= MAX_ANNOUNCE_CHARS
    assert said == said.strip()


def test_a_long_announcement_ends_with_a_word():
    said = ET.fromstring(leg_twiml(room(announce="word " * 300))).findtext("Say")
    assert said.endswith("word")
    assert len(said) > MAX_ANNOUNCE_CHARS - 10


@pytest.mark.parametrize(
    ("event", "expected"),
    [("participant-join", "join"), ("participant-leave", "leave"), ("conference-start", None), ("", None)],
)
def test_a_conference_event_is_a_fact_of_its_participant(event, expected):
    assert read_update({"CallSid": "CA1", "StatusCallbackEvent": event}) == CallUpdate("CA1", room=expected)


def test_a_room_keeps_its_name_to_itself():
    assert "n0nce" not in repr(ROOM)
