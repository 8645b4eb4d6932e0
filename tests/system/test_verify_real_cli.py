"""VERIFY_COMMAND around the real claude CLI: claude is told what failed, in the session that it is in."""

from __future__ import annotations

import json
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest

from tests.support.collector import Collector, in_phase
from tests.support.mock_api import MockApi
from tests.support.run_agent import Ran, start_agent
from tests.system.test_run_real_cli import options

pytestmark = pytest.mark.cli


def scripted(*steps: dict[str, Any]) -> str:
    return f"mock:script {json.dumps(steps)}"


async def run(directory: Path, collector: Collector, api: MockApi, task: str, **environ: str) -> Ran:
    async with start_agent(directory, collector.url, **{**options(api, task), **environ}) as agent:
        ran = await agent.ended(90)
    return ran.agrees(collector)


async def test_claude_mends_what_the_command_found(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    mend = {"tools": [["Bash", {"command": "echo mended >proof.txt", "description": "mend"}]]}
    ran = await run(
        tmp_path, collector, api, scripted({"text": "Done."}, mend, {"text": "Mended."}),
        VERIFY_COMMAND="echo looking for the proof; cat proof.txt", VERIFY_RETRIES="2",
        OUTPUT_DIR=str(tmp_path / "out"),
    )  # fmt: skip
    assert (ran.code, ran.complete["reason"]) == (0, "success")
    assert ran.complete["message"] == "claude finished the task, and VERIFY_COMMAND passed after 2 attempts"
    assert ran.complete["verify"]["output"] == "looking for the proof\nmended"

    def told(prompts: list[str]) -> bool:
        return any("looking for the proof\ncat: proof.txt: No such file or directory" in text for text in prompts)

    first, *later = [request for request in api.requests if any("mock:script" in text for text in request.prompts)]
    assert not told(first.prompts)
    assert [told(request.prompts) for request in later] == [True, True], "the next request has the output"
    result = ran.complete["result"]
    assert (result["text"], result["num_turns"]) == ("Mended.", 3)
    assert result["cost"] == pytest.approx(result["session_cost"]), "one session, one bill"
    inits = [data for data in ran.of_type("LOG") if data["metadata"].get("kind") == "init"]
    assert len({data["metadata"]["claude"]["session_id"] for data in inits}) == 1
    assert "+mended" in (tmp_path / "out" / "changes.patch").read_text()


async def test_a_stop_while_claude_waits_for_the_command(tmp_path: Path, collector: Collector, api: MockApi) -> None:
    """claude has given its result; the bill is kept."""
    environ = {**options(api, "mock:text"), "VERIFY_COMMAND": "sleep 600", "VERIFY_RETRIES": "1"}
    async with start_agent(tmp_path, collector.url, **environ) as agent:
        await collector.until(in_phase("VERIFYING"), 60)
        agent.signal(SIGTERM)
        ran = await agent.ended(60)
    ran.agrees(collector, code=143, reason="cancelled")
    assert ran.complete["verify"] == {"state": "unfinished", "attempts": 1}
    assert ran.complete["result"]["cost"] > 0
    ran.stopped(within=20)
