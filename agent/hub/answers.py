"""Answers over HTTP, and the headers of all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from agent.hub.guard import WrongToken
from agent.hub.hub import Hub

encode = msgspec.json.Encoder().encode
HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # An answer opened by itself must not run anything either.
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


class Streamed(StreamingResponse):
    """A streamed answer that closes its generator where the visitor leaves in between."""

    async def stream_response(self, send: Send) -> None:
        """Send the answer. Cancelling: safe; the generator is closed."""
        async with aclosing(self.body_iterator):  # type: ignore[type-var]
            await super().stream_response(send)


async def refused(request: Request, error: Exception) -> Response:
    """Answer an HTTPException with its sentence; one for a wrong token late. Cancelling: safe."""
    assert isinstance(error, HTTPException)
    if isinstance(error, WrongToken):
        await trio.sleep(error.pause)
    return json_of({"error": error.detail}, error.status_code, error.headers)


async def failed(request: Request, error: Exception) -> Response:
    """Answer where the hub has a bug. Cancelling: safe."""
    return json_of({"error": "the hub failed; its log tells why"}, 500)


def json_of(value: object, status: int = 200, headers: Any = None) -> Response:
    """Return a value as JSON."""
    return json_bytes(encode(value), status, headers)


def json_bytes(content: bytes, status: int = 200, headers: Any = None) -> Response:
    """Return what is JSON already."""
    return Response(content, status, {**HEADERS, **(headers or {})}, "application/json")


def stream(hub: Hub, chunks: AsyncIterator[bytes]) -> Response:
    """Return server-sent events, counted as a watcher as long as they last."""
    # nginx holds answers back unless it is told not to.
    return Streamed(
        _counted(hub, chunks), media_type="text/event-stream", headers={**HEADERS, "x-accel-buffering": "no"}
    )


async def _counted(hub: Hub, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    hub.watchers += 1
    try:
        async with aclosing(chunks):  # type: ignore[type-var]
            async for chunk in chunks:
                yield chunk
    finally:
        hub.watchers -= 1
