"""A real server that takes no long message, as its operator has set it, and a MESSAGE_LIMIT that nobody has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
    seen = {message["seq"]: message for message in map(json.loads, lines) if "seq" in message}
    gaps, joined, parts = [], [], []
    for seq in sorted(seen):
        metadata = seen[seq]["data"].get("metadata", {})
        if "gap" in metadata:
            gaps.append(metadata["gap"])
        if part := metadata.get("part"):
            parts.append(part["text"])
            if part["i"] == part["n"]:
                joined.append(len("".join(parts)))
                parts = []
    assert [gap["reason"] for gap in gaps] == ["sent_again"]
    missing = (
        set(range(1, max(seen) + 1)) - set(seen) - {n for gap in gaps for n in range(gap["fromSeq"], gap["toSeq"])}
    )
    assert missing == set()
    assert [size > least for size, least in zip(joined, (150_000, 300_000), strict=True)] == [True, True]
    end = seen[max(seen)]
    assert end["type"] == "COMPLETE"
    assert end["data"]["stream"]["dropped"] == 1
    assert "1 message that waited is sent again in parts" in ran.stderr
