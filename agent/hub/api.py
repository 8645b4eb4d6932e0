"""The HTTP API below /api; docs/hub.md and agent/hub/openapi.json describe it.

Every answer that is no data is JSON with `error`, one sentence for a person. Nothing of an agent's is sent as markup.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.hub import events
from agent.hub.access import Right
from agent.hub.answers import HEADERS, Streamed, encode, failed, json_bytes, json_of, refused, stream
from agent.hub.commands import Command, Refused
from agent.hub.guard import Guard
from agent.hub.hub import Hub
from agent.hub.index import Entry
from agent.hub.lines import Position, read
from agent.hub.metrics import CONTENT_TYPE, Metrics
from agent.hub.openapi import PATH
from agent.hub.parameters import NUMBER, body, cursor, number, query, resume
from agent.hub.session import Sessions
from agent.receiver import RunKey


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
        return json_bytes(await trio.Path(PATH).read_bytes())

    async def _runs(self, request: Request) -> Response:
        """Send a page of runs, and totals."""
        self._guard.demand(request, Right.READ)
        indexing = self._hub.indexing  # as it was before the list was read
        found, rev = await self._hub.find(query(request))
        head = {
            "next": cursor(found.next),
            "rev": rev,
            "indexing": indexing,
            "totals": {"runs": found.count, "states": found.states, "cost": found.cost},
        }
        rows = b",".join(found.rows)
        return json_bytes(b'{"runs":[%s],%s' % (rows, encode(head)[1:]))

    async def _run(self, request: Request) -> Response:
        """Send the row of a run."""
        return json_bytes(encode((await self._entry(request)).row))

    async def _messages(self, request: Request) -> Response:
        """Send stored messages as received, one per line."""
        entry = await self._entry(request)
        path = self._hub.path(entry.row)
        after, before = number(request, "after", 0), number(request, "before", NUMBER)
        limit, last = number(request, "limit", 0), number(request, "last", 0)
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
        return Streamed(chunks, media_type="application/x-ndjson", headers=HEADERS)

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
        after = resume(request)
        return stream(self._hub, events.run(self._hub, entry.row.id, after or 0))

    async def _live(self, request: Request) -> Response:
        """Send what changes in the fleet, as it changes."""
        self._guard.demand(request, Right.READ)
        return stream(self._hub, events.fleet(self._hub, resume(request)))

    async def _patch(self, request: Request) -> Response:
        """Send the work of a run as a file."""
        entry = await self._entry(request)
        path = self._hub.path(entry.row, ".patch")
        content: bytes | None = None
        try:
            content = await trio.Path(path).read_bytes()
        except FileNotFoundError:
            if entry.row.patch:  # the file is written at the end, and the run has not come to it
                key = RunKey(entry.row.containerID, entry.row.runID)
                content = await trio.to_thread.run_sync(self._hub.store.patch, key, limiter=self._hub.readers)
        if content is None:
            raise HTTPException(404, "the run has sent no patch; STREAM_PATCH=1 makes an agent send it")
        return Response(
            content,
            media_type="text/plain; charset=utf-8",
            headers={**HEADERS, "content-disposition": 'attachment; filename="changes.patch"'},
        )

    async def _commands(self, request: Request) -> Response:
        """Steer a run."""
        self._guard.check_origin(request)
        self._guard.demand(request, Right.COMMAND)
        entry = await self._entry(request)
        try:
            command = msgspec.json.decode(await body(request, self._hub.limits), type=Command)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise HTTPException(400, f"the body is no command: {error}") from None
        try:
            id = await self._hub.commands.send(entry.row, command)
        except Refused as refused:
            raise HTTPException(409, str(refused)) from None
        return json_of({"id": id}, 202)

    async def _vitals(self, request: Request) -> Response:
        """Send what the HEARTBEATs of a run told of resources, one line each."""
        entry = await self._entry(request)
        path = trio.Path(self._hub.path(entry.row, ".vitals"))
        content = await path.read_bytes() if await path.exists() else b""
        return Response(content, 200, HEADERS, "application/x-ndjson")

    async def _measure(self, request: Request) -> Response:
        """Send the metrics."""
        self._guard.demand(request, Right.READ)
        return Response(await self._metrics.text(), 200, HEADERS, CONTENT_TYPE)

    async def _healthy(self, request: Request) -> Response:
        """Tell that the hub runs."""
        return json_of({"status": "ok"})

    async def _ready(self, request: Request) -> Response:
        """Tell whether agents can be taken: whether what they send can be stored."""
        try:
            await trio.to_thread.run_sync(self._hub.store.probe)
        except OSError as error:
            raise HTTPException(503, f"cannot store: {error.strerror}") from None
        return json_of({"status": "ok", "indexing": self._hub.indexing})

    async def _entry(self, request: Request) -> Entry:
        self._guard.demand(request, Right.READ)
        entry = await self._hub.entry(request.path_params["id"])
        if entry is None:
            raise HTTPException(404, "there is no run with this ID")
        return entry


def application(hub: Hub, guard: Guard, metrics: Metrics, *more: Route) -> Callable[..., Awaitable[None]]:
    """The ASGI application: the API, and what else is served."""
    return Starlette(
        routes=[*Api(hub, guard, metrics).routes(), *Sessions(hub, guard).routes(), *more],
        exception_handlers={HTTPException: refused, Exception: failed},
    )
