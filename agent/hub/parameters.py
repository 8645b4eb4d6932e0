"""Requests over HTTP: their query parameters and bodies, checked. What is wrong raises HTTPException."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from agent.hub.index import Query
from agent.limits import Limits
from agent.receiver import State

_STATES = State.__args__  # type: ignore[attr-defined]
_LIMIT, _MOST = 100, 1000
#: The largest number that every JSON reader keeps, and more messages than any run has.
NUMBER = 2**53 - 1


async def body(request: Request, limits: Limits) -> bytes:
    """Read the body, of limited length, which says that it is JSON: a page of another site cannot say so unasked.

    Cancelling: safe.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "the body must be application/json")
    body, size, most = b"", 0, limits.hub_body_bytes
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= most:
                body += chunk
            elif size > 16 * most:  # until then the rest is read, so that the client reads our answer
                break
    except ClientDisconnect:
        raise HTTPException(400, "the body ended early") from None
    if size > most:
        raise HTTPException(413, f"the body is longer than {most} bytes")
    return body


async def object_in(request: Request, limits: Limits) -> dict[str, Any]:
    """Read the body, a JSON object. Cancelling: safe."""
    try:
        return msgspec.json.decode(await body(request, limits), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise HTTPException(400, "the body is no JSON object") from None


def number(request: Request, name: str, default: int) -> int:
    """Return a parameter that is a whole number."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 16 and int(text) <= NUMBER):
        raise HTTPException(400, f"{name} must be a number from 0 to {NUMBER}")
    return int(text)


def resume(request: Request) -> int | None:
    """Return the number behind which a stream goes on: Last-Event-ID, which a browser sends after a lost connection, or
    `after`."""
    last = request.headers.get("last-event-id", "")
    if last.isascii() and last.isdecimal() and len(last) <= 16:
        return int(last)
    return number(request, "after", 0) if "after" in request.query_params else None


def query(request: Request) -> Query:
    """Return which runs are asked for."""
    states = [state for text in request.query_params.getlist("state") for state in text.split(",")]
    if unknown := [state for state in states if state not in _STATES]:
        raise HTTPException(400, f"state must be one of {', '.join(_STATES)}, not {unknown[0][:40]!r}")
    labels = {}
    for text in request.query_params.getlist("label"):
        name, equals, value = text.partition("=")
        if not equals:
            raise HTTPException(400, "label must be NAME=VALUE")
        labels[name] = value
    limit = number(request, "limit", _LIMIT)
    if not 1 <= limit <= _MOST:
        raise HTTPException(400, f"limit must be from 1 to {_MOST}")
    attention = request.query_params.get("attention", "0")
    if attention not in ("0", "1"):
        raise HTTPException(400, "attention must be 1 or 0")
    cursor = request.query_params.get("cursor")
    return Query(
        states=states,
        attention=attention == "1",
        labels=labels,
        text=request.query_params.get("q", "")[:1000],
        limit=limit,
        after=_uncursor(cursor) if cursor else None,
    )


def cursor(next: tuple[str, str] | None) -> str | None:
    """Return the parameter `cursor` for the next page."""
    return base64.urlsafe_b64encode(msgspec.json.encode(next)).decode() if next else None


def _uncursor(cursor: str) -> tuple[str, str]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=tuple[str, str])
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise HTTPException(400, "cursor must be the `next` of an earlier answer") from None
