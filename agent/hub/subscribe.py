"""Watching over a WebSocket, as clients of the original server do: `?containerID=...&token=...`, from now on.

Such a client gets each message of the container's runs as it was received. docs/hub.md says what differs for a page
that was written for the original wrapper. New clients use `/api/runs/ID/live`, which starts anywhere and resumes.
"""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

import trio
from websockets.http11 import Request

from agent.hub.access import Right
from agent.hub.commands import Cancel, Refused
from agent.hub.hub import Hub
from agent.hub.lines import Position, read
from agent.protocol import HEARTBEAT, STATUS, encode_json, timestamp
from agent.receiver import Link, Message, Receiver, RunKey, Serve, parse


class Subscribers:
    """Tells subscribers from agents, and serves them. `receiver` must be set before the first connection."""

    receiver: Receiver

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def visitor(self, request: Request, token: bytes) -> Serve | None:
        """Return who serves a connection that may watch; None for an agent's."""
        container = parse_qs(urlsplit(request.path).query).get("containerID", [""])[0]
        if not container:
            return None
        tokens = self._hub.tokens
        if tokens.open and "origin" not in request.headers:
            # Without tokens an agent with such an address looks the same, until it sends something.
            return lambda link: self._both(link, container)
        right = tokens.right(token.decode(errors="replace"))
        if tokens.open or right is Right.NOTHING:
            return None
        return lambda link: self._subscriber(link, container, right)

    async def _both(self, link: Link, container: str) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forward, link, container)
            await self.receiver.converse(link)
            nursery.cancel_scope.cancel()

    async def _subscriber(self, link: Link, container: str, right: Right) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forward, link, container)
            while True:
                for text in await link.receive():
                    message = parse(text) if isinstance(text, str) else None
                    if message is not None:
                        await self._hear(link, message, right)

    async def _hear(self, link: Link, message: Message, right: Right) -> None:
        """Answer a subscriber's HEARTBEAT, which it may wait for, and obey an operator's cancel."""
        if message.type == HEARTBEAT.name:
            now = timestamp(time.time())
            beat = {"type": HEARTBEAT.name, "containerID": message.container_id, "timestamp": now}
            await link.send(encode_json({**beat, "data": {"timestamp": now}}).decode())
        elif message.type == STATUS.name and right is Right.COMMAND and message.fields().get("status") == "cancel":
            for row in list(self._hub.fleet.rows()):
                if row.containerID == message.container_id and message.run_id in ("", row.runID):
                    try:
                        await self._hub.commands.send(row, Cancel())
                    except Refused as refused:
                        self._hub.note(f"cancel of {row.id}: {refused}")

    async def _forward(self, link: Link, container: str) -> None:
        """Send what comes from now on. A subscriber that reads slowly is behind, and nothing waits for it."""
        sent: dict[RunKey, Position] = {}
        for row in self._hub.fleet.rows():
            if row.containerID == container:
                key = RunKey(row.containerID, row.runID)
                path = self._hub.store.path(key)
                sent[key] = await trio.to_thread.run_sync(
                    self._hub.positions.after, path, row.seq, limiter=self._hub.readers
                )
        while True:
            news = self._hub.fleet.changed.next()
            if self._hub.sends(link):
                return  # an agent, which would get its own messages
            for row in list(self._hub.fleet.rows()):
                if row.containerID == container:
                    key = RunKey(row.containerID, row.runID)
                    sent[key] = await self._send_new(link, key, sent.get(key, Position()))
            await news.wait()

    async def _send_new(self, link: Link, key: RunKey, position: Position) -> Position:
        try:
            while lines := read(self._hub.store.path(key), position, self._hub.limits.hub_read_bytes):
                await link.send(*(line.text.decode(errors="replace") for line in lines))
                position = Position(lines[-1].end, lines[-1].number)
        except FileNotFoundError:
            pass
        return position
