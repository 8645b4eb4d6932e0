"""Removal of old runs: which, and all of each."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from agent.hub.index import Stored
from agent.hub.retention import Keep, expired
from agent.limits import Limits
from agent.protocol import timestamp
from agent.receiver import RunKey
from tests.receiver.test_server import acked, connected
from tests.support.hub_client import open_client
from tests.support.runs import a_run


def stored(*ages: float, now: float = 1_000_000.0) -> list[Stored]:
    return [Stored(f"R{age:g}", RunKey("c", f"R{age:g}"), timestamp(now - age), 100) for age in ages]


@pytest.mark.parametrize(
    ("keep", "removed"),
    [
        (Keep(), []),
        (Keep(seconds=50), ["R90", "R60"]),
        (Keep(seconds=1000), []),
        (Keep(bytes=250), ["R90", "R60"]),
        (Keep(bytes=400), []),
        (Keep(bytes=0), ["R90", "R60", "R30", "R1"]),
        (Keep(seconds=80, bytes=250), ["R90", "R60"]),
    ],
)
def test_the_oldest_go_first_and_no_more_than_must(keep: Keep, removed: list[str]):
    assert [run.id for run in expired(stored(90, 60, 30, 1), 400, keep, 1_000_000.0)] == removed


def test_runs_that_may_not_be_removed_count_for_the_size():
    assert len(expired(stored(90, 60), 1000, Keep(bytes=500), 1_000_000.0)) == 2


async def test_a_run_goes_whole_and_one_that_is_connected_stays(tmp_path: Path):
    limits = Limits(hub_beat=0.01, hub_index=0.02, hub_keep=0.05, hub_silent=0)
    async with open_client(tmp_path, limits=limits, keep=Keep(bytes=1)) as client:
        async with client.stream("/api/live") as stream, connected(client.receiver.url) as agent:
            await agent.send_message(a_run(run_id="R2").lines[0])
            await agent.send_message(a_run(run_id="R2").heartbeat())
            await acked(agent)
            await client.send(*a_run(container_id="c2", run_id="R1").lines)
            assert (await stream.until("removed")).json == ["R1"]
            assert (await client.get("/api/runs/R1")).status == 404
            assert [run["id"] for run in (await client.get("/api/runs")).json["runs"]] == ["R2"]
            assert not (tmp_path / "c2").exists()
            assert sorted(path.name for path in (tmp_path / "c1").iterdir()) == ["R2.ndjson", "R2.vitals"]
        assert "removed 1 old runs" in client.shown.getvalue()
        # The agent is gone and never ended its run.
        while (tmp_path / "c1").exists():
            await trio.sleep(0.01)
        # It may come back all the same.
        await client.send(a_run(run_id="R2").lines[0])
