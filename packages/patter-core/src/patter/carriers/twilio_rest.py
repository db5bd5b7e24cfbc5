"""Requests to Twilio's REST API: the SDK's blocking client in worker threads, and what its failures mean."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from patter.carriers.twilio_wire import describe_error
from patter.errors import CarrierError, ConfigError
from patter.settings import is_loopback

__all__ = ["Answer", "FailedRequest", "TwilioRest", "read_origin"]

T = TypeVar("T")

THREADS = 32

REPEAT_AFTER_S = 0.3
REPEAT_WITHIN_S = 1.0
"""A repeatable request is repeated once, if it failed as fast as this."""

# The SDK logs the query of a listing, which holds telephone numbers.
_silent = logging.getLogger("patter.carriers.twilio.http")
_silent.disabled = True


class Answer(NamedTuple, Generic[T]):
    """What a request returned, and when by Twilio's clock."""

    value: T
    at: datetime


class FailedRequest(Exception):
    """A request that did not succeed.

    Args:
        sent: False if it is certain that Twilio has not received it.
        http_status: of the answer, or None without one.
        code: Twilio's own code, or None.
        retry_after_s: how long Twilio asks to wait, or None.
    """

    def __init__(
        self,
        *,
        sent: bool,
        http_status: int | None = None,
        code: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"HTTP {http_status}, code {code}")
        self.sent = sent
        self.http_status = http_status
        self.code = code
        self.retry_after_s = retry_after_s

    @property
    def doubtful(self) -> bool:
        """True if the request may have been carried out."""
        status = self.http_status
        return self.sent and (status is None or status < 300 or status >= 500)

    @property
    def passing(self) -> bool:
        """True if the same request may succeed a moment later."""
        return self.http_status is None or self.http_status == 429 or self.http_status >= 500


class TwilioRest:
    """One account at the REST API.

    Each request has a client and a connection of its own: the SDK's HTTP client keeps its last
    response in an attribute, so threads that share one can read each other's answers, and a kept
    connection that Twilio is just closing makes the outcome of a dial doubtful.
    """

    def __init__(self, account_sid: str, auth_token: str, base_url: str | None, timeout_s: float) -> None:
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._base_url = base_url
        self._is_local = base_url is not None and is_loopback(base_url)
        self._timeout_s = timeout_s
        self._threads = anyio.CapacityLimiter(THREADS)

    async def request(self, work: Callable[[Any], T]) -> Answer[T]:
        """Run one request; cancellation leaves its thread behind.

        Args:
            work: called in a thread with a ``twilio.rest.Client``.

        Raises:
            FailedRequest: it did not succeed.
        """
        # The SDK's own time limit starts anew with each byte.
        with anyio.move_on_after(2 * self._timeout_s + 1):
            return await anyio.to_thread.run_sync(self._perform, work, abandon_on_cancel=True, limiter=self._threads)
        raise FailedRequest(sent=True)

    async def repeatable(self, work: Callable[[Any], T]) -> Answer[T]:
        """Run a request that may be carried out twice; it is repeated once if it failed at once."""
        began = anyio.current_time()
        try:
            return await self.request(work)
        except FailedRequest as failed:
            if not failed.passing or anyio.current_time() > began + REPEAT_WITHIN_S:
                raise
        await anyio.sleep(REPEAT_AFTER_S)
        return await self.request(work)

    def error(self, failed: FailedRequest) -> CarrierError:
        """The error to raise for a failure: our words only, for the SDK's hold numbers and addresses."""
        if failed.http_status is not None:
            message = describe_error(failed.code, failed.http_status)
        elif failed.sent:
            message = f"Twilio did not answer (time limit {self._timeout_s:g} s)."
        else:
            message = "Twilio cannot be reached. Check the network and base_url (TWILIO_BASE_URL)."
        return CarrierError(message, code=failed.code, http_status=failed.http_status, doubtful=failed.doubtful)

    def _perform(self, work: Callable[[Any], T]) -> Answer[T]:
        from requests.exceptions import RequestException
        from twilio.base.exceptions import TwilioException
        from twilio.http.http_client import TwilioHttpClient
        from twilio.rest import Client

        answers: list[Any] = []

        def note(response: Any, **_: Any) -> None:
            answers.append(response)

        http = TwilioHttpClient(timeout=self._timeout_s, logger=_silent, request_hooks={"response": note})
        client = Client(self._account_sid, self._auth_token, http_client=http)
        if self._base_url:
            client.api.base_url = self._base_url
            # From the environment; they would rewrite the host of the address.
            client.edge = client.region = None
        with http.session as session:
            # A proxy of the environment does not reach this machine's loopback.
            session.trust_env = not self._is_local
            try:
                value = work(client)
            except (RequestException, TwilioException) as error:
                raise _classify(error, answers[-1] if answers else None) from None
            except (TypeError, ValueError, KeyError, AttributeError):
                # The SDK cannot read the answer.
                raise FailedRequest(sent=True, http_status=_status(answers)) from None
        return Answer(value, _date(answers[-1].headers.get("Date")))


def _status(answers: list[Any]) -> int | None:
    return answers[-1].status_code if answers else None


def _classify(error: Exception, answer: Any) -> FailedRequest:
    if answer is None:
        return FailedRequest(sent=not _is_unsent(error))
    status = answer.status_code
    try:
        code = int(getattr(error, "code", None) or 0)
    except (TypeError, ValueError):
        code = 0
    try:
        retry_after_s = max(0.0, float(answer.headers.get("Retry-After")))
    except (TypeError, ValueError):
        retry_after_s = None
    # The SDK puts the HTTP status in the place of a code that it did not find.
    return FailedRequest(
        sent=True,
        http_status=status,
        code=code if code not in (0, status) else None,
        retry_after_s=retry_after_s,
    )


def _is_unsent(error: Exception) -> bool:
    """True if the failure is certain to have come before the request left this machine."""
    from requests import exceptions
    from urllib3.exceptions import MaxRetryError, NewConnectionError
    from urllib3.exceptions import SSLError as TlsError

    if isinstance(
        error,
        exceptions.ConnectTimeout | exceptions.ProxyError | exceptions.InvalidURL | exceptions.InvalidSchema,
    ):
        return True
    cause = error.args[0] if error.args else None
    if not isinstance(cause, MaxRetryError):
        return False
    reason = cause.reason
    if isinstance(reason, TlsError):
        return bool(reason.args) and isinstance(reason.args[0], ssl.SSLCertVerificationError)
    return isinstance(reason, NewConnectionError)


def _date(header: str | None) -> datetime:
    try:
        return parsedate_to_datetime(header or "").astimezone(UTC)
    except ValueError:
        return datetime.now(UTC)


def read_origin(address: str | None) -> str | None:
    """Check the address of the API: scheme, host and port, and nothing else.

    Raises:
        ConfigError: it is something else.
    """
    if not address:
        return None
    parts = urlsplit(address.strip())
    try:
        is_origin = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        is_origin = False
    if not is_origin or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise ConfigError(
            "base_url (TWILIO_BASE_URL) must be an origin such as https://api.twilio.com, "
            "without a path, a query or credentials."
        )
    return f"{parts.scheme}://{parts.netloc}"
