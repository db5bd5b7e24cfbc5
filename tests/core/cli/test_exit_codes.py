import pytest

from patter.cli.exit_codes import explain, of_error, of_result
from patter.envelope import EndReason
from patter.errors import (
    CarrierError,
    ConfigError,
    InvalidArguments,
    NotAllowed,
    PhoneStopped,
    PortInUse,
    ProviderError,
)


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        ("completed", EndReason.AGENT_HANGUP, 0),
        ("completed", EndReason.USER_HANGUP, 0),
        ("completed", EndReason.VOICEMAIL, 0),
        ("completed", EndReason.TRANSFERRED, 0),
        ("no-answer", EndReason.NO_ANSWER, 1),
        ("busy", EndReason.BUSY, 1),
        ("timeout", EndReason.MAX_DURATION, 1),
        ("failed", EndReason.DECLINED, 1),
        ("failed", EndReason.INVALID_NUMBER, 1),
        ("failed", EndReason.CANCELED, 1),
        ("failed", EndReason.SHUTDOWN, 1),
        ("failed", EndReason.CARRIER_ERROR, 4),
        ("failed", EndReason.MEDIA_ERROR, 4),
        ("failed", EndReason.PIPELINE_ERROR, 4),
    ],
)
def test_how_a_call_ended_decides(status, reason, code, make_result):
    assert of_result(make_result(status, reason)) == code


def test_a_failure_without_details_is_a_call_that_was_not_completed(make_result):
    assert of_result(make_result("failed", details=None)) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidArguments("to", "it is missing", "Pass one."), 2),
        (NotAllowed("to", "it is forbidden", "Ask."), 2),
        (ConfigError("a key is missing"), 3),
        (PortInUse("port 8000 is taken"), 3),
        (PhoneStopped("stopped"), 3),
        (CarrierError("refused"), 4),
        (ProviderError("stt", "gone"), 4),
    ],
)
def test_what_was_raised_decides(error, code):
    assert of_error(error) == code


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("to", "TO"),
        ("goal", "--goal"),
        ("first_message", "--first-message"),
        ("max_duration_sec", "--max-duration"),
        ("--record", "--record"),
    ],
)
def test_arguments_are_named_as_on_the_command_line(field, name):
    assert explain(InvalidArguments(field, "it is wrong", "Do this.")) == f"{name}: it is wrong. Do this."
