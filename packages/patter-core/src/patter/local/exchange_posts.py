"""The webhooks of one call: signed, one after the other, in order unless told otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from urllib.parse import urlencode

import anyio
import httpx2
from twilio.request_validator import RequestValidator

from patter.local.exchange_hosts import Hosts
from patter.local.exchange_record import CallRecord, SentCallback
from patter.local.exchange_settings import CallbackFault, SignatureFault
from patter.local.exchange_wire import Refusal

__all__ = ["Postman", "signature"]


def signature(auth_token: str, url: str, form: Mapping[str, str], fault: SignatureFault) -> dict[str, str]:
    """The header that signs a request, unless the fault says otherwise."""
    if fault == "missing":
        return {}
    token = auth_token if fault == "none" else f"not {auth_token}"
    return {"X-Twilio-Signature": RequestValidator(token).compute_signature(url, dict(form))}


class Postman:
    """Posts the callbacks of one call. `post` returns at once; `run` delivers until `close`."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        auth_token: str,
        record: CallRecord,
        hosts: Hosts,
        *,
        order: CallbackFault = "none",
        signing: SignatureFault = "none",
    ) -> None:
        self._client = client
        self._auth_token = auth_token
        self._record = record
        self._hosts = hosts
        self._order = order
        self._signing = signing
        self._outbox, self._inbox = anyio.create_memory_object_stream[tuple[str, dict[str, str]]](math.inf)

    def post(self, url: str, form: dict[str, str]) -> None:
        """Queue a callback. After `close` it is dropped."""
        if self._order != "dropped":
            try:
                self._outbox.send_nowait((url, form))
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                return

    def close(self) -> None:
        """Say that no more callbacks come; `run` ends after the last one."""
        self._outbox.close()

    async def run(self) -> None:
        """Deliver what is queued, until closed."""
        held: tuple[str, dict[str, str]] | None = None
        with self._outbox, self._inbox:
            async for url, form in self._inbox:
                if self._order == "reordered" and held is None:
                    held = url, form
                    continue
                await self.fetch(url, form)
                if self._order == "duplicated":
                    await self.fetch(url, form)
                if held is not None:
                    await self.fetch(*held)
                    held = None
            if held is not None:
                await self.fetch(*held)

    async def fetch(self, url: str, form: dict[str, str]) -> str:
        """Post one form now, and return the answer's text; empty if there is none."""
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
        headers |= signature(self._auth_token, url, form, self._signing)
        try:
            answer = await self._client.post(self._hosts.reach(url), content=urlencode(form), headers=headers)
        except (httpx2.HTTPError, Refusal):
            self._record.callbacks.append(SentCallback(url, form, None))
            return ""
        self._record.callbacks.append(SentCallback(url, form, answer.status_code))
        return answer.text if answer.is_success else ""
