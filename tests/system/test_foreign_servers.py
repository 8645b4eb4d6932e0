"""Real servers of other people with their defaults: what they do not take whole arrives in parts, or costs nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from agent.delivery.connection import Endpoint
from agent.delivery.sender import Sender
from tests.support.arrivals import Arrivals
from tests.support.delivery import LIMITS, Told, fill, finish, journal
from tests.support.run_agent import run_agent
from tests.support.servers import open_npm_server, open_uws_server

pytestmark = [pytest.mark.system, pytest.mark.node]


def script(length: int) -> list[Any]:
    """A long line, and the end of the run right behind it."""
    return [["read"], ["init"], ["text", "before"], ["line", length], ["result"]]


async def test_npm_websocket_takes_a_long_message_in_frames(tmp_path: Path) -> None:
    async with open_npm_server(tmp_path, "websocket_server.js") as server:
        ran = await run_agent(tmp_path, server.url, script(150_000))
        lines = server.lines()
    ran.settled()
    assert (ran.code, ran.termination["undelivered"]) == (0, 0)
    assert "trying frames of 32,000 bytes" in ran.stderr
    Arrivals(lines).assert_whole()
    assert max(map(len, lines)) > 150_000


async def test_uwebsockets_which_just_breaks_takes_it_in_parts(tmp_path: Path) -> None:
    async with open_uws_server(tmp_path) as server:
        ran = await run_agent(tmp_path, server.url, script(40_000))
        lines = server.lines()
    ran.settled()
    assert (ran.code, ran.termination["undelivered"]) == (0, 0)
    (whole,) = Arrivals(lines).sent_again()
    assert len(json.loads(whole)["metadata"]["claude"]["message"]["content"][0]["text"]) == 40_000
    assert max(len(line.encode()) for line in lines) <= 16 * 1024


async def test_a_server_that_closes_after_20_messages_gets_all(tmp_path: Path) -> None:
    """By the sender alone: with the back-off of a run this would take a quarter of a minute."""
    log = journal()
    fill(log, 200)
    finish(log)
    async with open_npm_server(tmp_path, "websocket_server.js", 20) as server:
        endpoint = Endpoint.parse(server.url, token=None, ca_file=None)
        with trio.fail_after(60):
            await Sender(log, endpoint, LIMITS, Told().listener()).run(gate=30)
        arrived = Arrivals(server.lines())
    arrived.assert_in_order()
    assert sorted(arrived.first) == list(range(1, 202))


async def test_socket_io_ends_a_run_before_claude_starts(tmp_path: Path) -> None:
    """At its own paths it says what it is, and nobody need try again; at another one it says nothing at all."""
    ran = {}

    async def run(path: str, name: str, url: str) -> None:
        (tmp_path / name).mkdir()
        ran[path] = await run_agent(tmp_path / name, url + path, SERVER_WAIT="20s" if path != "/" else "3s")

    async with open_npm_server(tmp_path, "socketio_server.js") as server, trio.open_nursery() as nursery:
        for number, path in enumerate(("/", "/socket.io/", "/socket.io/?EIO=4&transport=websocket")):
            nursery.start_soon(run, path, str(number), server.url)
    for path, code in (("/", 69), ("/socket.io/", 78), ("/socket.io/?EIO=4&transport=websocket", 78)):
        assert ran[path].code == code, ran[path].stderr
        assert "cloning" not in ran[path].stderr
        why = "it may have no WebSocket at this path" if code == 69 else "a socket.io server answers there"
        assert why in ran[path].last_line
