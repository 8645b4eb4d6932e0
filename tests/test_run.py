"""Whole runs as a child process: real git, a scripted claude, real servers."""

from __future__ import annotations

from pathlib import Path

from tests.support.collector import collecting
from tests.support.run_agent import run_agent


async def test_the_whole_job(tmp_path: Path) -> None:
    async with collecting() as collector:
        ran = await run_agent(tmp_path, collector.url, "edits:hello.txt")
    ran.agrees(collector, code=0, reason="success")
    assert ran.phases == ["PENDING", "CONNECTING", "CLONING", "RUNNING", "STOPPING", "DRAINING", "REPORTING"]
    assert (ran.directory / "workspace/hello.txt").read_text() == "edited by claude\n"
    assert ran.complete["result"]["cost"] == 0.0123
    assert collector.closed == [1000]
    assert ran.seconds < 5
