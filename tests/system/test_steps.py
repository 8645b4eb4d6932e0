"""A stop while the operator's command runs, before claude or after it: all that it started ends with the run."""

from __future__ import annotations

import json
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Any

import pytest

from tests.support.collector import Collector, in_phase
from tests.support.run_agent import GRACE, start_agent

pytestmark = pytest.mark.system

COMMAND = "trap '' TERM; setsid sleep 600 & sleep 601 & echo ready; while :; do sleep 1; done"
STAYS = [["read"], ["init"], ["text", "Done."], ["result"], ["polite"], ["obey"]]
#: Each of another kind than the one before: two of a kind that nobody has taken yet are one.
SIGNALS = [SIGTERM, SIGINT, SIGTERM]


@pytest.mark.parametrize("signals", [1, 2, 3])
@pytest.mark.parametrize(
    ("phase", "script", "variables"),
    [
        ("SETTING_UP", "ok", {"SETUP_COMMAND": COMMAND}),
        ("VERIFYING", "ok", {"VERIFY_COMMAND": COMMAND, "VERIFY_RETRIES": "1"}),
        ("VERIFYING", STAYS, {"VERIFY_COMMAND": COMMAND, "VERIFY_RETRIES": "1"}),
    ],
    ids=["setup", "verify", "verify-while-claude-waits"],
)
async def test_a_stop_ends_it_with_all_that_it_started(
    tmp_path: Path, collector: Collector, phase: str, script: Any, variables: dict[str, str], signals: int
) -> None:
    async with start_agent(tmp_path, collector.url, script, KILL_GRACE=f"{GRACE}s", **variables) as agent:
        await collector.until(in_phase(phase))
        await collector.until(lambda message: "ready" in json.dumps(message))
        for number in SIGNALS[:signals]:
            agent.signal(number)
            await collector.until(in_phase("STOPPING"))
        ran = await agent.ended()
    assert ran.code == 143
    assert [process for process in ran.left if not process.startswith("Z")] == []
    ran.stopped(within=GRACE + 8)
    if signals == 3:
        return
    ran.agrees(collector, code=143, reason="cancelled")
    if phase == "VERIFYING":
        assert ran.complete["message"] == "cancelled by SIGTERM; VERIFY_COMMAND was not finished"
        assert ran.complete["verify"] == {"state": "unfinished", "attempts": 1}
