"""The HTTP API below /api; docs/hub.md and agent/hub/openapi.json describe it.

Every answer that is no data is JSON with `error`, one sentence for a person. Nothing of an agent's is sent as markup.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send

from agent.hub import events
from agent.hub.access import COOKIE, Right
from agent.hub.commands import Command, Refused
from agent.hub.guard import Guard, WrongToken
from agent.hub.hub import Hub
from agent.hub.index import Entry, Query
from agent.hub.lines import Position, read
from agent.hub.metrics import CONTENT_TYPE, Metrics
from agent.hub.openapi import PATH
from agent.receiver import State

_encode = msgspec.json.Encoder().encode
_STATES = State.__args__  # type: ignore[attr-defined]
_LIMIT, _MOST = 100, 1000
#: The largest number that every JSON reader keeps, and more messages than any run has.
_NUMBER = 2**53 - 1
_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # An answer opened by itself must not run anything either.
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


class _Streamed(StreamingResponse):
    """A streamed answer that closes its generator where the visitor leaves in between."""

    async def stream_response(self, send: Send) -> None:
        """Send the answer. Cancelling: safe; the generator is closed."""
        async with aclosing(self.body_iterator):  # type: ignore[type-var]
            await super().stream_response(send)


class Api:
    """The handlers. Each one says what it wants of its visitor first."""

    def __init__(self, hub: Hub, guard: Guard, metrics: Metrics) -> None:
        self._hub = hub
        self._metrics = metrics
        self._guard = guard

    def routes(self) -> list[Route]:
        """The addresses."""
        return [
            Route("/api/openapi.json", self._document, methods=["GET"]),
            Route("/api/session", self._session, methods=["GET"]),
            Route("/api/login", self._login, methods=["POST"]),
            Route("/api/logout", self._logout, methods=["POST"]),
            Route("/api/runs", self._runs, methods=["GET"]),
            Route("/api/live", self._live, methods=["GET"]),
            Route("/api/runs/{id}", self._run, methods=["GET"]),
            Route("/api/runs/{id}/messages", self._messages, methods=["GET"]),
            Route("/api/runs/{id}/live", self._run_live, methods=["GET"]),
            Route("/api/runs/{id}/patch", self._patch, methods=["GET"]),
            Route("/api/runs/{id}/commands", self._commands, methods=["POST"]),
            Route("/api/runs/{id}/vitals", self._vitals, methods=["GET"]),
            Route("/metrics", self._measure, methods=["GET"]),
            Route("/healthz", self._healthy, methods=["GET"]),
            Route("/readyz", self._ready, methods=["GET"]),
        ]

    async def _document(self, request: Request) -> Response:
        """Send the API's description."""
        return _json_bytes(await trio.Path(PATH).read_bytes())

    async def _session(self, request: Request) -> Response:
        """Tell the visitor's right."""
        right = self._guard.right(request)
        tokens = self._hub.tokens
        return _json(
            {"right": right.name.lower(), "login": tokens.watchers is not None or tokens.operators is not None}
        )

    async def _login(self, request: Request) -> Response:
        """Give a cookie for a token."""
        self._guard.check_origin(request)
        given = await self._object(request)
        token = given.get("token")
        if not isinstance(token, str):
            raise HTTPException(400, 'the body must be {"token": "..."}')
        right = self._guard.login(request, token)
        until = int(time.time() + self._hub.limits.hub_session)
        response = _json({"right": right.name.lower(), "login": True})
        if cookie := self._hub.tokens.cookie(right, until):
            response.set_cookie(
                COOKIE, cookie, max_age=int(self._hub.limits.hub_session), path="/", httponly=True, samesite="strict",
                secure=self._guard.tls,
            )  # fmt: skip
        return response

    async def _logout(self, request: Request) -> Response:
        """Take the cookie back."""
        self._guard.check_origin(request)
        response = _json({"right": self._hub.tokens.everybody.name.lower(), "login": True})
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=self._guard.tls)
        return response

    async def _runs(self, request: Request) -> Response:
        """Send a page of runs, and totals."""
        self._guard.demand(request, Right.READ)
        indexing = self._hub.indexing  # as it was before the list was read
        found, rev = await self._hub.find(_query(request))
        head = {
            "next": _cursor(found.next),
            "rev": rev,
            "indexing": indexing,
            "totals": {"runs": found.count, "states": found.states, "cost": found.cost},
        }
        rows = b",".join(found.rows)
        return _json_bytes(b'{"runs":[%s],%s' % (rows, _encode(head)[1:]))

    async def _run(self, request: Request) -> Response:
        """Send the row of a run."""
        return _json_bytes(_encode((await self._entry(request)).row))

    async def _messages(self, request: Request) -> Response:
        """Send stored messages as received, one per line."""
        entry = await self._entry(request)
        path = self._hub.path(entry.row)
        after, before = _number(request, "after", 0), _number(request, "before", _NUMBER)
        limit, last = _number(request, "limit", 0), _number(request, "last", 0)
        try:
            if last or ("before" in request.query_params and limit):
                start = await trio.to_thread.run_sync(
                    self._hub.positions.before, path, before, last or limit, limiter=self._hub.readers
                )
            else:
                start = await trio.to_thread.run_sync(self._hub.positions.after, path, after, limiter=self._hub.readers)
        except FileNotFoundError:
            start = Position()
        chunks = self._lines(path, start, after, before, limit or last or None)
        return _Streamed(chunks, media_type="application/x-ndjson", headers=_HEADERS)

    async def _lines(
        self, path: Any, position: Position, after: int, before: int, most: int | None
    ) -> AsyncIterator[bytes]:
        sent = 0
        while True:
            try:
                lines = await trio.to_thread.run_sync(
                    read, path, position, self._hub.limits.hub_read_bytes, limiter=self._hub.readers
                )
            except FileNotFoundError:
                return
            if not lines:
                return
            wanted = [line.text for line in lines if after < line.number < before]
            if most is not None:
                wanted = wanted[: most - sent]
            if wanted:
                yield b"\n".join([*wanted, b""])
            sent += len(wanted)
            if sent == most or lines[-1].number >= before:
                return
            position = Position(lines[-1].end, lines[-1].number)

    async def _run_live(self, request: Request) -> Response:
        """Send a run as it goes on."""
        entry = await self._entry(request)
        after = _resume(request)
        return _stream(self._hub, events.run(self._hub, entry.row.id, after or 0))

    async def _live(self, request: Request) -> Response:
        """Send what changes in the fleet, as it changes."""
        self._guard.demand(request, Right.READ)
        return _stream(self._hub, events.fleet(self._hub, _resume(request)))

    async def _patch(self, request: Request) -> Response:
        """Send the work of a run as a file."""
        entry = await self._entry(request)
        path = self._hub.path(entry.row, ".patch")
        try:
            content = await trio.Path(path).read_bytes()
        except FileNotFoundError:
            raise HTTPException(404, "the run has sent no patch; STREAM_PATCH=1 makes an agent send it") from None
        return Response(
            content,
            media_type="text/plain; charset=utf-8",
            headers={**_HEADERS, "content-disposition": 'attachment; filename="changes.patch"'},
        )

    async def _commands(self, request: Request) -> Response:
        """Steer a run."""
        self._guard.check_origin(request)
        self._guard.demand(request, Right.COMMAND)
        entry = await self._entry(request)
        try:
            command = msgspec.json.decode(await self._body(request), type=Command)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise HTTPException(400, f"the body is no command: {error}") from None
        try:
            id = await self._hub.commands.send(entry.row, command)
        except Refused as refused:
            raise HTTPException(409, str(refused)) from None
        return _json({"id": id}, 202)

    async def _vitals(self, request: Request) -> Response:
        """Send what the HEARTBEATs of a run told of resources, one line each."""
        entry = await self._entry(request)
        path = trio.Path(self._hub.path(entry.row, ".vitals"))
        content = await path.read_bytes() if await path.exists() else b""
        return Response(content, 200, _HEADERS, "application/x-ndjson")

    async def _measure(self, request: Request) -> Response:
        """Send the metrics."""
        self._guard.demand(request, Right.READ)
        return Response(await self._metrics.text(), 200, _HEADERS, CONTENT_TYPE)

    async def _healthy(self, request: Request) -> Response:
        """Tell that the hub runs."""
        return _json({"status": "ok"})

    async def _ready(self, request: Request) -> Response:
        """Tell whether agents can be taken: whether what they send can be stored."""
        try:
            await trio.to_thread.run_sync(self._hub.store.probe)
        except OSError as error:
            raise HTTPException(503, f"cannot store: {error.strerror}") from None
        return _json({"status": "ok", "indexing": self._hub.indexing})

    async def _entry(self, request: Request) -> Entry:
        self._guard.demand(request, Right.READ)
        entry = await self._hub.entry(request.path_params["id"])
        if entry is None:
            raise HTTPException(404, "there is no run with this ID")
        return entry

    async def _body(self, request: Request) -> bytes:
        """The body, of limited length, which says that it is JSON: a page of another site cannot say so unasked."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(415, "the body must be application/json")
        body, size, most = b"", 0, self._hub.limits.hub_body_bytes
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

    async def _object(self, request: Request) -> dict[str, Any]:
        """The body, a JSON object."""
        try:
            return msgspec.json.decode(await self._body(request), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise HTTPException(400, "the body is no JSON object") from None


def application(hub: Hub, guard: Guard, metrics: Metrics, *more: Route) -> Callable[..., Awaitable[None]]:
    """The ASGI application: the API, and what else is served."""
    return Starlette(
        routes=[*Api(hub, guard, metrics).routes(), *more],
        exception_handlers={HTTPException: _error, Exception: _fault},
    )


async def _error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, WrongToken):
        await trio.sleep(error.pause)
    return _json({"error": error.detail}, error.status_code, error.headers)


async def _fault(request: Request, error: Exception) -> Response:
    return _json({"error": "the hub failed; its log tells why"}, 500)


def _json(value: object, status: int = 200, headers: Any = None) -> Response:
    return _json_bytes(_encode(value), status, headers)


def _json_bytes(content: bytes, status: int = 200, headers: Any = None) -> Response:
    return Response(content, status, {**_HEADERS, **(headers or {})}, "application/json")


def _stream(hub: Hub, chunks: AsyncIterator[bytes]) -> Response:
    # nginx holds answers back unless it is told not to.
    return _Streamed(
        _counted(hub, chunks), media_type="text/event-stream", headers={**_HEADERS, "x-accel-buffering": "no"}
    )


async def _counted(hub: Hub, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    hub.watchers += 1
    try:
        async with aclosing(chunks):  # type: ignore[type-var]
            async for chunk in chunks:
                yield chunk
    finally:
        hub.watchers -= 1


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 16 and int(text) <= _NUMBER):
        raise HTTPException(400, f"{name} must be a number from 0 to {_NUMBER}")
    return int(text)


def _resume(request: Request) -> int | None:
    """Return the number behind which a stream goes on: Last-Event-ID, which a browser sends after a lost connection, or
    `after`."""
    last = request.headers.get("last-event-id", "")
    if last.isascii() and last.isdecimal() and len(last) <= 16:
        return int(last)
    return _number(request, "after", 0) if "after" in request.query_params else None


def _query(request: Request) -> Query:
    states = [state for text in request.query_params.getlist("state") for state in text.split(",")]
    if unknown := [state for state in states if state not in _STATES]:
        raise HTTPException(400, f"state must be one of {', '.join(_STATES)}, not {unknown[0][:40]!r}")
    labels = {}
    for text in request.query_params.getlist("label"):
        name, equals, value = text.partition("=")
        if not equals:
            raise HTTPException(400, "label must be NAME=VALUE")
        labels[name] = value
    limit = _number(request, "limit", _LIMIT)
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


def _cursor(next: tuple[str, str] | None) -> str | None:
    return base64.urlsafe_b64encode(_encode(next)).decode() if next else None


def _uncursor(cursor: str) -> tuple[str, str]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=tuple[str, str])
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise HTTPException(400, "cursor must be the `next` of an earlier answer") from None
