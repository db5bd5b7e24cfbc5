"""Twilio: dials, hangs up and reports over REST and signed callbacks, and talks over Media Streams."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio import CancelScope

from patter.carriers.base import (
    CallUpdate,
    CarrierStatus,
    DialOrder,
    IncomingCall,
    Line,
    LineStart,
    MediaSocket,
    Room,
    TransferOrder,
)
from patter.carriers.twilio_line import TwilioLine
from patter.carriers.twilio_rest import FailedRequest, TwilioRest, read_origin
from patter.carriers.twilio_transfer import hand_over_twiml, leg_twiml, room_twiml
from patter.carriers.twilio_wire import (
    MULAW_8K,
    Form,
    Frame,
    Opening,
    busy_twiml,
    connect_twiml,
    is_call_id,
    parse,
    read_form,
    read_update,
)
from patter.errors import CarrierError, ConfigError, LineError, SignatureError
from patter.settings import MAX_CALL_S, require_env

__all__ = ["Twilio"]

V = TypeVar("V")

RATE_LIMIT_TRIES = 3
RATE_LIMIT_S = 5.0
"""The tries of a dial that Twilio's rate limit turns away, and the longest time for all of them."""

OPENING_S = 5.0
OPENING_SKIPS = 5
"""Messages before ``start``, ``connected`` among them."""

CLOCK_MARGIN_S = 2.0
"""Twilio's times have whole seconds."""

REMEMBERED = 1000
"""Calls whose dial is remembered, so that `Twilio.find` can tell them apart."""

STATUS_EVENTS = ["initiated", "ringing", "answered", "completed"]

_OVER = frozenset({20404, 21220})
_FINAL = frozenset(status for status in CarrierStatus if status.final)


class Twilio:
    """A Twilio account.

    Args:
        account_sid: ``AC...``; else ``TWILIO_ACCOUNT_SID``.
        auth_token: the account's token, which also signs callbacks; else ``TWILIO_AUTH_TOKEN``.
        base_url: http(s) origin of the REST API; else ``TWILIO_BASE_URL``, else Twilio's own.
        timeout_s: for connecting, and again for each wait for data.

    Raises:
        ConfigError: a key is missing, or the address is no http(s) origin.
    """

    def __init__(
        self,
        account_sid: str | None = None,
        auth_token: str | None = None,
        *,
        base_url: str | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        self._account_sid = _key(account_sid, argument="account_sid", variable="TWILIO_ACCOUNT_SID")
        self._auth_token = _key(auth_token, argument="auth_token", variable="TWILIO_AUTH_TOKEN")
        if self._account_sid.startswith("SK"):
            raise ConfigError(
                "account_sid (TWILIO_ACCOUNT_SID) is an API key (SK...). Pass the account's own AC... "
                "and its auth token, with which Twilio signs its callbacks."
            )
        self._base_url = read_origin(base_url or os.environ.get("TWILIO_BASE_URL"))
        self._rest = TwilioRest(self._account_sid, self._auth_token, self._base_url, timeout_s)
        self._began: dict[str, float] = {}
        self._placed: dict[str, str] = {}
        self._is_started = False

    def __repr__(self) -> str:
        where = f", base_url={self._base_url!r}" if self._base_url else ""
        return f"Twilio(account_sid='AC…{self._account_sid[-4:]}'{where})"

    @property
    def name(self) -> str:
        """The carrier's name in addresses and envelopes."""
        return "twilio"

    async def start(self) -> None:
        """Import the SDK, in a thread."""
        if not self._is_started:
            await anyio.to_thread.run_sync(_import_sdk)
            self._is_started = True

    async def dial(self, order: DialOrder) -> str:
        """Place the call, and return its SID.

        Only an answer 429 is tried again: Twilio has no idempotency key, and 429 alone is certain to
        have placed nothing. Cancellation waits for Twilio's answer, so that no SID is lost.
        """
        await self.start()
        await anyio.lowlevel.checkpoint()
        began = anyio.current_time()
        _remember(self._began, order.ref, began)
        for attempt in range(1, RATE_LIMIT_TRIES + 1):
            try:
                with CancelScope(shield=True):
                    answer = await self._rest.request(partial(_create, order))
            except FailedRequest as failed:
                pause_s = failed.retry_after_s if failed.retry_after_s is not None else 0.5 * attempt
                in_time = anyio.current_time() + pause_s < began + RATE_LIMIT_S
                if failed.http_status == 429 and attempt < RATE_LIMIT_TRIES and in_time:
                    await anyio.sleep(pause_s)
                    continue
                if not failed.doubtful:
                    self._began.pop(order.ref, None)
                raise self._rest.error(failed) from None
            break
        self._began.pop(order.ref, None)
        _remember(self._placed, answer.value, order.ref)
        return answer.value

    async def hang_up(self, carrier_id: str) -> None:
        """End the call, whether it is queued, ringing or answered."""
        call_id = _checked(carrier_id)
        try:
            await self._rest.repeatable(lambda client: client.calls(call_id).update(status="completed"))
        except FailedRequest as failed:
            if failed.http_status != 404 and failed.code not in _OVER:
                raise self._rest.error(failed) from None

    async def hand_over(self, carrier_id: str, order: TransferOrder, *, events_url: str) -> None:
        """Replace the call's TwiML by a ``<Dial>`` of the target."""
        await self._redirect(carrier_id, hand_over_twiml(order, events_url), order.talk_limit_s)

    async def move(self, carrier_id: str, room: Room) -> None:
        """Replace the call's TwiML by the room's ``<Conference>``."""
        await self._redirect(carrier_id, room_twiml(room), room.talk_limit_s)

    async def _redirect(self, carrier_id: str, twiml: str, limit_s: int) -> None:
        call_id = _checked(carrier_id)
        try:
            # Never repeated: the second time it would dial once more, or end the conference.
            await self._rest.request(
                # This limit counts from the call's answer; the document's own from now.
                lambda client: client.calls(call_id).update(twiml=twiml, time_limit=limit_s + MAX_CALL_S)
            )
        except FailedRequest as failed:
            raise self._rest.error(failed) from None

    async def fetch(self, carrier_id: str) -> CallUpdate:
        """Ask how the call stands."""
        call_id = _checked(carrier_id)
        try:
            call = (await self._rest.repeatable(lambda client: client.calls(call_id).fetch())).value
        except FailedRequest as failed:
            raise self._rest.error(failed) from None
        return read_update(
            {
                "CallSid": call_id,
                "CallStatus": call.status,
                "AnsweredBy": call.answered_by,
                "CallDuration": call.duration,
            }
        )

    async def find(self, order: DialOrder) -> str | None:
        """Look for the call of a doubtful dial among the newest calls between the two numbers.

        The listing does not show a call's callback address, and so not our ``ref``: the call is known
        by its numbers and by having been created after the dial began. Calls that this object placed
        for other orders are left out; of the rest a live one is taken before a finished one. Twilio's
        filter by start time would hide a call that is still queued, so it is not used. Times are
        compared on Twilio's clock (the answer's ``Date``), which ours need not agree with.
        """
        window_s = order.ring_timeout_s + order.time_limit_s + 60.0
        try:
            answer = await self._rest.repeatable(
                lambda client: client.calls.list(to=order.to, from_=order.from_number, limit=20)
            )
        except FailedRequest as failed:
            raise self._rest.error(failed) from None
        now = anyio.current_time()
        # A dial of an earlier process is not remembered; its call is over after this window.
        age_s = now - self._began.get(order.ref, now - window_s)
        since = answer.at - timedelta(seconds=age_s + CLOCK_MARGIN_S)
        others = {call_id for call_id, ref in self._placed.items() if ref != order.ref}
        found = _pick(answer.value, since, others)
        if found is not None:
            _remember(self._placed, found, order.ref)
        return found

    def read_webhook(self, url: str, headers: Mapping[str, str], body: bytes) -> CallUpdate:
        """Verify and read a callback: of a status, of the machine detection, of a transfer's conference."""
        form = self._read(url, headers, body)
        return read_update({name: form.first(name) for name in form})

    def read_call(self, url: str, headers: Mapping[str, str], body: bytes) -> IncomingCall | None:
        """Verify and read the request for the number's voice URL."""
        form = self._read(url, headers, body)
        call_id = form.first("CallSid")
        return IncomingCall(call_id, form.first("From"), form.first("To")) if is_call_id(call_id) else None

    def accept(self, *, media_url: str, token: str, ref: str) -> str:
        """TwiML that connects the media stream."""
        return connect_twiml(media_url, token=token, ref=ref)

    def decline(self) -> str:
        """TwiML that rejects the call as busy."""
        return busy_twiml()

    def check_upgrade(self, url: str, headers: Mapping[str, str]) -> bool:
        """Verify a handshake that carries a signature; without one, the call's token alone decides."""
        signature = _header(headers, "x-twilio-signature")
        if signature is None:
            return False
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        # Whether Twilio signs the address with a slash at the end differs between reports.
        both = [urlunsplit(parts._replace(path=form)) for form in (path, f"{path}/")]
        self._verify(both, Form(), signature)
        return True

    def _read(self, url: str, headers: Mapping[str, str], body: bytes) -> Form:
        form = read_form(body)
        self._verify([url], form, _header(headers, "x-twilio-signature"))
        return form

    def _verify(self, urls: list[str], form: Form, signature: str | None) -> None:
        from twilio.request_validator import RequestValidator

        validator = RequestValidator(self._auth_token)
        try:
            valid = signature and any(validator.validate(url, form, signature) for url in urls)
        except (TypeError, ValueError):
            valid = False
        if not valid:
            raise SignatureError(
                "The request is not signed by this Twilio account for this address. If it came from Twilio, "
                "check auth_token and webhook_url."
            )

    async def open_line(self, socket: MediaSocket) -> tuple[LineStart, Line]:
        """Read ``connected`` and ``start``."""
        try:
            with anyio.fail_after(OPENING_S):
                for _ in range(OPENING_SKIPS + 1):
                    message = await socket.receive()
                    if message is None:
                        raise LineError("The media socket closed before it said whose call it is.")
                    parsed = parse(message)
                    if isinstance(parsed, Opening):
                        return _accept(parsed, socket)
                    if isinstance(parsed, Frame):
                        raise LineError("The media socket sent an event before its start.")
        except TimeoutError:
            raise LineError(f"The media socket did not start within {OPENING_S:g} s.") from None
        raise LineError("The media socket does not speak Media Streams.")


def _remember(memory: dict[str, V], key: str, value: V) -> None:
    while len(memory) >= REMEMBERED:
        del memory[next(iter(memory))]
    memory[key] = value


def _key(value: str | None, *, argument: str, variable: str) -> str:
    found = require_env(value, argument=argument, variable=variable).strip()
    # A blank token would let anybody sign.
    if not found:
        raise ConfigError(f"{argument} ({variable}) is blank.")
    return found


def _import_sdk() -> None:
    for module in ("twilio.rest.api", "twilio.twiml.voice_response", "twilio.request_validator"):
        import_module(module)


def _create(order: DialOrder, client: Any) -> str:
    extra = (
        {
            "machine_detection": "Enable",
            "async_amd": "true",
            "async_amd_status_callback": order.machine_url,
            "async_amd_status_callback_method": "POST",
        }
        if order.detect_machine
        else {}
    )
    if order.room is not None:
        twiml = leg_twiml(order.room)
        extra |= {"send_digits": order.room.digits} if order.room.digits else {}
    else:
        twiml = connect_twiml(order.media_url, token=order.token, ref=order.ref)
    call = client.calls.create(
        to=order.to,
        from_=order.from_number,
        twiml=twiml,
        status_callback=order.status_url,
        status_callback_event=STATUS_EVENTS,
        status_callback_method="POST",
        timeout=order.ring_timeout_s,
        time_limit=order.time_limit_s,
        **extra,
    )
    if not is_call_id(call.sid):
        raise ValueError("the answer names no call")
    return call.sid


def _checked(carrier_id: str) -> str:
    if not is_call_id(carrier_id):
        raise CarrierError("This is no id of a Twilio call.")
    return carrier_id


def _pick(calls: Iterable[Any], since: datetime, others: Container[str]) -> str | None:
    """The newest call of a listing that a dial since then may have placed; live ones come first."""
    fits = [
        call
        for call in calls
        if is_call_id(call.sid)
        and call.sid not in others
        and call.direction in (None, "outbound-api")
        and (call.date_created is None or call.date_created >= since)
    ]
    best = max(fits, key=lambda call: (call.status not in _FINAL, call.date_created or since), default=None)
    return best and best.sid


def _header(headers: Mapping[str, str], name: str) -> str | None:
    """A header in any case, from a mapping that may know case."""
    return next((value for key, value in headers.items() if key.lower() == name), None)


def _accept(opening: Opening, socket: MediaSocket) -> tuple[LineStart, Line]:
    if opening.audio != MULAW_8K:
        raise LineError("The media stream is not mu-law audio at 8 kHz.")
    return opening.start, TwilioLine(socket, opening.stream_id)
