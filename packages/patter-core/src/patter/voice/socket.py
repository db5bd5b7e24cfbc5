"""A websocket to a vendor: bounded when it opens and when it closes, with errors that say what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from patter.errors import ProviderError, Stage
from patter.settings import is_loopback
from patter.voice.refusal import refusal

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

__all__ = ["connect"]

_CLOSE_S = 1.0
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024


@asynccontextmanager
async def connect(
    address: str, *, stage: Stage, vendor: str, variable: str, headers: Mapping[str, str], open_s: float = 5.0
) -> AsyncIterator[ClientConnection]:
    """A connection that is there, and that is gone within a second of being left.

    Args:
        address: http(s) or ws(s), with its query.
        variable: the environment variable of the vendor's key, for the error texts.
        open_s: the longest wait for the handshake.

    Raises:
        ProviderError: refused (with the vendor's reason), unreachable, or not answered in time.
    """
    # Loading the client takes a tenth of a second, so it is loaded when a socket is first wanted.
    from websockets.asyncio.client import connect as open_socket
    from websockets.exceptions import InvalidHandshake, InvalidStatus

    try:
        connection = await open_socket(
            "ws" + address.removeprefix("ws").removeprefix("http"),
            additional_headers=dict(headers),
            open_timeout=open_s,
            close_timeout=_CLOSE_S,
            max_size=_MAX_MESSAGE_BYTES,
            compression=None,
            # With a proxy in the environment, even a loopback address would go there.
            proxy=None if is_loopback(address) else True,
        )
    except InvalidStatus as refused:
        response = refused.response
        detail = (response.body or b"").decode("utf-8", "replace")
        raise refusal(stage, vendor, response.status_code, variable=variable, detail=detail) from None
    except TimeoutError:
        message = f"{vendor} did not answer the handshake within {open_s:g} s; check the network and base_url."
        raise ProviderError(stage, message, retryable=True) from None
    except (OSError, InvalidHandshake) as error:
        message = f"{vendor} cannot be reached ({type(error).__name__}); check the network and base_url."
        raise ProviderError(stage, message, retryable=True) from None
    try:
        yield connection
    finally:
        with anyio.move_on_after(_CLOSE_S, shield=True):
            await connection.close()
        connection.transport.abort()
