"""The REST interface of the local network: create, read, list and update calls, as Twilio does."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Protocol
from urllib.parse import parse_qs

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from patter.carriers.base import CarrierStatus
from patter.local.exchange_call import ExchangeCall
from patter.local.exchange_hosts import Hosts
from patter.local.exchange_settings import Faults
from patter.local.exchange_wire import CreateRequest, Refusal, Verb, addresses, read_create, read_seconds, read_twiml

__all__ = ["Switch", "build_app"]

_ANSWERED_STATES = {CarrierStatus.IN_PROGRESS}


class Switch(Protocol):
    """What the REST interface needs of an exchange."""

    account_sid: str
    auth_token: str
    faults: Faults
    calls: dict[str, ExchangeCall]
    closing: anyio.Event
    hosts: Hosts

    def note_request(self, method: str, path: str, form: Mapping[str, list[str]]) -> None:
        """Keep a record of a request."""

    def place(self, request: CreateRequest) -> ExchangeCall:
        """Begin a call."""


def build_app(switch: Switch) -> Starlette:
    """The routes of one account."""
    account = f"/2010-04-01/Accounts/{switch.account_sid}"

    def route(path: str, method: str, answer: Callable[[Switch, Request], Awaitable[Response]]) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                _check_key(switch, request)
                return await answer(switch, request)
            except Refusal as refusal:
                return JSONResponse(refusal.body(), refusal.http_status)

        return Route(account + path, endpoint, methods=[method])

    return Starlette(
        routes=[
            route("/Calls.json", "POST", _create),
            route("/Calls.json", "GET", _list),
            route("/Calls/{sid}.json", "POST", _update),
            route("/Calls/{sid}.json", "GET", _read),
        ]
    )


def _check_key(switch: Switch, request: Request) -> None:
    wanted = base64.b64encode(f"{switch.account_sid}:{switch.auth_token}".encode()).decode()
    if not hmac.compare_digest(request.headers.get("authorization", ""), f"Basic {wanted}"):
        raise Refusal(401, 20003, "Authenticate")


async def _form(switch: Switch, request: Request) -> dict[str, list[str]]:
    form = parse_qs((await request.body()).decode(), keep_blank_values=True)
    switch.note_request(request.method, request.url.path, form)
    return form


async def _create(switch: Switch, request: Request) -> Response:
    form = await _form(switch, request)
    faults = switch.faults
    wanted = read_create(form)
    _check_addresses(switch, wanted.addresses)
    refused = faults.create_status != 201
    call = None if refused and not faults.create_placed else switch.place(wanted)
    if faults.create_black_hole:
        await switch.closing.wait()
    if faults.create_delay_s:
        with anyio.move_on_after(faults.create_delay_s):
            await switch.closing.wait()
    if refused or call is None:
        headers = {}
        if faults.create_retry_after_s is not None:
            headers["Retry-After"] = str(faults.create_retry_after_s)
        refusal = Refusal(faults.create_status, faults.create_code, "The local network was told to refuse this")
        return JSONResponse(refusal.body(), faults.create_status, headers)
    return JSONResponse({**call.resource(), "status": "queued"}, 201)


async def _list(switch: Switch, request: Request) -> Response:
    query = request.query_params
    switch.note_request("GET", request.url.path, {name: query.getlist(name) for name in query})
    calls = [
        call.resource()
        for call in reversed(switch.calls.values())
        if query.get("To", call.dialed.to) == call.dialed.to
        and query.get("From", call.dialed.from_number) == call.dialed.from_number
        and query.get("Status", call.status) == call.status
        and _since(query.get("StartTime>"), call)
    ]
    body = {
        "calls": calls,
        "page": 0,
        "page_size": max(len(calls), 50),
        "start": 0,
        "end": max(len(calls) - 1, 0),
        "uri": request.url.path,
        "first_page_uri": request.url.path,
        "next_page_uri": None,
        "previous_page_uri": None,
    }
    return JSONResponse(body)


def _since(text: str | None, call: ExchangeCall) -> bool:
    if text is None:
        return True
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(400, 20001, f"Invalid StartTime {text!r}") from None
    return call.created_at >= (start if start.tzinfo else start.replace(tzinfo=call.created_at.tzinfo))


async def _read(switch: Switch, request: Request) -> Response:
    switch.note_request("GET", request.url.path, {})
    return JSONResponse(_call(switch, request).resource())


async def _update(switch: Switch, request: Request) -> Response:
    form = await _form(switch, request)
    call = _call(switch, request)
    if switch.faults.hangup_status != 200:
        raise Refusal(switch.faults.hangup_status, 20500, "The local network was told to refuse this")
    status = form.get("Status", [""])[-1]
    twiml = form.get("Twiml", [""])[-1]
    if status not in {"", "completed", "canceled"}:
        raise Refusal(400, 20001, f"Status is completed or canceled, not {status!r}")
    talking = call.status in _ANSWERED_STATES
    if call.status.final or (status == "canceled" and talking) or (twiml and not talking):
        raise Refusal(400, 21220, "Unable to update the call: it is not in a state that allows it")
    if status:
        call.end("agent")
    elif twiml:
        await _redirect(switch, call, read_twiml(twiml), form)
    return JSONResponse(call.resource())


async def _redirect(switch: Switch, call: ExchangeCall, verbs: list[Verb], form: Mapping[str, list[str]]) -> None:
    _check_addresses(switch, addresses(verbs))
    limit_s = read_seconds({name: values[-1] for name, values in form.items()}, "TimeLimit", 14400, 86400)
    faults = switch.faults
    refused = faults.redirect_status != 200
    if not refused or faults.redirect_done:
        call.redirect(verbs)
        if "TimeLimit" in form:
            call.limit(limit_s)
    if refused:
        raise Refusal(faults.redirect_status, 20500, "The local network was told to refuse this")


def _check_addresses(switch: Switch, urls: Iterable[str]) -> None:
    for url in urls:
        switch.hosts.reach(url)


def _call(switch: Switch, request: Request) -> ExchangeCall:
    call = switch.calls.get(request.path_params["sid"])
    if call is None:
        raise Refusal(404, 20404, f"The requested resource {request.url.path} was not found")
    return call
