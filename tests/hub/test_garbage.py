"""Garbage collection and threads beside a busy loop."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import trio
from trio.testing import MockClock

from agent.hub.garbage import hold_nobody_up
from agent.limits import Limits
from tests.support.hub_client import open_client
from tests.support.runs import a_run

_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def test_a_search_waits_for_a_hub_without_agents_and_for_a_day_at_most(autojump_clock: MockClock, monkeypatch):
    before, searched = (gc.get_threshold(), sys.getswitchinterval()), []
    monkeypatch.setattr(gc, "collect", lambda: searched.append(trio.current_time()))
    agents = {"one"}
    started = trio.current_time()
    with trio.move_on_after(30 * 3600 + 30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold_nobody_up, Limits(), lambda: agents)
            await trio.sleep(27.5 * 3600)
            assert gc.get_freeze_count() > 1000
            agents.clear()
    assert [round((at - started) / 3600) for at in searched] == [24, 28, 29, 30]
    assert gc.get_freeze_count() == 0
    assert (gc.get_threshold(), sys.getswitchinterval()) == before


async def test_connections_leave_nothing_that_only_a_search_would_find(tmp_path: Path):
    """With thousands of agents a search holds everybody up, so there must be no need of it."""
    written = a_run(2)
    async with open_client(tmp_path) as client:

        async def connect() -> None:
            await client.send(*written.lines)
            async with await trio.open_tcp_stream("127.0.0.1", client.port) as broken:  # an agent that is killed
                await broken.send_all(_HANDSHAKE)
                await broken.receive_some()
            for path in ("/healthz", "/api/runs", "/api/nothing"):
                await client.get(path)
            async with client.stream("/api/live"):
                pass
            await client.receiver.until(lambda: not client.receiver.connections)

        await connect()
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                await connect()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = {type(thing).__module__.partition(".")[0] for thing in gc.garbage}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert not left & {"agent", "hypercorn", "starlette", "websockets"}
