"""Server-sent events: what a browser's EventSource reads, and `agent watch`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import trio

from agent.hub.hub import Hub
from agent.hub.lines import Position, Positions, read

_encode = msgspec.json.Encoder().encode
#: An EventSource that lost its connection comes back after a second.
_HELLO = b"retry: 1000\n\n"
_STILL_HERE = b": \n\n"


def event(name: str, data: bytes, id: int | None = None) -> bytes:
    """Encode one event. `data` holds no line break."""
    head = f"event: {name}\n" if name else ""
    head += f"id: {id}\n" if id is not None else ""
    return b"%sdata: %s\n\n" % (head.encode(), data)


async def fleet(hub: Hub, rev: int | None) -> AsyncIterator[bytes]:
    """Tell what changes in the fleet after a revision: `rows`, an array of objects with the fields that changed;
    `removed`, an array of IDs; `reset` if the list must be read again first. Never ends.

    Cancelling: safe.
    """
    yield _HELLO
    rev = hub.fleet.rev if rev is None else rev
    while True:
        news = hub.fleet.changed.next()
        changes = hub.fleet.since(rev)
        if changes is None:
            rev = hub.fleet.rev
            yield event("reset", b"{}", rev)
            continue
        if not changes:
            with trio.move_on_after(hub.limits.hub_keepalive) as patience:
                await news.wait()
            if patience.cancelled_caught:
                yield _STILL_HERE
            continue
        rev = changes[-1].rev
        parts = []
        if removed := [id for change in changes for id in change.removed]:
            parts.append(event("removed", _encode(removed)))
        elements = b",".join(change.elements for change in changes if change.elements)
        parts.append(event("rows", b"[%s]" % elements, rev))
        yield b"".join(parts)


async def run(hub: Hub, id: str, after: int) -> AsyncIterator[bytes]:
    """Tell a run from the line behind `after` on: each line as received, under its number; `row` when its row changes;
    `preview` with what claude is writing now; `end` once it is over and all was sent. Ends there, or when the run is
    removed.

    Cancelling: safe.
    """
    yield _HELLO
    entry = await hub.entry(id)
    if entry is None:
        return
    path = hub.path(entry.row)
    position = await trio.to_thread.run_sync(_start, hub.positions, path, after, limiter=hub.readers)
    told = -1
    passed: int | None = None
    while True:
        live = hub.fleet.live(id)
        # Taken before looking, so that what comes meanwhile is not missed.
        news = (live.bell if live else hub.fleet.changed).next()
        entry = live.entry if live else await hub.entry(id)
        if entry is None:
            return
        if entry.rev > told or told < 0:
            told = entry.rev
            yield event("row", _encode(entry.row))
        try:
            lines = read(path, position, hub.limits.hub_read_bytes)
        except FileNotFoundError:
            lines = []
        if lines:
            yield b"".join(event("", line.text, line.number) for line in lines)
            position = Position(lines[-1].end, lines[-1].number)
            continue
        if live is not None:
            new = 0 if passed is None else min(live.passed - passed, len(live.pieces))
            passed = live.passed
            if new > 0:
                yield b"".join(event("preview", text.encode()) for text in list(live.pieces)[-new:])
                continue
        if entry.row.has_ended:
            yield event("end", _encode(entry.row))
            return
        with trio.move_on_after(hub.limits.hub_keepalive) as patience:
            await news.wait()
        if patience.cancelled_caught:
            yield _STILL_HERE


def _start(positions: Positions, path: Path, after: int) -> Position:
    try:
        return positions.after(path, after) if after > 0 else Position()
    except FileNotFoundError:
        return Position()
