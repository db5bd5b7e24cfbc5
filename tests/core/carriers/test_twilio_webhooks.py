import base64
import hashlib
import hmac
from urllib.parse import urlencode

import pytest
from starlette.datastructures import Headers
from twilio.request_validator import RequestValidator

from patter.carriers.base import CallUpdate, CarrierStatus
from patter.carriers.twilio import Twilio
from patter.errors import ConfigError, SignatureError

TOKEN = "12345"
STATUS = "https://mycompany.com/twilio/status/r1"
MEDIA = "wss://mycompany.com/twilio/media"
FORM = {"CallSid": "CA1", "CallStatus": "completed", "CallDuration": "49"}


@pytest.fixture
def twilio():
    return Twilio("AC1", TOKEN)


def sign(url, form=(), token=TOKEN):
    """The signature by its public definition, without the SDK."""
    pairs = sorted(set(form.items() if isinstance(form, dict) else form))
    text = url + "".join(name + value for name, value in pairs)
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def test_the_published_vector(twilio):
    form = {
        "CallSid": "CA1",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
        "Caller": "+14158675309",
    }
    headers = {"X-Twilio-Signature": "JaH1JjHs4E3pV0e/2rVuLhiIm3c="}
    update = twilio.read_webhook("https://mycompany.com/myapp.php?foo=1&bar=2", headers, urlencode(form).encode())
    assert update == CallUpdate("CA1")


def test_a_signed_status_is_read(twilio):
    headers = Headers({"x-twilio-signature": sign(STATUS, FORM)})
    update = twilio.read_webhook(STATUS, headers, urlencode(FORM).encode())
    assert update == CallUpdate("CA1", CarrierStatus.COMPLETED, duration_s=49)


def test_a_machine_detection_is_the_same(twilio):
    form = {"CallSid": "CA1", "AnsweredBy": "machine_start", "MachineDetectionDuration": "900"}
    update = twilio.read_webhook(STATUS, {"X-TWILIO-SIGNATURE": sign(STATUS, form)}, urlencode(form).encode())
    assert update == CallUpdate("CA1", answered_by="machine_start")


def test_repeated_keys_are_signed_and_the_first_counts(twilio):
    pairs = [("CallSid", "CA1"), ("CallStatus", "ringing"), ("CallStatus", "busy"), ("X", ""), ("X", "")]
    headers = {"x-twilio-signature": sign(STATUS, pairs)}
    assert twilio.read_webhook(STATUS, headers, urlencode(pairs).encode()).status is CarrierStatus.RINGING


BODY = urlencode(FORM).encode()
GOOD = sign(STATUS, FORM)


@pytest.mark.parametrize(
    ("url", "headers", "body"),
    [
        pytest.param(STATUS, {}, BODY, id="unsigned"),
        pytest.param(STATUS, {"x-twilio-signature": ""}, BODY, id="empty"),
        pytest.param(STATUS, {"x-twilio-signature": "é"}, BODY, id="odd"),
        pytest.param(STATUS, {"x-twilio-signature": GOOD[:-2]}, BODY, id="cut"),
        pytest.param(STATUS, {"x-twilio-signature": sign(STATUS, FORM, "other")}, BODY, id="other token"),
        pytest.param(STATUS, {"x-twilio-signature": sign(STATUS, FORM, "")}, BODY, id="empty token"),
        pytest.param(STATUS, {"x-twilio-signature": GOOD}, BODY + b"&CallStatus=busy", id="added"),
        pytest.param(STATUS, {"x-twilio-signature": GOOD}, BODY.replace(b"49", b"50"), id="changed"),
        pytest.param(STATUS, {"x-twilio-signature": GOOD}, b"", id="no body"),
        pytest.param(STATUS, {"x-twilio-signature": GOOD}, b'{"CallSid":"CA1"}', id="json"),
        pytest.param(STATUS, {"x-twilio-signature": GOOD}, b"\xff\xfe", id="binary"),
        pytest.param(STATUS + "?x=1", {"x-twilio-signature": GOOD}, BODY, id="other query"),
        pytest.param(STATUS + "2", {"x-twilio-signature": GOOD}, BODY, id="other ref"),
        pytest.param("https://[x", {"x-twilio-signature": GOOD}, BODY, id="no address"),
        pytest.param(STATUS + "?bodySHA256=" + "0" * 64, {"x-twilio-signature": GOOD}, BODY, id="hash"),
    ],
)
def test_what_is_not_signed_is_refused(twilio, url, headers, body):
    with pytest.raises(SignatureError):
        twilio.read_webhook(url, headers, body)


@pytest.mark.parametrize("signed", [MEDIA, MEDIA + "/"])
@pytest.mark.parametrize("called", [MEDIA, MEDIA + "/"])
def test_a_signed_handshake_passes_with_and_without_a_slash(twilio, signed, called):
    twilio.check_upgrade(called, {"x-twilio-signature": RequestValidator(TOKEN).compute_signature(signed, {})})


def test_an_unsigned_handshake_is_left_to_the_token_of_the_call(twilio):
    twilio.check_upgrade(MEDIA, {"host": "mycompany.com"})


@pytest.mark.parametrize("signature", ["", "x", sign("https" + MEDIA[3:]), sign(MEDIA, token="other")])
def test_a_wrong_signature_of_a_handshake_is_refused(twilio, signature):
    with pytest.raises(SignatureError):
        twilio.check_upgrade(MEDIA, {"x-twilio-signature": signature})


def test_keys_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", " AC00009876\n")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("TWILIO_BASE_URL", "http://127.0.0.1:9/")
    twilio = Twilio()
    assert repr(twilio) == "Twilio(account_sid='AC…9876', base_url='http://127.0.0.1:9')"
    twilio.check_upgrade(MEDIA, {"x-twilio-signature": sign(MEDIA)})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"auth_token": "t"}, "account_sid=... or set TWILIO_ACCOUNT_SID"),
        ({"account_sid": "AC1"}, "auth_token=... or set TWILIO_AUTH_TOKEN"),
        ({"account_sid": "AC1", "auth_token": " \n"}, "auth_token (TWILIO_AUTH_TOKEN) is blank"),
        ({"account_sid": "SK1", "auth_token": "hush"}, "is an API key"),
        *(
            ({"account_sid": "AC1", "auth_token": "hush", "base_url": url}, "must be an origin")
            for url in ("api.twilio.com", "ftp://x", "https://", "https://x/v1", "https://u:hush@x", "http://x:y")
        ),
    ],
)
def test_what_is_missing_is_named(monkeypatch, arguments, words):
    for variable in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError) as caught:
        Twilio(**arguments)
    assert words in str(caught.value)
    assert "hush" not in str(caught.value)
