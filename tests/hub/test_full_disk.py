"""A hub whose disk is full stops acknowledging and says so; agents keep what they have, and nothing is lost."""

from __future__ import annotations

import subprocess
import urllib.error
from pathlib import Path

import pytest
import trio

from agent.limits import MIB
from tests.support.browser import ServedHub
from tests.support.disks import small_disk
from tests.support.run_agent import start_agent

pytestmark = pytest.mark.system


def ready(hub: ServedHub) -> str:
    """What /readyz says, in one word."""
    try:
        return str(hub.get("/readyz")["status"])
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"


async def test_a_full_disk_loses_nothing_and_the_run_goes_on_when_there_is_room(tmp_path: Path):
    script = [["read"], ["init"], ["flood", 8 * MIB], ["result"]]
    with small_disk(tmp_path / "disk", 2 * MIB) as disk:
        hub = ServedHub(disk / "runs")
        hub.start()
        try:
            server = f"ws://127.0.0.1:{hub.port}"
            async with start_agent(tmp_path, server, script) as agent:
                with trio.fail_after(60):
                    while not ready(hub).startswith("503"):
                        await trio.sleep(0.05)
                assert "cannot store: No space left on device" in ready(hub)
                (row,) = hub.get("/api/runs")["runs"]
                assert row["exitCode"] is None
                subprocess.run(["mount", "-o", f"remount,size={64 * MIB}", str(disk)], check=True)
                ran = await agent.ended(120)
            assert ran.code == 0, ran.stderr
            assert ready(hub) == "ok"
            (row,) = hub.get("/api/runs")["runs"]
            assert row["comparison"]["summary"].endswith(" 0 missing")
            assert row["comparison"]["whole"], row["comparison"]
            assert row["bytes"] > 8 * MIB
        finally:
            hub.kill()
