"""A real server that takes no long message, as its operator has set it, and a MESSAGE_LIMIT that nobody has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.arrivals import Arrivals
from tests.support.run_agent import run_agent
from tests.support.servers import open_ws_server

pytestmark = [pytest.mark.system, pytest.mark.node]

LIMIT = 64 * 1024


async def test_the_whole_run_arrives(tmp_path: Path) -> None:
    """The first long line is numbered before anybody knows; the second comes when it is known."""
    script = [
        ["read"], ["init"], ["line", 150_000], ["text", "behind"], ["sleep", 5], ["line", 300_000], ["result"],
    ]  # fmt: skip
    async with open_ws_server(tmp_path, LIMIT) as server:
        ran = await run_agent(tmp_path, server.url, script)
        lines = server.lines()
    ran.settled()
    assert (ran.code, ran.termination["undelivered"]) == (0, 0)
    assert all(len(line.encode()) <= LIMIT for line in lines)
    arrived = Arrivals(lines)
    first, second = map(len, arrived.sent_again())
    assert first > 150_000
    assert second > 300_000
    assert arrived.last["data"]["stream"]["dropped"] == 1
    assert "1 message that waited is sent again in parts" in ran.stderr
