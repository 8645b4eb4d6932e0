"""A stop keeps the bill, whatever claude is doing: the real CLI in the five states that differ."""

from __future__ import annotations

import json
from pathlib import Path
from signal import SIGTERM

import pytest
import trio

from tests.support.collector import collecting
from tests.support.mock_api import MockApi, Step
from tests.support.real_cli import around_cli
from tests.support.run_agent import start_agent, until

pytestmark = pytest.mark.cli

DEAR: Step = {"tools": [["Bash", {"command": "echo dear", "description": "x"}]], "output_tokens": 1000}
DEAF = "trap '' TERM INT HUP; touch deaf; sleep 300 & wait; sleep 300"

#: Its script, and how many requests have come once claude is in it.
STATES: dict[str, tuple[list[Step], int]] = {
    "waiting for headers after a paid turn": ([DEAR, {"text": "x", "delay": 3600}], 2),
    "waiting for headers at first": ([{"text": "x", "delay": 3600}], 1),
    "streaming": ([DEAR, {"text": "Thinking about", "stall": True}], 2),
    "between retries": ([DEAR, {"status": 500}], 3),
    "in a Bash that ignores signals": ([{**DEAR, "tools": [["Bash", {"command": DEAF, "description": "x"}]]}], 1),
}


async def stop_in(tmp_path: Path, state: str) -> None:
    script, requests = STATES[state]
    with MockApi() as api:
        environ = around_cli(api, KILL_GRACE="5s", TASK=f"mock:script {json.dumps(script)}")
        async with collecting() as collector, start_agent(tmp_path, collector.url, **environ) as agent:
            await until(lambda: len(api.requests) >= requests)
            if state.startswith("in a Bash"):
                await until((tmp_path / "agent" / "workspace" / "deaf").exists)
            await trio.sleep(0.1)
            agent.signal(SIGTERM)
            ran = await agent.ended()
    ran.agrees(collector, code=143, reason="cancelled")
    result = ran.complete["result"]
    assert result is not None, state
    assert result["cost"] is not None
    assert result["session_id"]
    assert result["permission_denials"] == []
    if "first" not in state:
        assert result["cost"] > 0
        assert result["num_turns"] >= 1
    ran.stopped(within=20)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("time", range(2))
async def test_a_stop_keeps_the_bill(tmp_path: Path, state: str, time: int) -> None:
    await stop_in(tmp_path, state)


@pytest.mark.parametrize(
    ("variables", "code", "reason"),
    [
        ({"TIMEOUT": "12s"}, 124, "timeout"),
        ({"IDLE_TIMEOUT": "6s"}, 124, "idle"),
        ({"ALLOW_REMOTE_CANCEL": "1"}, 79, "cancelled"),
        ({"MAX_BUDGET_USD": "0.0001"}, 1, "budget"),
    ],
    ids=["timeout", "idle", "cancel", "budget"],
)
async def test_each_cause_of_a_stop_keeps_the_bill(
    tmp_path: Path, variables: dict[str, str], code: int, reason: str
) -> None:
    """In the state in which a signal alone always lost it. At its budget claude ends by itself."""
    script, requests = STATES["waiting for headers after a paid turn"]
    with MockApi() as api:
        environ = around_cli(api, KILL_GRACE="5s", TASK=f"mock:script {json.dumps(script)}", **variables)
        async with collecting() as collector, start_agent(tmp_path, collector.url, **environ) as agent:
            if reason == "cancelled":
                await until(lambda: len(api.requests) >= requests)
                first = json.loads(collector.texts[0])
                ids = {name: first[name] for name in ("containerID", "runID")}
                await collector.send({"type": "STATUS", **ids, "data": {"status": "cancel"}})
            ran = await agent.ended()
    ran.agrees(collector, code=code, reason=reason)
    assert ran.complete["result"]["cost"] > 0
    assert ran.complete["result"]["num_turns"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("time", range(18))
async def test_every_stop_keeps_the_bill(tmp_path: Path, state: str, time: int) -> None:
    await stop_in(tmp_path, state)
