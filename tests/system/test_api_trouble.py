"""Trouble of the API in mid-run, with the real CLI: the run ends as one that can go on, and the next one goes on."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.collector import Collector
from tests.support.mock_api import MockApi, Step
from tests.support.places import ROOT
from tests.support.real_cli import claude_cli
from tests.support.run_agent import Ran, run_agent, start_agent

pytestmark = pytest.mark.cli

#: Dummy credentials of a subscription: only with these the CLI tells when a limit ends.
SUBSCRIPTION = {"ANTHROPIC_API_KEY": None, "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-" + "canary" * 8}


def bash(command: str) -> Step:
    return {"text": "A step.", "tools": [["Bash", {"command": command, "description": "x"}]]}


def limit(resets: float) -> Step:
    """The refusal of a subscription that has used up its five hours."""
    prefix = "anthropic-ratelimit-unified"
    headers = {f"{prefix}-status": "rejected", f"{prefix}-reset": str(int(resets)),
               f"{prefix}-representative-claim": "five_hour"}  # fmt: skip
    return {"status": 429, "headers": headers}


def options(api: MockApi, **more: str | None) -> dict[str, Any]:
    return {
        "CLAUDE_BIN": str(claude_cli()), "ANTHROPIC_BASE_URL": api.url, "TASK": "Count the beans",
        "CLAUDE_ENV": "CLAUDE_CODE_MAX_RETRIES: 0", "PERMISSION_MODE": "bypassPermissions", "IS_SANDBOX": "1",
        **more,
    }  # fmt: skip


async def run(path: Path, api: MockApi, **more: str | None) -> Ran:
    return await run_agent(path, "none", **options(api, **more))


@pytest.mark.parametrize("status", [429, 500, 529])
async def test_trouble_in_mid_run_can_be_gone_on_from(tmp_path: Path, status: int) -> None:
    output, resets = tmp_path / "output", time.time() + 3600
    trouble = limit(resets) if status == 429 else {"status": status}
    with MockApi(script=[bash("echo one"), trouble]) as api:
        first = await run(tmp_path / "one", api, OUTPUT_DIR=str(output), **SUBSCRIPTION)
    assert first.code == 75, first.stderr
    told = json.loads((output / "result.json").read_text())
    assert told["reason"] == ("rate_limit" if status == 429 else "api_unavailable")
    assert told["resumable"] is True
    assert told["session_id"] == told["sessionID"]
    if status == 429:
        assert told["resetsAt"][:19] == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(int(resets)))
    with MockApi(script=[{"text": "Done."}]) as api:
        second = await run(
            tmp_path / "two", api, OUTPUT_DIR=str(output), RESUME_SESSION="auto", TASK="Go on", **SUBSCRIPTION
        )
    assert second.code == 0, second.stderr
    messages = api.requests[0].body["messages"]
    assert "Count the beans" in api.requests[0].text
    results = [block["content"] for block in api.requests[0].tool_results]
    assert results == ["one"], "the last thing before the trouble is what it goes on from"
    assert "API Error" not in json.dumps(messages)
    assert "Go on" in api.requests[0].prompts[-1]
    assert "resumable" not in json.loads((output / "result.json").read_text())


async def test_the_next_attempt_goes_on_in_a_workspace_that_is_still_there(tmp_path: Path) -> None:
    """A volume under the workspace and claude's home, and no OUTPUT_DIR: what a Job with a claim may have."""
    with MockApi(script=[bash("echo one > part.txt; git checkout -qb more"), {"status": 529}]) as api:
        first = await run(tmp_path, api, RESUME_SESSION="auto")
    assert first.code == 75, first.stderr
    with MockApi(script=[bash("echo two >> part.txt"), {"text": "Done."}]) as api:
        second = await run(tmp_path, api, RESUME_SESSION="auto", OUTPUT_DIR=str(tmp_path / "output"))
    assert second.code == 0, second.stderr
    told = json.loads((tmp_path / "output" / "result.json").read_text())
    assert told["resumed"] == {"session": told["sessionID"], "from": "workspace"}
    assert "the session goes on in its workspace" in second.stderr
    patch = (tmp_path / "output" / "changes.patch").read_text()
    assert "+one\n+two\n" in patch, "the work of both"


async def test_refused_credentials_in_mid_run_are_final(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with MockApi(script=[bash("echo one"), {"status": 401}]) as api:
        ran = await run(tmp_path / "one", api, OUTPUT_DIR=str(output))
    assert ran.code == 77
    assert "resumable" not in json.loads((output / "result.json").read_text())


#: A limit that ends in seconds is waited for as one that lasts for hours is.
SOON = """
import msgspec
import agent.run.waiting as waiting
begin = waiting.LimitWaits.__init__
def soon(self, config, *rest):
    begin(self, config, *rest)
    self._limits = msgspec.structs.replace(config.limits, limit_margin=0.1, limit_spread=0.1, limit_pause=1.0)
waiting.LimitWaits.__init__ = soon
"""


async def test_a_run_that_waits_goes_on_in_the_same_session(tmp_path: Path, collector: Collector) -> None:
    script = [bash("echo one"), limit(time.time() + 10), bash("echo two"), {"status": 529}, {"text": "All of it."}]
    with MockApi(script=script) as api:
        ran = await run_agent(
            tmp_path, collector.url, inject=SOON,
            **options(api, WAIT_FOR_LIMIT="1h", RECORD_DIR=str(tmp_path / "record"), **SUBSCRIPTION),
        )  # fmt: skip
    ran.agrees(collector, code=0, reason="success")
    waits = [data for data in ran.of_type("STATUS") if "wait" in data]
    assert [data["wait"]["reason"] for data in waits] == ["rate_limit", "api_unavailable"]
    assert {data["phase"] for data in waits} == {"WAITING"}
    assert {request.headers["x-claude-code-session-id"] for request in api.requests} == {
        ran.complete["result"]["session_id"]
    }
    *_, last = api.requests
    assert [block["content"] for block in last.tool_results] == ["one", "two"]
    assert "API Error" not in json.dumps(last.body["messages"])
    assert sum("Go on with the task where you stood" in prompt for prompt in last.prompts) == 2
    assert sum("Count the beans" in prompt for prompt in last.prompts) == 1
    figures = ran.complete["result"]
    assert figures["usage"]["output_tokens"] == 3 * 20
    costs = sum(model["costUSD"] for model in figures["model_usage"].values())
    assert figures["cost"] == pytest.approx(costs)
    assert figures["session_cost"] == pytest.approx(costs)
    assert figures["text"] == "All of it."
    assert "resumable" not in ran.complete
    (recorded,) = (tmp_path / "record").iterdir()
    replay = [sys.executable, "-m", "agent", "replay", str(recorded), "--speed", "max"]
    done = await trio.run_process(replay, capture_stdout=True, capture_stderr=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr.decode()
    assert "lines told to claude" in done.stderr.decode()


@pytest.mark.parametrize("how", ["SIGTERM", "a limit that lasts too long"])
async def test_a_run_that_does_not_wait_to_the_end_can_be_gone_on_from(
    tmp_path: Path, collector: Collector, how: str
) -> None:
    with MockApi(script=[bash("echo one"), limit(time.time() + 3600)]) as api:
        wait = "2h" if how == "SIGTERM" else "10m"
        async with start_agent(
            tmp_path, collector.url, **options(api, WAIT_FOR_LIMIT=wait, KILL_GRACE="5s", **SUBSCRIPTION)
        ) as agent:
            if how == "SIGTERM":
                await agent.until_stderr("waiting for the API until")
                agent.signal(signal.SIGTERM)
            with trio.fail_after(30):
                ran = await agent.ended()
    if how == "SIGTERM":
        ran.agrees(collector, code=143, reason="cancelled")
        ran.stopped(within=20)
    else:
        ran.agrees(collector, code=75, reason="rate_limit")
        assert ran.complete["resumable"] is True
        assert "later than WAIT_FOR_LIMIT allows" in ran.stderr
    assert ran.complete["result"]["cost"] == pytest.approx(0.0004)
